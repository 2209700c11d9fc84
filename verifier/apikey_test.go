package verifier_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/cache"
	"keyward/keystore"
	"keyward/store/journal"
	"keyward/verifier"
)

// apiKeyFixture is an APIKey verifier whose key and user files the test writes.
type apiKeyFixture struct {
	*verifier.APIKey
	t       *testing.T
	journal *keystore.Journal
	users   *keystore.UserFile
	follow  []*journal.Follower
	now     time.Time
}

type options struct {
	prefixes, basicUsers []string
	withUsers            bool
	maxAge               time.Duration
}

func newAPIKeyFixture(t *testing.T, o options) *apiKeyFixture {
	t.Helper()
	if o.prefixes == nil {
		o.prefixes = []string{"kw_"}
	}
	dir := t.TempDir()
	hasher := apikey.NewHasher(authz.NewSecret("a pepper for the tests"))
	b := &apiKeyFixture{t: t, now: time.Now().UTC()}
	b.journal = keystore.NewJournal(keystore.JournalConfig{Path: filepath.Join(dir, "keys.jsonl"), Hasher: hasher})
	if _, _, err := b.journal.Create(keystore.Params{Name: "first"}); err != nil {
		t.Fatal(err)
	}
	keys := keystore.NewKeys(hasher)
	b.start(journal.FollowConfig{Path: filepath.Join(dir, "keys.jsonl"), Into: keys})
	cfg := verifier.APIKeyConfig{Keys: keys, Hasher: hasher, Prefixes: o.prefixes, BasicUsers: o.basicUsers, MaxAge: o.maxAge}
	if o.withUsers {
		b.users = keystore.NewUserFile(keystore.UserFileConfig{Path: filepath.Join(dir, "users.jsonl")})
		b.setUser("alice", keystore.UserPatch{Scopes: &[]string{"read"}, Paths: &[]string{"/api"}})
		users := keystore.NewUsers()
		b.start(journal.FollowConfig{Path: filepath.Join(dir, "users.jsonl"), Into: users})
		cfg.Users = users
	}
	var err error
	if cfg.Principals, err = cache.New[*verifier.CachedKey](1000, 1000*24*time.Hour); err != nil { // outlives the times in the tests
		t.Fatal(err)
	}
	if b.APIKey, err = verifier.NewAPIKey(cfg); err != nil {
		t.Fatal(err)
	}
	return b
}

// Verify tries the verifiers in the order of the chain, with tokens without a prefix last.
func (b *apiKeyFixture) Verify(ctx context.Context, c *authz.Credential, now time.Time) (*authz.Principal, error) {
	p, err := b.APIKey.Verify(ctx, c, now)
	if err == authz.ErrNotMine {
		p, err = b.Unprefixed().Verify(ctx, c, now)
	}
	return p, err
}

func (b *apiKeyFixture) start(cfg journal.FollowConfig) {
	f, err := journal.Follow(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = f.Close() })
	b.follow = append(b.follow, f)
}

func (b *apiKeyFixture) create(p keystore.Params) (string, string) {
	b.t.Helper()
	if p.Name == "" {
		p.Name = "test"
	}
	if p.Prefix == "" {
		p.Prefix = "kw_"
	}
	record, secret, err := b.journal.Create(p)
	if err != nil {
		b.t.Fatal(err)
	}
	return record.ID, secret.Reveal()
}

func (b *apiKeyFixture) setUser(name string, patch keystore.UserPatch) {
	b.t.Helper()
	if _, err := b.users.SetUser(name, patch); err != nil {
		b.t.Fatal(err)
	}
}

func (b *apiKeyFixture) bearer(key string) (*authz.Principal, authz.Reason) {
	return b.verify(authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(key)})
}

func (b *apiKeyFixture) verify(c authz.Credential) (*authz.Principal, authz.Reason) {
	b.t.Helper()
	p, err := b.Verify(context.Background(), &c, b.now)
	refusal, refused := errors.AsType[*authz.CredentialError](err)
	switch {
	case err == nil && p != nil:
		return p, authz.OK
	case refused:
		return refusal.Principal, refusal.Reason
	case err == authz.ErrNotMine:
		return nil, authz.NoCredential // stands for "not mine" in these tests
	default:
		return nil, authz.Unavailable
	}
}

// becomes waits until the key gets the wanted result; files are followed on another goroutine.
func (b *apiKeyFixture) becomes(key string, want authz.Reason) *authz.Principal {
	b.t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		p, got := b.bearer(key)
		if got == want {
			return p
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("the key is %s, and never became %s", got, want)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestKeyLife(t *testing.T) {
	b := newAPIKeyFixture(t, options{})
	id, key := b.create(keystore.Params{User: "bob", Project: "p", Scopes: &[]string{"read"}, Paths: []string{"/api"}})
	p := b.becomes(key, authz.OK)
	if p.AuthMethod != authz.AuthMethodAPIKey || p.KeyID != id || p.Subject() != "bob" || p.Project != "p" || p.Scopes.String() != "read" || p.Paths.IsAnyPath() {
		t.Errorf("principal %+v", p)
	}
	cached := b.becomes(key, authz.OK)
	if again := b.becomes(key, authz.OK); again != cached {
		t.Error("the later look-ups did not come from the cache")
	}
	_, other := b.create(keystore.Params{})
	b.becomes(other, authz.OK)
	if again := b.becomes(key, authz.OK); again != cached {
		t.Error("the change of another key evicted this one from the cache")
	}
	_, rotated, err := b.journal.Rotate(id, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.becomes(key, authz.RevokedKey)
	b.becomes(rotated.Reveal(), authz.OK)
	if _, err := b.journal.Revoke(id); err != nil {
		t.Fatal(err)
	}
	if p := b.becomes(rotated.Reveal(), authz.RevokedKey); p == nil || p.KeyID != id {
		t.Error("the log does not have the id of the revoked key")
	}
}

func TestUnknownKeyThatIsMadeLater(t *testing.T) {
	b := newAPIKeyFixture(t, options{prefixes: []string{"kw_", ""}})
	key := strings.Repeat("0A", 22)
	if _, got := b.bearer(key); got != authz.UnknownKey {
		t.Fatalf("%s, want unknown_key", got)
	}
	if _, err := b.journal.Import(strings.NewReader(key+"\n"), keystore.Params{Name: "imported"}); err != nil {
		t.Fatal(err)
	}
	b.becomes(key, authz.OK)
}

func TestExpiryAndAge(t *testing.T) {
	b := newAPIKeyFixture(t, options{maxAge: 90 * 24 * time.Hour})
	b.now = b.now.Truncate(time.Second)
	id, key := b.create(keystore.Params{Expires: b.now.Add(time.Hour)})
	_, old := b.create(keystore.Params{})
	_, oldToo := b.create(keystore.Params{Expires: b.now.Add(365 * 24 * time.Hour)})
	b.becomes(key, authz.OK)
	if p := b.becomes(old, authz.OK); !p.ExpiresAt.IsZero() {
		t.Errorf("a key without an expiry expires %s, though max_age is not an expiry of the key", p.ExpiresAt)
	}
	b.becomes(oldToo, authz.OK)
	b.now = b.now.Add(time.Hour)
	if p, got := b.bearer(key); got != authz.ExpiredKey || p == nil || p.KeyID != id {
		t.Errorf("at its expiry, from the cache: %s of %v", got, p)
	}
	b.now = b.now.Add(time.Second)
	if _, got := b.bearer(old); got != authz.OK {
		t.Errorf("an hour old: %s", got)
	}
	b.now = b.now.Add(90 * 24 * time.Hour)
	if _, got := b.bearer(old); got != authz.ExpiredKey {
		t.Errorf("older than max_age: %s", got)
	}
	if _, got := b.bearer(oldToo); got != authz.ExpiredKey {
		t.Errorf("older than max_age, before its own expiry: %s", got)
	}
}

func TestGrace(t *testing.T) {
	b := newAPIKeyFixture(t, options{})
	id, old := b.create(keystore.Params{})
	b.becomes(old, authz.OK)
	_, fresh, err := b.journal.Rotate(id, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b.becomes(fresh.Reveal(), authz.OK)
	if p := b.becomes(old, authz.OK); p.ExpiresAt.IsZero() {
		t.Error("the expiry of the old secret is missing")
	}
	b.now = b.now.Add(time.Hour + time.Minute)
	if _, got := b.bearer(old); got != authz.RevokedKey {
		t.Errorf("after the grace, from the cache: %s", got)
	}
	if _, got := b.bearer(fresh.Reveal()); got != authz.OK {
		t.Errorf("the new secret after the grace: %s", got)
	}
}

func TestUsers(t *testing.T) {
	b := newAPIKeyFixture(t, options{withUsers: true})
	_, inherits := b.create(keystore.Params{User: "alice"})
	_, none := b.create(keystore.Params{User: "alice", Scopes: &[]string{}})
	_, own := b.create(keystore.Params{User: "alice", Scopes: &[]string{"write"}, Paths: []string{"/api/x"}})
	_, userless := b.create(keystore.Params{Scopes: &[]string{"s"}})
	_, stray := b.create(keystore.Params{User: "nobody"})
	if p := b.becomes(inherits, authz.OK); p.Scopes.String() != "read" || p.UserPaths.IsAnyPath() || !p.Paths.IsAnyPath() {
		t.Errorf("a key without scopes and paths of its own: %+v", p)
	}
	if p := b.becomes(none, authz.OK); p.Scopes.String() != "" {
		t.Errorf("an empty scope list is %q", p.Scopes)
	}
	if p := b.becomes(own, authz.OK); p.Scopes.String() != "write" || p.UserPaths.IsAnyPath() || p.Paths.IsAnyPath() {
		t.Errorf("a key with scopes and paths of its own: %+v", p)
	}
	b.becomes(userless, authz.OK)
	b.becomes(stray, authz.DisabledUser)

	b.setUser("nobody", keystore.UserPatch{Scopes: &[]string{"new"}})
	b.becomes(stray, authz.OK)
	yes, no := true, false
	b.setUser("alice", keystore.UserPatch{Disabled: &yes})
	b.becomes(inherits, authz.DisabledUser)
	b.setUser("alice", keystore.UserPatch{Disabled: &no, Scopes: &[]string{"other"}})
	if p := b.becomes(inherits, authz.OK); p.Scopes.String() != "other" {
		t.Errorf("after the user's change: %q", p.Scopes)
	}
	if err := b.users.DeleteUser("alice"); err != nil {
		t.Fatal(err)
	}
	b.becomes(inherits, authz.DisabledUser)
}

// TestPrefixesThatBeginOneAnother checks that a key with the shorter prefix may continue like the longer one.
func TestPrefixesThatBeginOneAnother(t *testing.T) {
	b := newAPIKeyFixture(t, options{prefixes: []string{"kw", "kw0", "kw1", "kw2", ""}})
	for range 200 { // three in sixty-two continue like a longer prefix
		_, key := b.create(keystore.Params{Prefix: "kw"})
		b.becomes(key, authz.OK)
	}
	record, secret, err := b.journal.Create(keystore.Params{Name: "without a prefix"})
	if err != nil {
		t.Fatal(err)
	}
	if p := b.becomes(secret.Reveal(), authz.OK); p.KeyID != record.ID {
		t.Errorf("principal %+v", p)
	}
}

func TestWhatIsAKey(t *testing.T) {
	b := newAPIKeyFixture(t, options{prefixes: []string{"kw_", "kw_live_"}, basicUsers: []string{"haplo"}})
	hex := strings.Repeat("0123456789ABCDEF", 3)[:44]
	_, good := b.create(keystore.Params{})
	_, longer := b.create(keystore.Params{Prefix: "kw_live_"})
	b.becomes(good, authz.OK)
	b.becomes(longer, authz.OK)
	wrongSum := good[:len(good)-1] + string('0'+(good[len(good)-1]-'0'+1)%10)
	tests := []struct {
		name string
		c    authz.Credential
		want authz.Reason
	}{
		{"another prefix", authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret("abc")}, authz.NoCredential},
		{"no prefix in Bearer", authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(hex)}, authz.NoCredential},
		{"wrong checksum", authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(wrongSum)}, authz.InvalidToken},
		{"too short", authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret("kw_abc")}, authz.InvalidToken},
		{"junk in the key header", authz.Credential{Scheme: authz.SchemeAPIKey, Secret: authz.NewSecret("junk")}, authz.InvalidToken},
		{"hex in the key header", authz.Credential{Scheme: authz.SchemeAPIKey, Secret: authz.NewSecret(hex)}, authz.UnknownKey},
		{"good one in the key header", authz.Credential{Scheme: authz.SchemeAPIKey, Secret: authz.NewSecret(good)}, authz.OK},
		{"good one with the Basic user", authz.Credential{Scheme: authz.SchemeBasic, User: "haplo", Secret: authz.NewSecret(good)}, authz.OK},
		{"good one with another Basic user", authz.Credential{Scheme: authz.SchemeBasic, User: "Haplo", Secret: authz.NewSecret(good)}, authz.NoCredential},
		{"hex with the Basic user", authz.Credential{Scheme: authz.SchemeBasic, User: "haplo", Secret: authz.NewSecret(hex)}, authz.UnknownKey},
		{"empty password", authz.Credential{Scheme: authz.SchemeBasic, User: "haplo"}, authz.InvalidToken},
	}
	for _, test := range tests {
		if _, got := b.verify(test.c); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	if _, err := b.journal.Import(strings.NewReader("kw_oldstyle\nlegacy\n"), keystore.Params{Name: "imported"}); err != nil {
		t.Fatal(err)
	}
	b.becomes("kw_oldstyle", authz.OK)
	if _, got := b.verify(authz.Credential{Scheme: authz.SchemeAPIKey, Secret: authz.NewSecret("legacy")}); got != authz.OK {
		t.Errorf("an imported key without a format: %s", got)
	}
	b.becomes("legacy", authz.NoCredential)
}

// TestKeysOfDeletedUser checks that a user who is created again does not get the keys
// created before the deletion, including cached and rotated ones, and gets all keys
// created after it.
func TestKeysOfDeletedUser(t *testing.T) {
	b := newAPIKeyFixture(t, options{withUsers: true})
	_, old := b.create(keystore.Params{User: "alice"})
	id, unused := b.create(keystore.Params{User: "alice"})
	b.becomes(old, authz.OK)
	for range 2 { // the second time the second alice is deleted
		if err := b.users.DeleteUser("alice"); err != nil {
			t.Fatal(err)
		}
		b.becomes(old, authz.DisabledUser)
		_, next := b.create(keystore.Params{User: "alice"})
		b.setUser("alice", keystore.UserPatch{Scopes: &[]string{"admin"}})
		if p := b.becomes(old, authz.RevokedKey); p == nil || p.User != "alice" || p.KeyID == "" {
			t.Errorf("the log does not have the key's user and id: %+v", p)
		}
		b.becomes(unused, authz.RevokedKey)
		if p := b.becomes(next, authz.OK); p != nil && p.Scopes.String() != "admin" {
			t.Errorf("a key made after the deletion: %+v", p)
		}
		b.setUser("alice", keystore.UserPatch{Paths: &[]string{}}) // a change of the user does not move the time
		b.becomes(old, authz.RevokedKey)
		b.becomes(next, authz.OK)
		old = next
	}
	_, rotated, err := b.journal.Rotate(id, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.becomes(rotated.Reveal(), authz.RevokedKey)
}

// TestKeyBeforeItsUser checks that a key may be created before its user.
func TestKeyBeforeItsUser(t *testing.T) {
	b := newAPIKeyFixture(t, options{withUsers: true})
	_, key := b.create(keystore.Params{User: "bob"})
	b.becomes(key, authz.DisabledUser)
	b.setUser("bob", keystore.UserPatch{})
	b.becomes(key, authz.OK)
}

// TestKeyOfReservedUser checks that a user name that upstreams could take for the id of
// another key is refused, with a users file and without.
func TestKeyOfReservedUser(t *testing.T) {
	for _, user := range []string{"k_8ENbdXlcXqgH", "k_", "c_8ENbdXlcXqgH"} {
		err := ask(t, &scriptedStore{keys: []keystore.Key{{ID: "k_000000000000", User: user, State: keystore.Active}}}, nil, 1)
		if refusal, ok := errors.AsType[*authz.CredentialError](err); !ok || refusal.Reason != authz.DisabledUser {
			t.Errorf("user %s: %v", user, err)
		}
	}
}

// brokenStore is a KeyStore whose Find fails.
type brokenStore struct{ *keystore.Keys }

func (brokenStore) Find(apikey.Digest, time.Time) (keystore.Key, error) {
	return keystore.Key{}, errors.New("store unavailable")
}

// scriptedStore returns the next of its keys for each look-up, and the last one again and again.
type scriptedStore struct {
	keys  []keystore.Key
	finds int
}

func (s *scriptedStore) Find(apikey.Digest, time.Time) (keystore.Key, error) {
	s.finds++
	if len(s.keys) == 0 {
		return keystore.Key{}, keystore.ErrUnknown
	}
	return s.keys[min(s.finds, len(s.keys))-1], nil
}
func (*scriptedStore) Current(keystore.Stamp) bool { return true }
func (*scriptedStore) Irregular() bool             { return true }

func ask(t *testing.T, store verifier.KeyStore, users verifier.UserStore, times int) error {
	t.Helper()
	principals, err := cache.New[*verifier.CachedKey](10, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	v, err := verifier.NewAPIKey(verifier.APIKeyConfig{
		Keys: store, Users: users, Hasher: apikey.NewHasher(authz.Secret{}), Prefixes: []string{""}, Principals: principals,
	})
	if err != nil {
		t.Fatal(err)
	}
	for range times {
		_, err = v.Unprefixed().Verify(context.Background(), &authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret("x")}, time.Now())
	}
	return err
}

// TestRoom checks that the principal of an uncached key is written to the credential's
// scratch space, and that a cached one never is, since the space is reused.
func TestRoom(t *testing.T) {
	b := newAPIKeyFixture(t, options{})
	id, key := b.create(keystore.Params{})
	c := &authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(key)}
	c.Bind(new(authz.Request))
	scratch := c.Scratch()
	ask := func() (p *authz.Principal) {
		p, _ = b.Verify(context.Background(), c, b.now)
		return p
	}
	first := ask()
	for deadline := time.Now().Add(5 * time.Second); first == nil && time.Now().Before(deadline); first = ask() {
		time.Sleep(time.Millisecond) // the file is followed on another goroutine
	}
	if first != scratch || scratch.KeyID != id {
		t.Fatalf("first %+v, scratch %+v", first, scratch)
	}
	*scratch = authz.Principal{}
	if p := ask(); p == nil || p == scratch || p.KeyID != id {
		t.Errorf("from the cache: %+v", p)
	}
}

func TestUsersThatAreNotLoaded(t *testing.T) {
	store := &scriptedStore{keys: []keystore.Key{{ID: "k_1", User: "alice", State: keystore.Active}}}
	if err := ask(t, store, keystore.NewUsers(), 1); !errors.Is(err, keystore.ErrNotLoaded) {
		t.Errorf("error %v, want keystore.ErrNotLoaded", err)
	}
}

func TestStoreThatCannotTell(t *testing.T) {
	hasher := apikey.NewHasher(authz.Secret{})
	principals, err := cache.New[*verifier.CachedKey](10, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string]verifier.KeyStore{"unavailable": brokenStore{keystore.NewKeys(hasher)}, "not loaded": keystore.NewKeys(hasher)} {
		v, err := verifier.NewAPIKey(verifier.APIKeyConfig{Keys: keys, Hasher: hasher, Prefixes: []string{""}, Principals: principals})
		if err != nil {
			t.Fatal(err)
		}
		c := authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(strings.Repeat("AB", 22))}
		p, err := v.Unprefixed().Verify(context.Background(), &c, time.Now())
		if _, refused := errors.AsType[*authz.CredentialError](err); p != nil || err == nil || refused || errors.Is(err, authz.ErrNotMine) {
			t.Errorf("store %s: %v, %v; want an error that is not a CredentialError", name, p, err)
		}
	}
}

func TestChain(t *testing.T) {
	never := verifierFunc(func() (*authz.Principal, error) {
		t.Error("called after another verifier had answered")
		return nil, nil
	})
	notMine := verifierFunc(func() (*authz.Principal, error) { return nil, authz.ErrNotMine })
	notMineEither := verifierFunc(func() (*authz.Principal, error) { return nil, fmt.Errorf("with a detail: %w", authz.ErrNotMine) })
	refused := verifierFunc(func() (*authz.Principal, error) { return nil, &authz.CredentialError{Reason: authz.RevokedKey} })
	c := &authz.Credential{Scheme: authz.SchemeBearer}
	if _, err := (verifier.Chain{notMine, notMineEither, refused, never}).Verify(context.Background(), c, time.Now()); err.Error() != "revoked_key" {
		t.Errorf("error %v", err)
	}
	if _, err := (verifier.Chain{notMine}).Verify(context.Background(), c, time.Now()); err.Error() != "invalid_token" {
		t.Errorf("a token of no kind: %v", err)
	}
	c.Scheme = authz.SchemeBasic
	if _, err := (verifier.Chain{}).Verify(context.Background(), c, time.Now()); err.Error() != "wrong_password" {
		t.Errorf("Basic credentials of no kind: %v", err)
	}
}

type verifierFunc func() (*authz.Principal, error)

func (f verifierFunc) Verify(context.Context, *authz.Credential, time.Time) (*authz.Principal, error) {
	return f()
}

// TestRateOfItsOwn checks that a principal has the rate of its key. A rate that cannot be
// parsed is an error: the key gets neither no limit nor the default limit.
func TestRateOfItsOwn(t *testing.T) {
	b := newAPIKeyFixture(t, options{})
	_, key := b.create(keystore.Params{Rate: "1000/h"})
	if p := b.becomes(key, authz.OK); p.Rate != (authz.Rate{Count: 1000, Period: time.Hour}) {
		t.Errorf("rate %s", p.Rate)
	}
	_, without := b.create(keystore.Params{})
	if p := b.becomes(without, authz.OK); p.Rate != (authz.Rate{}) {
		t.Errorf("a key without a rate: rate %s", p.Rate)
	}
	id, bad := b.create(keystore.Params{Rate: "1000 a day"})
	b.becomes(bad, authz.Unavailable)
	_, err := b.Verify(context.Background(), &authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(bad)}, b.now)
	if err == nil || !strings.Contains(err.Error(), id) || strings.Contains(err.Error(), "a day") {
		t.Errorf("error %v, want one with the key's id and without the rate", err)
	}
	b.becomes(key, authz.OK)
}
