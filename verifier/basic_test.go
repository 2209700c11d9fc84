package verifier_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"keyward/apikey"
	"keyward/authz"
	"keyward/cache"
	"keyward/internal/recordfile"
	"keyward/internal/records"
	"keyward/internal/vectors"
	"keyward/keyindex"
	"keyward/passwordhash"
	"keyward/store"
	"keyward/store/filestore"
	"keyward/store/importer"
	"keyward/store/journal"
	"keyward/verifier"
	"keyward/verifier/fingerprint"
	"keyward/verifier/login"
	"keyward/verifier/password"
)

// basicFixture is a Basic verifier and its parts.
type basicFixture struct {
	*verifier.Basic
	t     testing.TB
	users verifier.UserStore
	file  *recordfile.UserFile // nil if the users have no file
	path  string               // of the file
	pool  *password.Pool
	dummy authz.Secret
	ttl   time.Duration
	now   time.Time

	mu     sync.Mutex
	hashed []authz.Secret // the stored hashes that passwords were verified against
	verify func(hash, password authz.Secret) (bool, error)
}

const wrongFor = 10 * time.Second

// newBasicFixture has no users; set users or call withFile before open.
func newBasicFixture(t testing.TB) *basicFixture {
	t.Helper()
	dummy, err := passwordhash.DummyHash(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &basicFixture{t: t, dummy: dummy, ttl: time.Minute, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), verify: fakeVerify}
}

// fakeVerify matches a password with the stored hash "hash of " and the
// password.
func fakeVerify(hash, password authz.Secret) (bool, error) {
	return hash.Reveal() == "hash of "+password.Reveal(), nil
}

// withFile gives the fixture a users file and real hashes.
func (f *basicFixture) withFile() *basicFixture {
	f.t.Helper()
	f.path = filepath.Join(f.t.TempDir(), "users.jsonl")
	f.file = recordfile.NewUserFile(filestore.UserFileConfig{Path: f.path}, nil)
	if _, err := f.file.Set(context.Background(), "nopassword", "", records.UserPatch{}); err != nil {
		f.t.Fatal(err)
	}
	users := keyindex.NewUsers()
	follower, err := filestore.UserFeed{FollowConfig: journal.FollowConfig{Path: f.path}}.Follow(users)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = follower.Close() })
	f.users, f.verify = users, passwordhash.Verify
	return f
}

func (f *basicFixture) config(pool password.Config) login.Config {
	f.t.Helper()
	accounts, err := cache.New[login.CachedAccount](1000, f.ttl)
	if err != nil {
		f.t.Fatal(err)
	}
	wrong, err := cache.New[login.WrongPassword](1000, wrongFor)
	if err != nil {
		f.t.Fatal(err)
	}
	trusted, err := cache.New[bool](1000, 1000*24*time.Hour)
	if err != nil {
		f.t.Fatal(err)
	}
	f.pool = password.NewPool(pool)
	return login.Config{
		Users: f.users, Fingerprints: fingerprint.NewHasher(), Pool: f.pool, Attempts: password.NewAttempts(password.AttemptsConfig{}),
		DummyHash: func(string) authz.Secret { return f.dummy }, Accounts: accounts, RenewAfter: f.ttl / 2, Wrong: wrong, Trusted: trusted, VerifyHash: f.count,
	}
}

// open makes the verifier; the pool is closed with the test. Callers wait for
// up to a minute, since a machine that is busy with other tests is slow.
func (f *basicFixture) open() *basicFixture {
	f.t.Helper()
	f.openWith(password.Config{Workers: 1, MaxWait: time.Minute})
	f.t.Cleanup(f.pool.Close)
	return f
}

func (f *basicFixture) openWith(pool password.Config) {
	f.t.Helper()
	users, err := login.New(f.config(pool))
	if err != nil {
		f.t.Fatal(err)
	}
	f.Basic = verifier.NewBasic(users)
}

func (f *basicFixture) count(hash, password authz.Secret) (bool, error) {
	f.mu.Lock()
	f.hashed = append(f.hashed, hash)
	f.mu.Unlock()
	return f.verify(hash, password)
}

// hashes returns how many hashes were computed since the last call.
func (f *basicFixture) hashes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.hashed)
	f.hashed = nil
	return n
}

func (f *basicFixture) login(user, password, client string) (*authz.Principal, authz.Reason) {
	return f.loginWith(context.Background(), user, password, client)
}

func (f *basicFixture) loginWith(ctx context.Context, user, password, client string) (*authz.Principal, authz.Reason) {
	p, err := f.Verify(ctx, &authz.Credential{Scheme: authz.SchemeBasic, User: user, Secret: authz.NewSecret(password), Client: authz.RawAddress(client)}, f.now)
	refusal, refused := errors.AsType[*authz.CredentialError](err)
	switch {
	case err == nil && p != nil:
		return p, authz.OK
	case refused && p == nil:
		return refusal.Principal, refusal.Reason
	default:
		return nil, authz.Unavailable
	}
}

// expect verifies without a client address, and checks the result and the
// number of hashes.
func (f *basicFixture) expect(user, password string, want authz.Reason, hashes int) *authz.Principal {
	f.t.Helper()
	return f.expectFrom("", user, password, want, hashes)
}

func (f *basicFixture) expectFrom(client, user, password string, want authz.Reason, hashes int) *authz.Principal {
	f.t.Helper()
	f.hashes()
	p, got := f.login(user, password, client)
	if n := f.hashes(); got != want || n != hashes {
		f.t.Errorf("%q with %q from %q: %s after %d hashes, want %s after %d", user, password, client, got, n, want, hashes)
	}
	if p == nil {
		p = &authz.Principal{}
	}
	return p
}

// change waits until a change to the user is in effect.
func (f *basicFixture) change(user string, write func() error) {
	f.t.Helper()
	before, _ := f.users.Lookup(user)
	if err := write(); err != nil {
		f.t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if after, _ := f.users.Lookup(user); after != before && (before == nil || before.Stale()) {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("the change of %s is not in effect", user)
		}
	}
}

func (f *basicFixture) set(user string, patch records.UserPatch) {
	f.t.Helper()
	f.change(user, func() error { _, err := f.file.Set(context.Background(), user, "", patch); return err })
}

// password sets a hash of low cost, as an htpasswd file may have.
func (f *basicFixture) password(user, text string) {
	f.t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(text), bcrypt.MinCost)
	if err != nil {
		f.t.Fatal(err)
	}
	f.change(user, func() error {
		_, err := f.file.Import(context.Background(), []store.ImportedUser{{Name: user, Password: string(hash)}})
		return err
	})
}

// addLegacyUser adds a user with a line of an older version, which accepted any
// name.
func (f *basicFixture) addLegacyUser(user, text string) {
	f.t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(text), bcrypt.MinCost)
	if err != nil {
		f.t.Fatal(err)
	}
	f.change(user, func() error {
		line := fmt.Sprintf(`{"name":%q,"password":%q,"created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`+"\n", user, hash)
		file, err := os.OpenFile(f.path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = file.WriteString(line)
		return errors.Join(err, file.Close())
	})
}

// TestReservedUserNames checks that a user with the name of a key's id is
// refused like a disabled one: the reason says so only after the right
// password.
func TestReservedUserNames(t *testing.T) {
	f := newBasicFixture(t).withFile().open()
	f.addLegacyUser("k_8ENbdXlcXqgH", "right")
	f.expect("k_8ENbdXlcXqgH", "right", authz.DisabledUser, 1)
	f.expect("k_8ENbdXlcXqgH", "wrong", authz.WrongPassword, 1)
	no := false
	f.set("k_8ENbdXlcXqgH", records.UserPatch{Disabled: &no})
	f.expect("k_8ENbdXlcXqgH", "right", authz.DisabledUser, 0)
}

func TestPasswords(t *testing.T) {
	f := newBasicFixture(t).withFile().open()
	f.password("alice", "correct horse")
	f.set("alice", records.UserPatch{Scopes: &[]string{"read"}, Paths: &[]string{"/api"}})

	p := f.expect("alice", "correct horse", authz.OK, 1)
	if p.AuthMethod != authz.AuthMethodBasic || p.Subject() != "alice" || p.Scopes.String() != "read" || !p.Paths.IsAnyPath() || p.UserPaths.IsAnyPath() || !p.ExpiresAt.IsZero() {
		t.Errorf("principal %+v", p)
	}
	if again := f.expect("alice", "correct horse", authz.OK, 0); again != p {
		t.Error("the cached principal is a different one")
	}
	f.expect("alice", "correct horsE", authz.WrongPassword, 1)
	f.expect("Alice", "correct horse", authz.WrongPassword, 1)
	f.expect("alice", "", authz.WrongPassword, 0)
	f.expect("alice", strings.Repeat("x", 72), authz.WrongPassword, 1)
	f.expect("alice", strings.Repeat("x", 73), authz.WrongPassword, 0)
	f.now = f.now.Add(time.Minute) // the TTL has passed
	f.expect("alice", "correct horse", authz.OK, 1)
}

// TestPasswordInUse checks that a password in use is hashed once, and that one
// that is not used expires with the TTL.
func TestPasswordInUse(t *testing.T) {
	f := newBasicFixture(t).withFile().open()
	f.password("alice", "right")
	f.expect("alice", "right", authz.OK, 1)
	for range 10 {
		f.now = f.now.Add(f.ttl * 3 / 4)
		f.expect("alice", "right", authz.OK, 0)
	}
	f.set("alice", records.UserPatch{Scopes: &[]string{"write"}})
	for range 3 {
		if p := f.expect("alice", "right", authz.OK, 0); p.Scopes.String() != "write" {
			t.Errorf("scopes %q", p.Scopes)
		}
		f.now = f.now.Add(f.ttl * 3 / 4)
	}
	f.password("alice", "another")
	f.expect("alice", "right", authz.WrongPassword, 1)
	f.expect("alice", "another", authz.OK, 1)
	f.now = f.now.Add(f.ttl)
	f.expect("alice", "another", authz.OK, 1)
}

// TestWrongPasswordIsCached checks that a wrong password is not hashed again
// for some seconds, unless the user's password has changed.
func TestWrongPasswordIsCached(t *testing.T) {
	f := newBasicFixture(t).withFile().open()
	f.password("alice", "right")
	for _, user := range []string{"alice", "unknown", "nopassword"} { // a user without a password
		f.expect(user, "wrong", authz.WrongPassword, 1)
		for range 20 { // none of these counts as a failure
			f.expectFrom("192.0.2.1", user, "wrong", authz.WrongPassword, 0)
		}
		f.now = f.now.Add(wrongFor)
		f.expect(user, "wrong", authz.WrongPassword, 1)
	}
	f.expectFrom("192.0.2.1", "alice", "right", authz.OK, 1)
	for _, user := range []string{"alice", "unknown", "nopassword"} {
		f.expect(user, "later", authz.WrongPassword, 1)
		f.password(user, "later")
		f.expect(user, "later", authz.OK, 1)
	}
	f.change("alice", func() error { return f.file.Delete(context.Background(), "alice", "", time.Time{}) })
	f.expect("alice", "later", authz.WrongPassword, 1)
}

// TestLongPasswords checks that a password longer than bcrypt's limit is not
// accepted for its first 72 bytes.
func TestLongPasswords(t *testing.T) {
	f := newBasicFixture(t).withFile().open()
	long := strings.Repeat("x", 72)
	f.password("alice", long)
	f.expect("alice", long+"y", authz.WrongPassword, 0)
	f.expect("alice", long, authz.OK, 1)
	f.expect("alice", long+"y", authz.WrongPassword, 0)
}

func TestBasicNotMine(t *testing.T) {
	f := newBasicFixture(t).withFile().open()
	f.password("alice", "x")
	for _, kind := range []authz.CredentialScheme{authz.SchemeNone, authz.SchemeBearer, authz.SchemeBare} {
		c := &authz.Credential{Scheme: kind, User: "alice", Secret: authz.NewSecret("x")}
		if p, err := f.Verify(t.Context(), c, f.now); p != nil || err != authz.ErrNotMine {
			t.Errorf("kind %d: %v, %v", kind, p, err)
		}
	}
}

// TestUsersCannotBeEnumerated checks that an unknown user, one without a
// password and a disabled one get the same answer after as many hashes of the
// same cost as other users.
func TestUsersCannotBeEnumerated(t *testing.T) {
	f := newBasicFixture(t).withFile().open()
	secret, yes := authz.NewSecret("correct horse"), true
	f.set("alice", records.UserPatch{Password: &secret})
	f.set("disabled", records.UserPatch{Password: &secret, Disabled: &yes})
	f.set("passwordless", records.UserPatch{Scopes: &[]string{"read"}})
	costs := map[string]bool{}
	for _, user := range []string{"alice", "disabled", "passwordless", "unknown"} {
		for n := range 2 {
			if _, got := f.login(user, fmt.Sprint("wrong", n), ""); got != authz.WrongPassword {
				t.Errorf("%s: %s", user, got)
			}
			f.mu.Lock()
			if len(f.hashed) != 1 {
				t.Fatalf("%s: %d hashes", user, len(f.hashed))
			}
			costs[strings.Join(strings.Split(f.hashed[0].Reveal(), "$")[:4], "$")] = true
			f.mu.Unlock()
			f.hashes()
		}
	}
	if len(costs) != 1 {
		t.Errorf("hashes of different costs: %v", costs)
	}
}

// TestDummyHashMatchesNoPassword checks that no password is right for an
// unknown user, even one that matches the dummy hash.
func TestDummyHashMatchesNoPassword(t *testing.T) {
	f := newBasicFixture(t).withFile().open()
	f.verify = func(_, _ authz.Secret) (bool, error) { return true, nil }
	f.expect("unknown", "x", authz.WrongPassword, 1)
	f.expect("nopassword", "x", authz.WrongPassword, 1) // a user without a password
	f.expect("nopassword", "y", authz.WrongPassword, 1)
}

// TestChangesOfAUser checks that changes are in effect at once, and need no new
// hash if the password is the same.
func TestChangesOfAUser(t *testing.T) {
	f := newBasicFixture(t).withFile().open()
	yes, no := true, false
	f.password("alice", "old")
	if p := f.expect("alice", "old", authz.OK, 1); p.Scopes.String() != "" {
		t.Errorf("scopes %q", p.Scopes)
	}
	f.set("alice", records.UserPatch{Scopes: &[]string{"write"}})
	if p := f.expect("alice", "old", authz.OK, 0); p.Scopes.String() != "write" {
		t.Errorf("scopes after the change: %q", p.Scopes)
	}
	f.set("alice", records.UserPatch{Disabled: &yes})
	if p := f.expect("alice", "old", authz.DisabledUser, 0); p.User != "alice" {
		t.Errorf("the log would have %+v", p)
	}
	f.expect("alice", "wrong", authz.WrongPassword, 1)
	f.set("alice", records.UserPatch{Disabled: &no})
	f.expect("alice", "old", authz.OK, 0)

	f.password("alice", "new")
	f.expect("alice", "old", authz.WrongPassword, 1)
	f.expect("alice", "new", authz.OK, 1)
	f.password("alice", "old") // another hash of the same
	f.expect("alice", "old", authz.OK, 1)
	f.expect("alice", "new", authz.WrongPassword, 1)

	f.change("alice", func() error { return f.file.Delete(context.Background(), "alice", "", time.Time{}) })
	f.expect("alice", "old", authz.WrongPassword, 1)
	f.set("alice", records.UserPatch{})
	f.expect("alice", "old", authz.WrongPassword, 0) // still without a password
	f.expect("alice", "new", authz.WrongPassword, 1)
}

// TestDisabledUser checks that the client learns that the user is disabled only
// after the right password, which is hashed once.
func TestDisabledUser(t *testing.T) {
	f := newBasicFixture(t).withFile().open()
	yes := true
	f.password("alice", "right")
	f.set("alice", records.UserPatch{Disabled: &yes})
	f.expect("alice", "wrong", authz.WrongPassword, 1)
	f.expect("alice", "right", authz.DisabledUser, 1)
	f.expect("alice", "right", authz.DisabledUser, 0)
}

// TestUserChangesDuringHash checks that the result is compared with the stored
// hash at the end.
func TestUserChangesDuringHash(t *testing.T) {
	f := newBasicFixture(t).withFile().open()
	f.password("alice", "right")
	meanwhile := func() {}
	f.verify = func(hash, password authz.Secret) (bool, error) {
		right, err := passwordhash.Verify(hash, password)
		meanwhile()
		meanwhile = func() {}
		return right, err
	}
	meanwhile = func() { f.set("alice", records.UserPatch{Scopes: &[]string{"write"}}) }
	if p := f.expect("alice", "right", authz.OK, 1); p.Scopes.String() != "write" {
		t.Errorf("scopes %q", p.Scopes)
	}
	f.now = f.now.Add(time.Hour)
	meanwhile = func() { f.password("alice", "another") }
	f.expect("alice", "right", authz.WrongPassword, 2)
	meanwhile = func() {
		f.change("alice", func() error { return f.file.Delete(context.Background(), "alice", "", time.Time{}) })
	}
	f.expect("alice", "another", authz.WrongPassword, 2)
}

func TestLoginErrors(t *testing.T) {
	f := newBasicFixture(t)
	f.users = keyindex.NewUsers()
	f.open().expect("alice", "x", authz.Unavailable, 0)

	f = newBasicFixture(t).withFile().open()
	f.verify = func(_, _ authz.Secret) (bool, error) { return true, errors.New("no such hash") }
	f.expect("alice", "x", authz.Unavailable, 1)
	f.verify = func(_, _ authz.Secret) (bool, error) { panic("x") }
	f.expect("alice", "x", authz.Unavailable, 1)
	f.verify = fakeVerify
	f.expect("alice", "x", authz.WrongPassword, 1)
}

func TestLoginConfig(t *testing.T) {
	f := newBasicFixture(t).withFile()
	complete := f.config(password.Config{})
	defer f.pool.Close()
	if _, err := login.New(complete); err != nil {
		t.Fatal(err)
	}
	for n, without := range []func(*login.Config){
		func(c *login.Config) { c.Users = nil },
		func(c *login.Config) { c.Fingerprints = nil },
		func(c *login.Config) { c.Pool = nil },
		func(c *login.Config) { c.Attempts = nil },
		func(c *login.Config) { c.DummyHash = nil },
		func(c *login.Config) { c.Accounts = nil },
		func(c *login.Config) { c.Wrong = nil },
		func(c *login.Config) { c.Trusted = nil },
	} {
		cfg := complete
		without(&cfg)
		if _, err := login.New(cfg); err == nil {
			t.Errorf("without part %d", n)
		}
	}
}

// TestBasicVectors checks that each user and password of the vectors that a
// user may have is accepted.
func TestBasicVectors(t *testing.T) {
	f := newBasicFixture(t).withFile().open()
	for n, v := range vectors.Authorizations(t) {
		if v.Expect != "basic" {
			continue
		}
		if !store.ValidUserName(v.User) {
			t.Errorf("line %d (%s): %q is not a valid user name", n+1, v.Why, v.User)
			continue
		}
		if v.Password == "" || len(v.Password) > 72 {
			f.set(v.User, records.UserPatch{})
			f.expect(v.User, v.Password, authz.WrongPassword, 0)
			continue
		}
		switch {
		case v.Bcrypt != "":
			f.change(v.User, func() error {
				users, err := importer.ReadHtpasswd(strings.NewReader(v.User + ":" + v.Bcrypt))
				if err == nil {
					_, err = f.file.Import(context.Background(), users)
				}
				return err
			})
		case v.User[0] == ' ': // new users cannot have this name
			f.addLegacyUser(v.User, v.Password)
		default:
			f.password(v.User, v.Password)
		}
		if p := f.expect(v.User, v.Password, authz.OK, 1); p.User != v.User {
			t.Errorf("line %d (%s): user %q", n+1, v.Why, p.User)
		}
		f.expect(v.User, v.Password+"x", authz.WrongPassword, 1)
	}
}

// BenchmarkBasicCached compares with BenchmarkAPIKeyCached.
func BenchmarkBasicCached(b *testing.B) {
	f := newBasicFixture(b).withFile().open()
	f.password("alice", "correct horse battery staple")
	c := &authz.Credential{Scheme: authz.SchemeBasic, User: "alice", Secret: authz.NewSecret("correct horse battery staple"), Client: "192.0.2.1"}
	benchmarkCached(b, f.Basic, c, f.now)
}

func BenchmarkAPIKeyCached(b *testing.B) {
	hasher := apikey.NewHasher(authz.NewSecret("a pepper for the tests"))
	path := filepath.Join(b.TempDir(), "keys.jsonl")
	_, secret, err := recordfile.NewKeyFile(filestore.KeyFileConfig{Path: path, Hasher: hasher}).Create(context.Background(), store.KeyParams{Name: "key", User: "alice", Prefix: "kw_"})
	if err != nil {
		b.Fatal(err)
	}
	keys := keyindex.NewKeys()
	follower, err := filestore.KeyFeed{Hasher: hasher, FollowConfig: journal.FollowConfig{Path: path}}.Follow(keys)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = follower.Close() }()
	principals, err := cache.New[*verifier.CachedKey](1000, time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	v, err := verifier.NewAPIKey(verifier.APIKeyConfig{Keys: keys, Hasher: hasher, Prefixes: []string{"kw_"}, Principals: principals})
	if err != nil {
		b.Fatal(err)
	}
	benchmarkCached(b, v, &authz.Credential{Scheme: authz.SchemeBearer, Secret: secret}, time.Now())
}

func benchmarkCached(b *testing.B, v authz.Verifier, c *authz.Credential, now time.Time) {
	if _, err := v.Verify(b.Context(), c, now); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), c, now); err != nil {
			b.Fatal(fmt.Errorf("a cached credential: %w", err))
		}
	}
}
