package verifier_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/cache"
	"keyward/keyindex"
	"keyward/verifier"
)

// recheckedKeys are the keys of the tests, an hour after tokenNow.
var recheckedKeys = keysByID{
	"k_valid":   {ID: "k_valid", State: keyindex.Active, Created: tokenNow, Networks: keyindex.AnyNetwork()},
	"k_expired": {ID: "k_expired", State: keyindex.Active, Created: tokenNow, ValidUntil: tokenNow.Add(time.Hour), Networks: keyindex.AnyNetwork()},
	"k_old":     {ID: "k_old", State: keyindex.Active, Created: tokenNow.Add(-23 * time.Hour), Networks: keyindex.AnyNetwork()},
	"k_paused":  {ID: "k_paused", State: keyindex.Paused, Created: tokenNow, Networks: keyindex.AnyNetwork()},
	"k_early":   {ID: "k_early", State: keyindex.Active, Created: tokenNow, NotBefore: tokenNow.Add(2 * time.Hour), Networks: keyindex.AnyNetwork()},
	"k_nowhere": {ID: "k_nowhere", State: keyindex.Active, Created: tokenNow},
	"k_revoked": {ID: "k_revoked", Created: tokenNow},
}

// keysByID is a KeyStore of keys whose secrets are not known.
type keysByID map[string]keyindex.Key

func (keysByID) Find(apikey.Digest, time.Time) (keyindex.Key, error) {
	return keyindex.Key{}, keyindex.ErrUnknown
}

func (k keysByID) FindID(id string) (keyindex.Key, error) {
	key, found := k[id]
	if !found {
		return keyindex.Key{}, keyindex.ErrUnknown
	}
	return key, nil
}

func (keysByID) IsCurrent(keyindex.Revision) bool { return false }
func (keysByID) HasRawKeys() bool                 { return false }

// TestRecheckKey: a key is what its record says now.
func TestRecheckKey(t *testing.T) {
	for id, want := range map[string]authz.Reason{
		"k_valid": authz.OK, "k_expired": authz.ExpiredKey, "k_old": authz.ExpiredKey, "k_revoked": authz.RevokedKey, "k_gone": authz.UnknownKey,
		"k_paused": authz.PausedKey, "k_early": authz.NotYetValid, "k_nowhere": authz.AddressNotAllowed,
	} {
		for _, previous := range []bool{false, true} {
			p := authz.Principal{AuthMethod: authz.AuthMethodAPIKey, KeyID: id, PreviousSecret: previous, ExpiresAt: tokenNow.Add(30 * time.Minute)}
			expected := want
			if previous && want == authz.OK {
				expected = authz.RevokedKey // the grace is over
			}
			if _, got := recheck(t, authz.Decision{Reason: authz.InsufficientScope, Principal: &p, At: tokenNow}, nil); got != expected {
				t.Errorf("%s, by a previous secret %v: %s, want %s", id, previous, got, expected)
			}
		}
	}
}

// recheck returns what the principal of a denied request may do an hour later.
func recheck(t *testing.T, denied authz.Decision, change func(*verifier.RecheckConfig)) (*authz.Principal, authz.Reason) {
	t.Helper()
	principals, err := cache.New[*verifier.CachedKey](10, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := verifier.NewAPIKey(verifier.APIKeyConfig{
		Keys: recheckedKeys, MaxAge: 24 * time.Hour, Hasher: apikey.NewHasher(authz.Secret{}), Prefixes: []string{"kw_"}, Principals: principals,
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := verifier.RecheckConfig{
		Denied: &denied, Keys: keys, Passwords: true,
		Users:    userMap{"alice": {Name: "alice", Paths: urlpath.Any()}, "carol": {Name: "carol", Disabled: true}},
		HasUsers: func(issuer string) bool { return issuer == "ours" },
	}
	if change != nil {
		change(&cfg)
	}
	again, err := verifier.NewRecheck(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p, err := again.Verify(context.Background(), &authz.Credential{}, denied.At.Add(time.Hour))
	switch refusal, refused := errors.AsType[*authz.CredentialError](err); {
	case err == nil && p != nil:
		return p, authz.OK
	case refused && p == nil:
		return nil, refusal.Reason
	default:
		return nil, authz.Unavailable
	}
}

// TestRecheckToken: what a token granted counts on, unless it has ended.
func TestRecheckToken(t *testing.T) {
	at := tokenNow
	scopes, err := authz.ParseScopes([]string{"read"})
	if err != nil {
		t.Fatal(err)
	}
	token := func(user, issuer string) *authz.Principal {
		return &authz.Principal{AuthMethod: authz.AuthMethodJWT, User: user, Issuer: issuer, Scopes: scopes, ExpiresAt: at.Add(2 * time.Hour)}
	}
	expired := token("alice", "ours")
	expired.ExpiresAt = at.Add(time.Hour)
	for _, c := range []struct {
		what      string
		principal *authz.Principal
		then, now authz.Reason
	}{
		{"a valid token", token("alice", "ours"), authz.InsufficientScope, authz.OK},
		{"a token of an issuer without users on record", token("dave", "theirs"), authz.InsufficientScope, authz.OK},
		{"a token of a user who is gone", token("dave", "ours"), authz.InsufficientScope, authz.DisabledUser},
		{"a token of a disabled user", token("carol", "ours"), authz.InsufficientScope, authz.DisabledUser},
		{"a token that has expired since", expired, authz.InsufficientScope, authz.ExpiredToken},
		{"a token that had expired", token("alice", "ours"), authz.ExpiredToken, authz.ExpiredToken},
		{"a token that was revoked", token("alice", "ours"), authz.RevokedToken, authz.RevokedToken},
		{"a token of a user who was disabled", token("alice", "ours"), authz.DisabledUser, authz.OK},
	} {
		p, got := recheck(t, authz.Decision{Reason: c.then, Principal: c.principal, At: at}, nil)
		if got != c.now {
			t.Errorf("%s: %s, want %s", c.what, got, c.now)
		}
		if p != nil && (p.Scopes.String() != "read" || !p.UserPaths.IsAnyPath()) {
			t.Errorf("%s: %+v", c.what, p)
		}
	}
	list := &revocationList{subjects: map[string]time.Time{"alice": at.Add(time.Minute), "dave": at.Add(-time.Minute)}}
	revocable := func(c *verifier.RecheckConfig) { c.Revocations = list }
	if _, got := recheck(t, authz.Decision{Reason: authz.InsufficientScope, Principal: token("alice", "ours"), At: at}, revocable); got != authz.RevokedToken {
		t.Errorf("revoked since: %s", got)
	}
	if _, got := recheck(t, authz.Decision{Reason: authz.InsufficientScope, Principal: token("dave", "theirs"), At: at}, revocable); got != authz.OK {
		t.Errorf("older tokens were revoked before the denial: %s", got)
	}
}

// TestRecheckDenies: what is not known is denied.
func TestRecheckDenies(t *testing.T) {
	for _, reason := range authz.Reasons() {
		if reason.Allows() {
			continue
		}
		want := authz.Unavailable
		if reason.Status() == 401 {
			want = reason
		}
		if _, got := recheck(t, authz.Decision{Reason: reason, At: tokenNow}, nil); got != want {
			t.Errorf("%s of a stranger: %s, want %s", reason, got, want)
		}
	}
	for _, c := range []struct {
		what      string
		principal authz.Principal
		change    func(*verifier.RecheckConfig)
		want      authz.Reason
	}{
		{"no kind", authz.Principal{User: "alice"}, nil, authz.Unavailable},
		{"anonymous", authz.Principal{AuthMethod: authz.AuthMethodAnonymous}, nil, authz.Unavailable},
		{"a kind of the future", authz.Principal{AuthMethod: authz.AuthMethodCount, User: "alice"}, nil, authz.Unavailable},
		{"a key that is gone", authz.Principal{AuthMethod: authz.AuthMethodAPIKey, KeyID: "k_1"}, nil, authz.UnknownKey},
		{"a password without users", authz.Principal{AuthMethod: authz.AuthMethodBasic, User: "alice"}, func(c *verifier.RecheckConfig) {
			c.Passwords, c.Users = false, nil
		}, authz.UnsupportedCredential},
		{"a token without users", authz.Principal{AuthMethod: authz.AuthMethodJWT, User: "alice", Issuer: "ours"}, func(c *verifier.RecheckConfig) {
			c.Passwords, c.Users = false, nil
		}, authz.DisabledUser},
		{"users that are not loaded", authz.Principal{AuthMethod: authz.AuthMethodBasic, User: "alice"}, func(c *verifier.RecheckConfig) {
			c.Users = keyindex.NewUsers()
		}, authz.Unavailable},
		{"revocations that are not loaded", authz.Principal{AuthMethod: authz.AuthMethodOAuth, User: "alice"}, func(c *verifier.RecheckConfig) {
			c.Revocations = keyindex.NewRevocations()
		}, authz.Unavailable},
	} {
		if _, got := recheck(t, authz.Decision{Reason: authz.RateLimited, Principal: &c.principal, At: tokenNow}, c.change); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

// TestRecheckKnowsAllKinds: a new kind of credential needs its case.
func TestRecheckKnowsAllKinds(t *testing.T) {
	for _, kind := range authz.AuthMethods() {
		if len(kind.Schemes) == 0 || kind.Console { // denials of the console are not kept
			continue
		}
		p := authz.Principal{AuthMethod: kind.Method, User: "alice", KeyID: "k_1"}
		if _, got := recheck(t, authz.Decision{Reason: authz.RateLimited, Principal: &p, At: tokenNow}, nil); got == authz.Unavailable {
			t.Errorf("%s: not known", kind.Name)
		}
	}
}

func TestNewRecheck(t *testing.T) {
	good := verifier.RecheckConfig{Denied: &authz.Decision{}, Keys: &verifier.APIKey{}, HasUsers: func(string) bool { return false }}
	if _, err := verifier.NewRecheck(good); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(*verifier.RecheckConfig){
		"no decision":             func(c *verifier.RecheckConfig) { c.Denied = nil },
		"an allow":                func(c *verifier.RecheckConfig) { c.Denied = &authz.Decision{Reason: authz.OK} },
		"no keys":                 func(c *verifier.RecheckConfig) { c.Keys = nil },
		"no HasUsers":             func(c *verifier.RecheckConfig) { c.HasUsers = nil },
		"passwords without users": func(c *verifier.RecheckConfig) { c.Passwords = true },
	} {
		cfg := good
		change(&cfg)
		if _, err := verifier.NewRecheck(cfg); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
}
