package verifier_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/cache"
	"keyward/internal/recordfile"
	"keyward/internal/records"
	"keyward/keyindex"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/filestore"
	"keyward/store/importer"
	"keyward/store/journal"
	"keyward/verifier"
)

// apiKeyFixture is an APIKey verifier whose key and user files the test writes.
type apiKeyFixture struct {
	*verifier.APIKey
	t       *testing.T
	journal *recordfile.KeyFile
	path    string // of the key file
	hasher  *apikey.Hasher
	users   *recordfile.UserFile
	follow  []store.Follower
	now     time.Time
}

type options struct {
	prefixes     []string
	opaqueTokens bool
	withUsers    bool
	maxAge       time.Duration
}

func newAPIKeyFixture(t *testing.T, o options) *apiKeyFixture {
	t.Helper()
	if o.prefixes == nil {
		o.prefixes = []string{"kw_"}
	}
	dir := t.TempDir()
	hasher := apikey.NewHasher(authz.NewSecret("a pepper for the tests"))
	f := &apiKeyFixture{t: t, hasher: hasher, path: filepath.Join(dir, "keys.jsonl"), now: time.Now().UTC()}
	f.journal = recordfile.NewKeyFile(filestore.KeyFileConfig{Path: f.path, Hasher: hasher})
	if _, _, err := f.journal.Create(context.Background(), store.KeyParams{Name: "first"}); err != nil {
		t.Fatal(err)
	}
	keys := keyindex.NewKeys()
	f.start(filestore.KeyFeed{Hasher: hasher, FollowConfig: journal.FollowConfig{Path: filepath.Join(dir, "keys.jsonl")}}.Follow(keys))
	cfg := verifier.APIKeyConfig{Keys: keys, Hasher: hasher, Prefixes: o.prefixes, OpaqueTokens: o.opaqueTokens, MaxAge: o.maxAge}
	if o.withUsers {
		f.users = recordfile.NewUserFile(filestore.UserFileConfig{Path: filepath.Join(dir, "users.jsonl")}, nil)
		f.setUser("alice", records.UserPatch{Scopes: &[]string{"read"}, Paths: &[]string{"/api"}})
		users := keyindex.NewUsers()
		f.start(filestore.UserFeed{FollowConfig: journal.FollowConfig{Path: filepath.Join(dir, "users.jsonl")}}.Follow(users))
		cfg.Users = users
	}
	var err error
	if cfg.Principals, err = cache.New[*verifier.CachedKey](1000, 1000*24*time.Hour); err != nil { // outlives the times in the tests
		t.Fatal(err)
	}
	if f.APIKey, err = verifier.NewAPIKey(cfg); err != nil {
		t.Fatal(err)
	}
	return f
}

// Verify tries the verifiers in the order of the chain, with tokens without a
// prefix last.
func (f *apiKeyFixture) Verify(ctx context.Context, c *authz.Credential, now time.Time) (*authz.Principal, error) {
	p, err := f.APIKey.Verify(ctx, c, now)
	if err == authz.ErrNotMine {
		p, err = f.Unprefixed().Verify(ctx, c, now)
	}
	return p, err
}

// importKeys imports keys of another system, one per line.
func (f *apiKeyFixture) importKeys(keys string) {
	f.t.Helper()
	given, err := importer.KeyFormat{}.Read(strings.NewReader(keys), store.KeyParams{Name: "imported"}, f.hasher)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.journal.Import(context.Background(), given); err != nil {
		f.t.Fatal(err)
	}
}

func (fixture *apiKeyFixture) start(f store.Follower, err error) {
	fixture.t.Helper()
	if err != nil {
		fixture.t.Fatal(err)
	}
	fixture.t.Cleanup(func() { _ = f.Close() })
	fixture.follow = append(fixture.follow, f)
}

func (f *apiKeyFixture) create(p store.KeyParams) (string, string) {
	f.t.Helper()
	if p.Name == "" {
		p.Name = "test"
	}
	if p.Prefix == "" {
		p.Prefix = "kw_"
	}
	record, secret, err := f.journal.Create(context.Background(), p)
	if err != nil {
		f.t.Fatal(err)
	}
	return record.ID, secret.Reveal()
}

func (f *apiKeyFixture) setUser(name string, patch records.UserPatch) {
	f.t.Helper()
	if _, err := f.users.Set(context.Background(), name, "", patch); err != nil {
		f.t.Fatal(err)
	}
}

func (f *apiKeyFixture) bearer(key string) (*authz.Principal, authz.Reason) {
	return f.verify(authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(key)})
}

func (f *apiKeyFixture) verify(c authz.Credential) (*authz.Principal, authz.Reason) {
	f.t.Helper()
	p, err := f.Verify(context.Background(), &c, f.now)
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

// eventually waits until the key gets the wanted result; files are followed on
// another goroutine.
func (f *apiKeyFixture) eventually(key string, want authz.Reason) *authz.Principal {
	f.t.Helper()
	return f.eventuallyIn(authz.SchemeBearer, key, want)
}

// eventuallyIn is eventually for a key in another place than Authorization.
func (f *apiKeyFixture) eventuallyIn(scheme authz.CredentialScheme, key string, want authz.Reason) *authz.Principal {
	f.t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		p, got := f.verify(authz.Credential{Scheme: scheme, Secret: authz.NewSecret(key)})
		if got == want {
			return p
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("the key is %s, and never became %s", got, want)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestKeyLifecycle(t *testing.T) {
	f := newAPIKeyFixture(t, options{})
	id, key := f.create(store.KeyParams{User: "bob", Project: "p", Scopes: &[]string{"read"}, Paths: []string{"/api"}})
	p := f.eventually(key, authz.OK)
	if p.AuthMethod != authz.AuthMethodAPIKey || p.KeyID != id || p.Subject() != "bob" || p.Project != "p" || p.Scopes.String() != "read" || p.Paths.IsAnyPath() {
		t.Errorf("principal %+v", p)
	}
	cached := f.eventually(key, authz.OK)
	if again := f.eventually(key, authz.OK); again != cached {
		t.Error("the later look-ups did not come from the cache")
	}
	_, other := f.create(store.KeyParams{})
	f.eventually(other, authz.OK)
	if again := f.eventually(key, authz.OK); again != cached {
		t.Error("the change of another key evicted this one from the cache")
	}
	_, rotated, err := f.journal.Rotate(context.Background(), id, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	f.eventually(key, authz.RevokedKey)
	f.eventually(rotated.Reveal(), authz.OK)
	if _, err := f.journal.Revoke(context.Background(), id, ""); err != nil {
		t.Fatal(err)
	}
	if p := f.eventually(rotated.Reveal(), authz.RevokedKey); p == nil || p.KeyID != id {
		t.Error("the log does not have the id of the revoked key")
	}
}

func TestUnknownKeyIsNotCached(t *testing.T) {
	f := newAPIKeyFixture(t, options{prefixes: []string{"kw_", ""}})
	key := strings.Repeat("0A", 22)
	if _, got := f.bearer(key); got != authz.UnknownKey {
		t.Fatalf("%s, want unknown_key", got)
	}
	f.importKeys(key + "\n")
	f.eventually(key, authz.OK)
}

func TestExpiryAndAge(t *testing.T) {
	f := newAPIKeyFixture(t, options{maxAge: 90 * 24 * time.Hour})
	f.now = f.now.Truncate(time.Second)
	id, key := f.create(store.KeyParams{Expires: f.now.Add(time.Hour)})
	_, old := f.create(store.KeyParams{})
	_, oldToo := f.create(store.KeyParams{Expires: f.now.Add(365 * 24 * time.Hour)})
	f.eventually(key, authz.OK)
	if p := f.eventually(old, authz.OK); !p.ExpiresAt.IsZero() {
		t.Errorf("a key without an expiry expires %s, though max_age is not an expiry of the key", p.ExpiresAt)
	}
	f.eventually(oldToo, authz.OK)
	f.now = f.now.Add(time.Hour)
	if p, got := f.bearer(key); got != authz.ExpiredKey || p == nil || p.KeyID != id {
		t.Errorf("at its expiry, from the cache: %s of %v", got, p)
	}
	f.now = f.now.Add(time.Second)
	if _, got := f.bearer(old); got != authz.OK {
		t.Errorf("an hour old: %s", got)
	}
	f.now = f.now.Add(90 * 24 * time.Hour)
	if _, got := f.bearer(old); got != authz.ExpiredKey {
		t.Errorf("older than max_age: %s", got)
	}
	if _, got := f.bearer(oldToo); got != authz.ExpiredKey {
		t.Errorf("older than max_age, before its own expiry: %s", got)
	}
}

func TestGrace(t *testing.T) {
	f := newAPIKeyFixture(t, options{})
	id, old := f.create(store.KeyParams{})
	f.eventually(old, authz.OK)
	_, fresh, err := f.journal.Rotate(context.Background(), id, "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // the third from the cache
		if p := f.eventually(fresh.Reveal(), authz.OK); p.PreviousSecret {
			t.Error("the new secret counts as a previous one")
		}
		if p := f.eventually(old, authz.OK); p.ExpiresAt.IsZero() || !p.PreviousSecret {
			t.Errorf("the old secret: expires %v, previous %v", p.ExpiresAt, p.PreviousSecret)
		}
	}
	f.now = f.now.Add(time.Hour + time.Minute)
	if p, got := f.bearer(old); got != authz.RevokedKey || !p.PreviousSecret {
		t.Errorf("after the grace, from the cache: %s, %+v", got, p)
	}
	if _, got := f.bearer(fresh.Reveal()); got != authz.OK {
		t.Errorf("the new secret after the grace: %s", got)
	}
}

func TestUsers(t *testing.T) {
	f := newAPIKeyFixture(t, options{withUsers: true})
	_, inherits := f.create(store.KeyParams{User: "alice"})
	_, none := f.create(store.KeyParams{User: "alice", Scopes: &[]string{}})
	_, own := f.create(store.KeyParams{User: "alice", Scopes: &[]string{"write"}, Paths: []string{"/api/x"}})
	_, userless := f.create(store.KeyParams{Scopes: &[]string{"s"}})
	_, stray := f.create(store.KeyParams{User: "missing"})
	if p := f.eventually(inherits, authz.OK); p.Scopes.String() != "read" || p.UserPaths.IsAnyPath() || !p.Paths.IsAnyPath() {
		t.Errorf("a key without scopes and paths of its own: %+v", p)
	}
	if p := f.eventually(none, authz.OK); p.Scopes.String() != "" {
		t.Errorf("an empty scope list is %q", p.Scopes)
	}
	if p := f.eventually(own, authz.OK); p.Scopes.String() != "write" || p.UserPaths.IsAnyPath() || p.Paths.IsAnyPath() {
		t.Errorf("a key with scopes and paths of its own: %+v", p)
	}
	f.eventually(userless, authz.OK)
	f.eventually(stray, authz.DisabledUser)

	f.setUser("missing", records.UserPatch{Scopes: &[]string{"new"}})
	f.eventually(stray, authz.OK)
	yes, no := true, false
	f.setUser("alice", records.UserPatch{Disabled: &yes})
	f.eventually(inherits, authz.DisabledUser)
	f.setUser("alice", records.UserPatch{Disabled: &no, Scopes: &[]string{"other"}})
	if p := f.eventually(inherits, authz.OK); p.Scopes.String() != "other" {
		t.Errorf("after the user's change: %q", p.Scopes)
	}
	if err := f.users.Delete(context.Background(), "alice", "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	f.eventually(inherits, authz.DisabledUser)
}

// TestOverlappingPrefixes checks that a key with the shorter prefix may
// continue like the longer one.
func TestOverlappingPrefixes(t *testing.T) {
	f := newAPIKeyFixture(t, options{prefixes: []string{"kw", "kw0", "kw1", "kw2", ""}})
	for range 200 { // three in sixty-two continue like a longer prefix
		_, key := f.create(store.KeyParams{Prefix: "kw"})
		f.eventually(key, authz.OK)
	}
	record, secret, err := f.journal.Create(context.Background(), store.KeyParams{Name: "without a prefix"})
	if err != nil {
		t.Fatal(err)
	}
	if p := f.eventually(secret.Reveal(), authz.OK); p.KeyID != record.ID {
		t.Errorf("principal %+v", p)
	}
}

func TestKeyForms(t *testing.T) {
	f := newAPIKeyFixture(t, options{prefixes: []string{"kw_", "kw_live_"}})
	hex := strings.Repeat("0123456789ABCDEF", 3)[:44]
	_, good := f.create(store.KeyParams{})
	_, longer := f.create(store.KeyParams{Prefix: "kw_live_"})
	f.eventually(good, authz.OK)
	f.eventually(longer, authz.OK)
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
		{"junk in the key header", authz.Credential{Scheme: authz.SchemeBare, Secret: authz.NewSecret("junk")}, authz.InvalidToken},
		{"hex in the key header", authz.Credential{Scheme: authz.SchemeBare, Secret: authz.NewSecret(hex)}, authz.UnknownKey},
		{"good one in the key header", authz.Credential{Scheme: authz.SchemeBare, Secret: authz.NewSecret(good)}, authz.OK},
		{"a user's password", authz.Credential{Scheme: authz.SchemeBasic, User: "haplo", Secret: authz.NewSecret(good)}, authz.NoCredential},
		{"a session", authz.Credential{Scheme: authz.SchemeSession, Secret: authz.NewSecret(good)}, authz.NoCredential},
	}
	for _, test := range tests {
		if _, got := f.verify(test.c); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	f.importKeys("kw_oldstyle\nlegacy\n")
	f.eventually("kw_oldstyle", authz.OK)
	if _, got := f.verify(authz.Credential{Scheme: authz.SchemeBare, Secret: authz.NewSecret("legacy")}); got != authz.OK {
		t.Errorf("an imported key without a format: %s", got)
	}
	f.eventually("legacy", authz.NoCredential)
}

// TestKeysOfDeletedUser checks that a user who is created again does not get
// the keys created before the deletion, including cached and rotated ones, and
// gets all keys created after it.
func TestKeysOfDeletedUser(t *testing.T) {
	f := newAPIKeyFixture(t, options{withUsers: true})
	_, old := f.create(store.KeyParams{User: "alice"})
	id, unused := f.create(store.KeyParams{User: "alice"})
	f.eventually(old, authz.OK)
	for range 2 { // the second time the second alice is deleted
		if err := f.users.Delete(context.Background(), "alice", "", time.Time{}); err != nil {
			t.Fatal(err)
		}
		f.eventually(old, authz.DisabledUser)
		_, next := f.create(store.KeyParams{User: "alice"})
		f.setUser("alice", records.UserPatch{Scopes: &[]string{"admin"}})
		if p := f.eventually(old, authz.RevokedKey); p == nil || p.User != "alice" || p.KeyID == "" {
			t.Errorf("the log does not have the key's user and id: %+v", p)
		}
		f.eventually(unused, authz.RevokedKey)
		if p := f.eventually(next, authz.OK); p != nil && p.Scopes.String() != "admin" {
			t.Errorf("a key made after the deletion: %+v", p)
		}
		f.setUser("alice", records.UserPatch{Paths: &[]string{}}) // a change of the user does not move the time
		f.eventually(old, authz.RevokedKey)
		f.eventually(next, authz.OK)
		old = next
	}
	_, rotated, err := f.journal.Rotate(context.Background(), id, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	f.eventually(rotated.Reveal(), authz.RevokedKey)
}

// TestKeyBeforeItsUser checks that a key may be created before its user.
func TestKeyBeforeItsUser(t *testing.T) {
	f := newAPIKeyFixture(t, options{withUsers: true})
	_, key := f.create(store.KeyParams{User: "bob"})
	f.eventually(key, authz.DisabledUser)
	f.setUser("bob", records.UserPatch{})
	f.eventually(key, authz.OK)
}

// TestKeyOfReservedUser checks that a user name that upstreams could take for
// the id of another key is refused, with a users file and without.
func TestKeyOfReservedUser(t *testing.T) {
	for _, user := range []string{"k_8ENbdXlcXqgH", "k_", "c_8ENbdXlcXqgH"} {
		err := verifyRepeatedly(t, &scriptedStore{keys: []keyindex.Key{{ID: "k_000000000000", User: user, State: keyindex.Active}}}, nil, 1)
		if refusal, ok := errors.AsType[*authz.CredentialError](err); !ok || refusal.Reason != authz.DisabledUser {
			t.Errorf("user %s: %v", user, err)
		}
	}
}

// brokenStore is a KeyStore whose Find fails.
type brokenStore struct{ *keyindex.Keys }

func (brokenStore) Find(apikey.Digest, time.Time) (keyindex.Key, error) {
	return keyindex.Key{}, errors.New("store unavailable")
}

// scriptedStore returns the next of its keys for each look-up, and the last one
// again and again.
type scriptedStore struct {
	keys  []keyindex.Key
	finds int
}

func (s *scriptedStore) Find(apikey.Digest, time.Time) (keyindex.Key, error) {
	s.finds++
	if len(s.keys) == 0 {
		return keyindex.Key{}, keyindex.ErrUnknown
	}
	return s.keys[min(s.finds, len(s.keys))-1], nil
}
func (s *scriptedStore) FindID(string) (keyindex.Key, error) {
	return s.Find(apikey.Digest{}, time.Time{})
}
func (*scriptedStore) IsCurrent(keyindex.Revision) bool { return true }
func (*scriptedStore) HasRawKeys() bool                 { return true }

func verifyRepeatedly(t *testing.T, store verifier.KeyStore, users verifier.UserStore, times int) error {
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

// TestScratch checks that the principal of an uncached key is written to the
// credential's scratch space, and that a cached one never is, since the space
// is reused.
func TestScratch(t *testing.T) {
	f := newAPIKeyFixture(t, options{})
	id, key := f.create(store.KeyParams{})
	c := &authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(key)}
	c.Bind(new(authz.Request))
	scratch := c.Scratch()
	ask := func() (p *authz.Principal) {
		p, _ = f.Verify(context.Background(), c, f.now)
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

func TestUsersNotLoaded(t *testing.T) {
	store := &scriptedStore{keys: []keyindex.Key{{ID: "k_1", User: "alice", State: keyindex.Active}}}
	if err := verifyRepeatedly(t, store, keyindex.NewUsers(), 1); !errors.Is(err, keyindex.ErrNotLoaded) {
		t.Errorf("error %v, want keyindex.ErrNotLoaded", err)
	}
}

func TestStoreErrors(t *testing.T) {
	hasher := apikey.NewHasher(authz.Secret{})
	principals, err := cache.New[*verifier.CachedKey](10, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string]verifier.KeyStore{"unavailable": brokenStore{keyindex.NewKeys()}, "not loaded": keyindex.NewKeys()} {
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

// TestKeyRate checks that a principal has the rate of its key. A rate that
// cannot be parsed is an error: the key gets neither no limit nor the default
// limit.
func TestKeyRate(t *testing.T) {
	f := newAPIKeyFixture(t, options{})
	_, key := f.create(store.KeyParams{Rate: "1000/h"})
	if p := f.eventually(key, authz.OK); p.Rate != (authz.Rate{Count: 1000, Period: time.Hour}) {
		t.Errorf("rate %s", p.Rate)
	}
	_, without := f.create(store.KeyParams{})
	if p := f.eventually(without, authz.OK); p.Rate != (authz.Rate{}) {
		t.Errorf("a key without a rate: rate %s", p.Rate)
	}
	var r store.KeyRecord
	var bad authz.Secret
	err := f.journal.Editor(nil).Edit(context.Background(), func(tx store.Tx[store.KeyRecord]) (err error) {
		// No command makes such a key.
		r, bad, err = store.KeyMaker{Hasher: f.hasher, Rand: rand.Reader}.New(&store.KeyParams{Name: "test", Prefix: "kw_", Rate: "1000 a day"}, f.now)
		tx.Put(&r, &audit.Entry{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	f.eventually(bad.Reveal(), authz.Unavailable)
	_, err = f.Verify(context.Background(), &authz.Credential{Scheme: authz.SchemeBearer, Secret: bad}, f.now)
	if err == nil || !strings.Contains(err.Error(), r.ID) || strings.Contains(err.Error(), "a day") {
		t.Errorf("error %v, want one with the key's id and without the rate", err)
	}
	f.eventually(key, authz.OK)
}

// TestTokensInPlacesOfTheirOwn: a header, the query and Basic carry what Bearer
// does. There a known key is a key, whatever its form; what is not known is left
// to the verifiers of other tokens, if there are any.
func TestTokensInPlacesOfTheirOwn(t *testing.T) {
	for _, opaque := range []bool{false, true} {
		f := newAPIKeyFixture(t, options{opaqueTokens: opaque})
		_, good := f.create(store.KeyParams{})
		f.importKeys("legacy\na.b.c\n")
		f.eventuallyIn(authz.SchemeBare, "a.b.c", authz.OK) // the last line of the file
		left := authz.UnknownKey                            // of what no verifier of keys knows
		if opaque {
			left = authz.NoCredential
		}
		for _, test := range []struct {
			scheme authz.CredentialScheme
			text   string
			want   authz.Reason
		}{
			{authz.SchemeBare, good, authz.OK},
			{authz.SchemeBare, "legacy", authz.OK},
			{authz.SchemeBare, "a.b.c", authz.OK},
			{authz.SchemeBare, "x.y.z", left},
			{authz.SchemeBare, "opaque", left},
			{authz.SchemeBare, "kw_junk", authz.UnknownKey},
			{authz.SchemeBearer, "legacy", authz.NoCredential},
			{authz.SchemeBearer, "opaque", authz.NoCredential},
		} {
			if _, got := f.verify(authz.Credential{Scheme: test.scheme, Secret: authz.NewSecret(test.text)}); got != test.want {
				t.Errorf("opaque tokens %v, scheme %d, %q: %s, want %s", opaque, test.scheme, test.text, got, test.want)
			}
		}
	}
}

// TestKeysInOtherPlacesAreFirst: the verifiers of other tokens are asked about a
// token in a header only if it is not a known key, and about a revoked one never.
func TestKeysInOtherPlacesAreFirst(t *testing.T) {
	f := newAPIKeyFixture(t, options{opaqueTokens: true})
	f.importKeys("a.b.c\n")
	id := f.eventuallyIn(authz.SchemeBare, "a.b.c", authz.OK).KeyID
	asked := 0
	other := verifierFunc(func() (*authz.Principal, error) {
		asked++
		return &authz.Principal{AuthMethod: authz.AuthMethodJWT, User: "alice"}, nil
	})
	chain := verifier.Chain{f.APIKey, other, f.Unprefixed()}
	ask := func(text string) authz.Reason {
		_, err := chain.Verify(t.Context(), &authz.Credential{Scheme: authz.SchemeBare, Secret: authz.NewSecret(text)}, f.now)
		if refusal, refused := errors.AsType[*authz.CredentialError](err); refused {
			return refusal.Reason
		}
		return authz.OK
	}
	if got := ask("a.b.c"); got != authz.OK || asked != 0 {
		t.Errorf("a known key: %s, asked %d", got, asked)
	}
	if got := ask("x.y.z"); got != authz.OK || asked != 1 {
		t.Errorf("another token: %s, asked %d", got, asked)
	}
	if _, err := f.journal.Revoke(context.Background(), id, ""); err != nil {
		t.Fatal(err)
	}
	f.eventuallyIn(authz.SchemeBare, "a.b.c", authz.RevokedKey)
	if got := ask("a.b.c"); got != authz.RevokedKey || asked != 1 {
		t.Errorf("a revoked key: %s, asked %d", got, asked)
	}
}
