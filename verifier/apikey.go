package verifier

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/cache"
	"keyward/keyindex"
	"keyward/store"
)

// KeyStore looks up keys by the digest of their text, and by their id.
type KeyStore interface {
	// Find returns the key, revoked keys too. keyindex.ErrUnknown means that
	// the key does not exist; any other error means that this is not known.
	Find(digest apikey.Digest, now time.Time) (keyindex.Key, error)
	// FindID returns the key with the id, revoked keys too. Its errors are those
	// of Find.
	FindID(id string) (keyindex.Key, error)
	// IsCurrent reports whether the key found under the revision is unchanged.
	IsCurrent(revision keyindex.Revision) bool
	// HasRawKeys reports whether some keys do not follow the key format.
	HasRawKeys() bool
}

// UserStore looks up the users that keys act for.
type UserStore interface {
	// Ready returns why Lookup cannot be relied on yet, nil if it can.
	Ready() error
	// Lookup returns the user, disabled users too.
	Lookup(name string) (*keyindex.User, bool)
}

// APIKeyConfig has the parts of an APIKey verifier. Keys, Hasher and Principals
// are required.
type APIKeyConfig struct {
	Keys   KeyStore
	Users  UserStore // nil: the user of a key is not looked up
	Hasher *apikey.Hasher

	// Prefixes mark bearer tokens as API keys; "" accepts keys without a
	// prefix.
	Prefixes []string
	// OpaqueTokens means that other verifiers of tokens come after Unprefixed,
	// which then leaves them what it does not know.
	OpaqueTokens bool
	// MaxAge is how long a key is accepted after it got its secret; 0 is forever.
	MaxAge time.Duration

	// Principals caches valid keys. Unknown keys are not cached: the store is
	// in memory, and answers for an unknown digest as fast as a cache would.
	Principals *cache.Cache[*CachedKey]
}

// CachedKey is a cached principal with what determines whether it is still
// valid.
type CachedKey struct {
	principal authz.Principal
	revision  keyindex.Revision
	user      *keyindex.User // nil for a key without one, or without a users file
	until     time.Time      // when it stops being accepted, perhaps before its own expiry; zero: never

	unrestricted bool // none of what follows restricts the key
	paused       bool
	notBefore    time.Time // when it begins to be accepted
	networks     keyindex.Networks
}

// APIKey verifies API keys, whichever part of a request carries them.
type APIKey struct {
	cfg              APIKeyConfig
	prefixes         []string // without ""
	acceptUnprefixed bool     // bearer tokens without a prefix may be keys
}

// NewAPIKey returns a verifier of the given parts.
func NewAPIKey(cfg APIKeyConfig) (*APIKey, error) {
	if cfg.Keys == nil || cfg.Hasher == nil || cfg.Principals == nil {
		return nil, errors.New("verifier: a part is missing from APIKeyConfig")
	}
	a := &APIKey{cfg: cfg}
	for _, prefix := range cfg.Prefixes {
		if prefix == "" {
			a.acceptUnprefixed = true
		} else {
			a.prefixes = append(a.prefixes, prefix)
		}
	}
	return a, nil
}

// Verify implements authz.Verifier. A token without one of the prefixes is not
// its kind: see [APIKey.Unprefixed]. But in a place of its own, where a key may
// have any form, one that is known is a key.
func (a *APIKey) Verify(_ context.Context, c *authz.Credential, now time.Time) (*authz.Principal, error) {
	if !c.Scheme.CarriesToken() {
		return nil, authz.ErrNotMine
	}
	prefixed, wellFormed := a.classify(c.Secret.Reveal())
	switch {
	case prefixed:
		return a.verify(c, wellFormed, now)
	case c.Scheme == authz.SchemeBearer:
		return nil, authz.ErrNotMine
	default:
		return a.verifyKnown(c, wellFormed, now)
	}
}

// verifyKnown is verify for a token that may be of another kind, unless it is a
// known key.
func (a *APIKey) verifyKnown(c *authz.Credential, wellFormed bool, now time.Time) (*authz.Principal, error) {
	p, err := a.verify(c, wellFormed, now)
	if err == errInvalidToken || err == errUnknownKey {
		err = authz.ErrNotMine
	}
	return p, err
}

// Unprefixed returns the verifier of tokens without a key prefix. In a chain it
// comes after the verifiers that recognize their own tokens.
func (a *APIKey) Unprefixed() authz.Verifier { return unprefixed{a} }

type unprefixed struct{ *APIKey }

// Verify implements authz.Verifier. A bearer token is a key only if keys without
// a prefix are accepted. Otherwise all tokens are left to the verifiers after
// it.
func (a unprefixed) Verify(_ context.Context, c *authz.Credential, now time.Time) (*authz.Principal, error) {
	prefixed, wellFormed := a.classify(c.Secret.Reveal())
	switch {
	case !c.Scheme.CarriesToken() || prefixed:
		return nil, authz.ErrNotMine
	case !a.acceptUnprefixed && (a.cfg.OpaqueTokens || c.Scheme == authz.SchemeBearer):
		return nil, authz.ErrNotMine
	default:
		return a.verify(c, wellFormed, now)
	}
}

func (a *APIKey) verify(c *authz.Credential, wellFormed bool, now time.Time) (*authz.Principal, error) {
	if !wellFormed && !a.cfg.Keys.HasRawKeys() {
		// Junk is refused before it is hashed. Imported keys follow no format:
		// if there are any, any text may be a key.
		return nil, errInvalidToken
	}
	digest := a.cfg.Hasher.Digest(c.Secret.Reveal())
	id := (*cache.Key)(&digest)
	kept, found := a.cfg.Principals.Get(id, now)
	if found && a.stillValid(kept) && !kept.expired(now) {
		if !kept.unrestricted {
			if reason := kept.reason(c.Client, now); reason != authz.OK {
				return nil, kept.refusal(reason)
			}
		}
		return &kept.principal, nil
	}
	known := CachedKey{}
	if err := a.load(digest, now, &known); err != nil {
		return nil, err
	}
	if reason := known.reason(c.Client, now); reason != authz.OK {
		return nil, known.refusal(reason)
	}
	if found || a.cfg.Principals.ShouldAdmit(id) {
		kept := known // the one that goes to the heap
		a.cfg.Principals.Put(id, &kept, now)
	}
	scratch := c.Scratch()
	if scratch == nil {
		return known.clone(), nil
	}
	*scratch = known.principal
	return scratch, nil
}

// clone returns a copy of the principal that is not shared.
func (k *CachedKey) clone() *authz.Principal {
	p := k.principal
	return &p
}

// refusal returns the error for a key that is known and not accepted.
func (k *CachedKey) refusal(reason authz.Reason) error {
	return &authz.CredentialError{Reason: reason, Principal: k.clone()}
}

// reason returns why a key that has not ended is not accepted from the client now, or
// OK.
func (k *CachedKey) reason(client authz.RawAddress, now time.Time) authz.Reason {
	switch {
	case k.expired(now):
		return authz.ExpiredKey
	case k.unrestricted:
		return authz.OK
	case k.paused:
		return authz.PausedKey
	case now.Before(k.notBefore):
		return authz.NotYetValid
	case !k.networks.Contains(client.Address()):
		return authz.AddressNotAllowed
	default:
		return authz.OK
	}
}

func (k *CachedKey) expired(now time.Time) bool {
	return !k.until.IsZero() && !now.Before(k.until)
}

// classify reports whether the text begins with a key prefix, and whether its
// checksum is that of a key. If one prefix begins another, either may be meant.
func (a *APIKey) classify(key string) (prefixed, wellFormed bool) {
	for _, prefix := range a.prefixes {
		if strings.HasPrefix(key, prefix) {
			prefixed = true
			if apikey.WellFormed(key, prefix) {
				return true, true
			}
		}
	}
	return prefixed, apikey.IsHex(key) || apikey.WellFormed(key, "")
}

func (a *APIKey) stillValid(k *CachedKey) bool {
	return a.cfg.Keys.IsCurrent(k.revision) && (k.user == nil || !k.user.Stale())
}

// load fills in the principal from what the stores have now.
func (a *APIKey) load(digest apikey.Digest, now time.Time, known *CachedKey) error {
	key, err := a.cfg.Keys.Find(digest, now)
	if err != nil {
		return lookupError(err)
	}
	return a.loadFound(&key, known)
}

// lookupError returns the error of a verifier for one of the KeyStore.
func lookupError(err error) error {
	if errors.Is(err, keyindex.ErrUnknown) {
		return errUnknownKey
	}
	return fmt.Errorf("looking up a key: %w", err)
}

// loadFound fills in the principal of a key that was found.
func (a *APIKey) loadFound(key *keyindex.Key, known *CachedKey) (err error) {
	known.revision, known.until = key.Revision, a.validUntil(key)
	known.notBefore, known.networks, known.paused = key.NotBefore, key.Networks, key.State == keyindex.Paused
	known.unrestricted = !known.paused && key.NotBefore.IsZero() && key.Networks.IsAny()
	p := &known.principal
	p.AuthMethod, p.User, p.KeyID, p.KeyName, p.Project = authz.AuthMethodAPIKey, key.User, key.ID, key.Name, key.Project
	p.Paths, p.UserPaths, p.Scopes, p.ExpiresAt = key.Paths, urlpath.Any(), key.Scopes, key.ValidUntil
	p.PreviousSecret, p.AcceptedUntil = key.Previous, known.until
	if key.State != keyindex.Active && !known.paused {
		return known.refusal(authz.RevokedKey)
	}
	if key.Rate != "" {
		if p.Rate, err = authz.ParseRate(key.Rate); err != nil {
			return fmt.Errorf("key %s: rate: %w", key.ID, err)
		}
	}
	return a.loadUser(key, known)
}

// loadUser adds the rights of the user that the key acts for, if there is one.
func (a *APIKey) loadUser(key *keyindex.Key, known *CachedKey) error {
	if store.ReservedUserName(key.User) {
		return known.refusal(authz.DisabledUser)
	}
	if a.cfg.Users == nil || key.User == "" {
		return nil
	}
	if err := a.cfg.Users.Ready(); err != nil {
		return fmt.Errorf("looking up the user of key %s: %w", key.ID, err)
	}
	user, ok := a.cfg.Users.Lookup(key.User)
	if !ok || user.Disabled {
		return known.refusal(authz.DisabledUser)
	}
	if !user.Since(key.Created) { // the key of a deleted user, whose name was given to another
		return known.refusal(authz.RevokedKey)
	}
	known.principal.UserPaths = user.Paths
	if !key.HasScopes {
		known.principal.Scopes = user.Scopes
	}
	known.user = user
	return nil
}

// validUntil returns when the key stops being accepted: the earliest of its own
// expiry, the end of a rotation's grace, and the maximum age.
func (a *APIKey) validUntil(key *keyindex.Key) time.Time {
	end := key.ValidUntil
	if a.cfg.MaxAge > 0 && !key.Created.IsZero() {
		if old := key.SecretSince().Add(a.cfg.MaxAge); end.IsZero() || old.Before(end) {
			end = old
		}
	}
	return end
}
