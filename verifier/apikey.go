package verifier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/cache"
	"keyward/keyindex"
	"keyward/store"
)

// KeyStore is where keys are looked up, by the digest of their text.
type KeyStore interface {
	// Find returns the key, alive or revoked. keyindex.ErrUnknown means that
	// there is none; any other error that the store can't tell.
	Find(digest apikey.Digest, now time.Time) (keyindex.Key, error)
	// IsCurrent reports whether what was found with the revision is still valid.
	IsCurrent(revision keyindex.Revision) bool
	// HasRawKeys reports whether there are keys that do not follow the key format.
	HasRawKeys() bool
}

// UserStore is where the users are looked up that keys act for.
type UserStore interface {
	// Ready tells why Lookup can't be believed yet, nil when it can.
	Ready() error
	// Lookup returns the user, disabled ones too.
	Lookup(name string) (*keyindex.User, bool)
}

// APIKeyConfig says what an APIKey verifier is made of.
type APIKeyConfig struct {
	Keys   KeyStore
	Users  UserStore // nil: a key's user is a name and nothing more
	Hasher *apikey.Hasher

	// Prefixes of bearer tokens that are API keys; "" takes keys without one.
	Prefixes []string
	// BasicUsers are the user names whose Basic password is an API key.
	BasicUsers []string
	// MaxAge is how long after its making a key is accepted; 0 is for ever.
	MaxAge time.Duration

	// Principals holds known keys. Unknown ones are not remembered: the store is in
	// memory, and knows of a digest that it has none sooner than any cache would.
	Principals *cache.Cache[*CachedKey]
}

// CachedKey is a cached principal with what determines whether it is still valid.
type CachedKey struct {
	principal authz.Principal
	revision  keyindex.Revision
	user      *keyindex.User // nil for a key without one, or without a users file
	until     time.Time      // when it stops being accepted, which may be before its own expiry; zero: never
}

// APIKey verifies API keys, wherever in a request they stand.
type APIKey struct {
	cfg      APIKeyConfig
	prefixes []string // without ""
	bare     bool     // bearer tokens without a prefix may be keys
}

// NewAPIKey returns a verifier of the given parts.
func NewAPIKey(cfg APIKeyConfig) (*APIKey, error) {
	if cfg.Keys == nil || cfg.Hasher == nil || cfg.Principals == nil {
		return nil, errors.New("verifier: a part is missing from APIKeyConfig")
	}
	a := &APIKey{cfg: cfg}
	for _, prefix := range cfg.Prefixes {
		if prefix == "" {
			a.bare = true
		} else {
			a.prefixes = append(a.prefixes, prefix)
		}
	}
	return a, nil
}

// Verify implements authz.Verifier. A bearer token without one of the prefixes
// is not its kind: see [APIKey.Unprefixed].
func (a *APIKey) Verify(_ context.Context, c *authz.Credential, now time.Time) (*authz.Principal, error) {
	prefixed, wellFormed := a.classify(c.Secret.Reveal())
	if c.Scheme == authz.SchemeBearer && !prefixed || c.Scheme == authz.SchemeBasic && !slices.Contains(a.cfg.BasicUsers, c.User) {
		return nil, authz.ErrNotMine
	}
	return a.verify(c, wellFormed, now)
}

// Unprefixed returns the verifier of bearer tokens that no prefix marks as
// keys, for a place in the chain behind the kinds that know their own.
func (a *APIKey) Unprefixed() authz.Verifier { return unprefixed{a} }

type unprefixed struct{ *APIKey }

// Verify implements authz.Verifier.
func (a unprefixed) Verify(_ context.Context, c *authz.Credential, now time.Time) (*authz.Principal, error) {
	prefixed, wellFormed := a.classify(c.Secret.Reveal())
	if c.Scheme != authz.SchemeBearer || prefixed || !a.bare {
		return nil, authz.ErrNotMine
	}
	return a.verify(c, wellFormed, now)
}

func (a *APIKey) verify(c *authz.Credential, wellFormed bool, now time.Time) (*authz.Principal, error) {
	if !wellFormed && !a.cfg.Keys.HasRawKeys() {
		// Junk is refused before anything is hashed. Imported keys follow no
		// format; where there are some, any text may be one.
		return nil, errInvalidToken
	}
	digest := a.cfg.Hasher.Digest(c.Secret.Reveal())
	id := (*cache.Key)(&digest)
	kept, found := a.cfg.Principals.Get(id, now)
	if found && a.stillValid(kept) && !kept.expired(now) {
		return &kept.principal, nil
	}
	known := CachedKey{}
	err := a.load(digest, now, &known)
	if err == nil && known.expired(now) {
		err = &authz.CredentialError{Reason: authz.ExpiredKey, Principal: known.clone()}
	}
	if err != nil {
		return nil, err
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

func (k *CachedKey) expired(now time.Time) bool {
	return !k.until.IsZero() && !now.Before(k.until)
}

// classify reports whether the text begins with a prefix of keys, and whether it is a
// key by its checksum. One prefix may begin another; then either may be meant.
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

// load makes a principal of what the stores say now.
func (a *APIKey) load(digest apikey.Digest, now time.Time, known *CachedKey) error {
	key, err := a.cfg.Keys.Find(digest, now)
	if errors.Is(err, keyindex.ErrUnknown) {
		return errUnknownKey
	}
	if err != nil {
		return fmt.Errorf("looking up a key: %w", err)
	}
	known.revision, known.until = key.Revision, a.end(&key)
	p := &known.principal
	p.AuthMethod, p.User, p.KeyID, p.KeyName, p.Project = authz.AuthMethodAPIKey, key.User, key.ID, key.Name, key.Project
	p.Paths, p.UserPaths, p.Scopes, p.ExpiresAt = key.Paths, authz.AnyPath(), key.Scopes, key.ValidUntil
	if key.State != keyindex.Active {
		return &authz.CredentialError{Reason: authz.RevokedKey, Principal: known.clone()}
	}
	if key.Rate != "" {
		if p.Rate, err = authz.ParseRate(key.Rate); err != nil {
			return fmt.Errorf("key %s: rate: %w", key.ID, err)
		}
	}
	return a.loadUser(&key, known)
}

// loadUser adds what the user says that the key acts for, if it acts for one.
func (a *APIKey) loadUser(key *keyindex.Key, known *CachedKey) error {
	if store.ReservedUserName(key.User) {
		return &authz.CredentialError{Reason: authz.DisabledUser, Principal: known.clone()}
	}
	if a.cfg.Users == nil || key.User == "" {
		return nil
	}
	if err := a.cfg.Users.Ready(); err != nil {
		return fmt.Errorf("looking up the user of key %s: %w", key.ID, err)
	}
	user, ok := a.cfg.Users.Lookup(key.User)
	if !ok || user.Disabled {
		return &authz.CredentialError{Reason: authz.DisabledUser, Principal: known.clone()}
	}
	if !user.Since(key.Created) { // the key of a deleted user, whose name another has now
		return &authz.CredentialError{Reason: authz.RevokedKey, Principal: known.clone()}
	}
	known.principal.UserPaths = user.Paths
	if !key.HasScopes {
		known.principal.Scopes = user.Scopes
	}
	known.user = user
	return nil
}

// end is when the key stops being accepted: the earliest of its own expiry,
// the end of a rotation's grace, and the age the operator has set.
func (a *APIKey) end(key *keyindex.Key) time.Time {
	end := key.ValidUntil
	if a.cfg.MaxAge > 0 && !key.Created.IsZero() {
		if old := key.Created.Add(a.cfg.MaxAge); end.IsZero() || old.Before(end) {
			end = old
		}
	}
	return end
}
