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
	"keyward/internal/vectors"
	"keyward/keystore"
	"keyward/passwordhash"
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
	file  *keystore.UserFile // nil if the users have no file
	path  string             // of the file
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

// fakeVerify matches a password with the stored hash "hash of " and the password.
func fakeVerify(hash, password authz.Secret) (bool, error) {
	return hash.Reveal() == "hash of "+password.Reveal(), nil
}

// withFile gives the fixture a users file and real hashes.
func (d *basicFixture) withFile() *basicFixture {
	d.t.Helper()
	d.path = filepath.Join(d.t.TempDir(), "users.jsonl")
	d.file = keystore.NewUserFile(keystore.UserFileConfig{Path: d.path})
	if _, err := d.file.SetUser("nobody", keystore.UserPatch{}); err != nil {
		d.t.Fatal(err)
	}
	users := keystore.NewUsers()
	follower, err := journal.Follow(journal.FollowConfig{Path: d.path, Into: users})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = follower.Close() })
	d.users, d.verify = users, passwordhash.Verify
	return d
}

func (d *basicFixture) config(pool password.Config) login.Config {
	d.t.Helper()
	accounts, err := cache.New[login.CachedAccount](1000, d.ttl)
	if err != nil {
		d.t.Fatal(err)
	}
	wrong, err := cache.New[login.WrongPassword](1000, wrongFor)
	if err != nil {
		d.t.Fatal(err)
	}
	trusted, err := cache.New[bool](1000, 1000*24*time.Hour)
	if err != nil {
		d.t.Fatal(err)
	}
	d.pool = password.NewPool(pool)
	return login.Config{
		Users: d.users, Fingerprints: fingerprint.NewHasher(), Pool: d.pool, Attempts: password.NewAttempts(password.AttemptsConfig{}),
		DummyHash: func(string) authz.Secret { return d.dummy }, Accounts: accounts, RenewAfter: d.ttl / 2, Wrong: wrong, Trusted: trusted, VerifyHash: d.count,
	}
}

// open makes the verifier; the pool is closed with the test. Callers wait for up to a
// minute, since a machine that is busy with other tests is slow.
func (d *basicFixture) open() *basicFixture {
	d.t.Helper()
	d.openWith(password.Config{Workers: 1, MaxWait: time.Minute})
	d.t.Cleanup(d.pool.Close)
	return d
}

func (d *basicFixture) openWith(pool password.Config) {
	d.t.Helper()
	users, err := login.New(d.config(pool))
	if err != nil {
		d.t.Fatal(err)
	}
	d.Basic = verifier.NewBasic(users)
}

func (d *basicFixture) count(hash, password authz.Secret) (bool, error) {
	d.mu.Lock()
	d.hashed = append(d.hashed, hash)
	d.mu.Unlock()
	return d.verify(hash, password)
}

// hashes returns how many hashes were computed since the last call.
func (d *basicFixture) hashes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.hashed)
	d.hashed = nil
	return n
}

func (d *basicFixture) login(user, password, client string) (*authz.Principal, authz.Reason) {
	return d.loginWith(context.Background(), user, password, client)
}

func (d *basicFixture) loginWith(ctx context.Context, user, password, client string) (*authz.Principal, authz.Reason) {
	p, err := d.Verify(ctx, &authz.Credential{Scheme: authz.SchemeBasic, User: user, Secret: authz.NewSecret(password), Client: authz.RawAddress(client)}, d.now)
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

// is verifies without a client address, and checks the result and the number of hashes.
func (d *basicFixture) is(user, password string, want authz.Reason, hashes int) *authz.Principal {
	d.t.Helper()
	return d.from("", user, password, want, hashes)
}

func (d *basicFixture) from(client, user, password string, want authz.Reason, hashes int) *authz.Principal {
	d.t.Helper()
	d.hashes()
	p, got := d.login(user, password, client)
	if n := d.hashes(); got != want || n != hashes {
		d.t.Errorf("%q with %q from %q: %s after %d hashes, want %s after %d", user, password, client, got, n, want, hashes)
	}
	if p == nil {
		p = &authz.Principal{}
	}
	return p
}

// change waits until a change to the user is in effect.
func (d *basicFixture) change(user string, write func() error) {
	d.t.Helper()
	before, _ := d.users.Lookup(user)
	if err := write(); err != nil {
		d.t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if after, _ := d.users.Lookup(user); after != before && (before == nil || before.Superseded()) {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("the change of %s is not in effect", user)
		}
	}
}

func (d *basicFixture) set(user string, patch keystore.UserPatch) {
	d.t.Helper()
	d.change(user, func() error { _, err := d.file.SetUser(user, patch); return err })
}

// password sets a hash of low cost, as an htpasswd file may have.
func (d *basicFixture) password(user, text string) {
	d.t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(text), bcrypt.MinCost)
	if err != nil {
		d.t.Fatal(err)
	}
	d.change(user, func() error {
		_, err := d.file.ImportHtpasswd(strings.NewReader(user + ":" + string(hash)))
		return err
	})
}

// old adds a user with a line of an older version, which accepted any name.
func (d *basicFixture) old(user, text string) {
	d.t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(text), bcrypt.MinCost)
	if err != nil {
		d.t.Fatal(err)
	}
	d.change(user, func() error {
		line := fmt.Sprintf(`{"name":%q,"password":%q,"created":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}`+"\n", user, hash)
		file, err := os.OpenFile(d.path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = file.WriteString(line)
		return errors.Join(err, file.Close())
	})
}

// TestReservedUserNames checks that a user with the name of a key's id is refused like a
// disabled one: the reason says so only after the right password.
func TestReservedUserNames(t *testing.T) {
	d := newBasicFixture(t).withFile().open()
	d.old("k_8ENbdXlcXqgH", "right")
	d.is("k_8ENbdXlcXqgH", "right", authz.DisabledUser, 1)
	d.is("k_8ENbdXlcXqgH", "wrong", authz.WrongPassword, 1)
	no := false
	d.set("k_8ENbdXlcXqgH", keystore.UserPatch{Disabled: &no})
	d.is("k_8ENbdXlcXqgH", "right", authz.DisabledUser, 0)
}

func TestPasswords(t *testing.T) {
	d := newBasicFixture(t).withFile().open()
	d.password("alice", "correct horse")
	d.set("alice", keystore.UserPatch{Scopes: &[]string{"read"}, Paths: &[]string{"/api"}})

	p := d.is("alice", "correct horse", authz.OK, 1)
	if p.AuthMethod != authz.AuthMethodBasic || p.Subject() != "alice" || p.Scopes.String() != "read" || !p.Paths.IsAnyPath() || p.UserPaths.IsAnyPath() || !p.ExpiresAt.IsZero() {
		t.Errorf("principal %+v", p)
	}
	if again := d.is("alice", "correct horse", authz.OK, 0); again != p {
		t.Error("the cached principal is a different one")
	}
	d.is("alice", "correct horsE", authz.WrongPassword, 1)
	d.is("Alice", "correct horse", authz.WrongPassword, 1)
	d.is("alice", "", authz.WrongPassword, 0)
	d.is("alice", strings.Repeat("x", 72), authz.WrongPassword, 1)
	d.is("alice", strings.Repeat("x", 73), authz.WrongPassword, 0)
	d.now = d.now.Add(time.Minute) // the TTL has passed
	d.is("alice", "correct horse", authz.OK, 1)
}

// TestPasswordInUse checks that a password in use is hashed once, and that one that is not
// used expires with the TTL.
func TestPasswordInUse(t *testing.T) {
	d := newBasicFixture(t).withFile().open()
	d.password("alice", "right")
	d.is("alice", "right", authz.OK, 1)
	for range 10 {
		d.now = d.now.Add(d.ttl * 3 / 4)
		d.is("alice", "right", authz.OK, 0)
	}
	d.set("alice", keystore.UserPatch{Scopes: &[]string{"write"}})
	for range 3 {
		if p := d.is("alice", "right", authz.OK, 0); p.Scopes.String() != "write" {
			t.Errorf("scopes %q", p.Scopes)
		}
		d.now = d.now.Add(d.ttl * 3 / 4)
	}
	d.password("alice", "another")
	d.is("alice", "right", authz.WrongPassword, 1)
	d.is("alice", "another", authz.OK, 1)
	d.now = d.now.Add(d.ttl)
	d.is("alice", "another", authz.OK, 1)
}

// TestWrongAgain checks that a wrong password is not hashed again for some seconds, unless
// the user's password has changed.
func TestWrongAgain(t *testing.T) {
	d := newBasicFixture(t).withFile().open()
	d.password("alice", "right")
	for _, user := range []string{"alice", "unknown", "nobody"} { // nobody has no password
		d.is(user, "wrong", authz.WrongPassword, 1)
		for range 20 { // none of these counts as a failure
			d.from("192.0.2.1", user, "wrong", authz.WrongPassword, 0)
		}
		d.now = d.now.Add(wrongFor)
		d.is(user, "wrong", authz.WrongPassword, 1)
	}
	d.from("192.0.2.1", "alice", "right", authz.OK, 1)
	for _, user := range []string{"alice", "unknown", "nobody"} {
		d.is(user, "later", authz.WrongPassword, 1)
		d.password(user, "later")
		d.is(user, "later", authz.OK, 1)
	}
	d.change("alice", func() error { return d.file.DeleteUser("alice") })
	d.is("alice", "later", authz.WrongPassword, 1)
}

// TestLongPasswords checks that a password longer than bcrypt's limit is not accepted for
// its first 72 bytes.
func TestLongPasswords(t *testing.T) {
	d := newBasicFixture(t).withFile().open()
	long := strings.Repeat("x", 72)
	d.password("alice", long)
	d.is("alice", long+"y", authz.WrongPassword, 0)
	d.is("alice", long, authz.OK, 1)
	d.is("alice", long+"y", authz.WrongPassword, 0)
}

func TestOtherKindsAreNotBasics(t *testing.T) {
	d := newBasicFixture(t).withFile().open()
	d.password("alice", "x")
	for _, kind := range []authz.CredentialScheme{authz.SchemeNone, authz.SchemeBearer, authz.SchemeAPIKey} {
		c := &authz.Credential{Scheme: kind, User: "alice", Secret: authz.NewSecret("x")}
		if p, err := d.Verify(t.Context(), c, d.now); p != nil || err != authz.ErrNotMine {
			t.Errorf("kind %d: %v, %v", kind, p, err)
		}
	}
}

// TestNobodyCanTellWhoIsThere checks that an unknown user, one without a password and a
// disabled one get the same answer after as many hashes of the same cost as other users.
func TestNobodyCanTellWhoIsThere(t *testing.T) {
	d := newBasicFixture(t).withFile().open()
	secret, yes := authz.NewSecret("correct horse"), true
	d.set("alice", keystore.UserPatch{Password: &secret})
	d.set("disabled", keystore.UserPatch{Password: &secret, Disabled: &yes})
	d.set("passwordless", keystore.UserPatch{Scopes: &[]string{"read"}})
	costs := map[string]bool{}
	for _, user := range []string{"alice", "disabled", "passwordless", "unknown"} {
		for n := range 2 {
			if _, got := d.login(user, fmt.Sprint("wrong", n), ""); got != authz.WrongPassword {
				t.Errorf("%s: %s", user, got)
			}
			d.mu.Lock()
			if len(d.hashed) != 1 {
				t.Fatalf("%s: %d hashes", user, len(d.hashed))
			}
			costs[strings.Join(strings.Split(d.hashed[0].Reveal(), "$")[:4], "$")] = true
			d.mu.Unlock()
			d.hashes()
		}
	}
	if len(costs) != 1 {
		t.Errorf("hashes of different costs: %v", costs)
	}
}

// TestTheDummyIsNobodysPassword checks that no password is right for an unknown user, even
// one that matches the dummy hash.
func TestTheDummyIsNobodysPassword(t *testing.T) {
	d := newBasicFixture(t).withFile().open()
	d.verify = func(_, _ authz.Secret) (bool, error) { return true, nil }
	d.is("unknown", "x", authz.WrongPassword, 1)
	d.is("nobody", "x", authz.WrongPassword, 1) // who has no password
	d.is("nobody", "y", authz.WrongPassword, 1)
}

// TestChangesOfAUser checks that changes are in effect at once, and need no new hash if the
// password is the same.
func TestChangesOfAUser(t *testing.T) {
	d := newBasicFixture(t).withFile().open()
	yes, no := true, false
	d.password("alice", "old")
	if p := d.is("alice", "old", authz.OK, 1); p.Scopes.String() != "" {
		t.Errorf("scopes %q", p.Scopes)
	}
	d.set("alice", keystore.UserPatch{Scopes: &[]string{"write"}})
	if p := d.is("alice", "old", authz.OK, 0); p.Scopes.String() != "write" {
		t.Errorf("scopes after the change: %q", p.Scopes)
	}
	d.set("alice", keystore.UserPatch{Disabled: &yes})
	if p := d.is("alice", "old", authz.DisabledUser, 0); p.User != "alice" {
		t.Errorf("the log would have %+v", p)
	}
	d.is("alice", "wrong", authz.WrongPassword, 1)
	d.set("alice", keystore.UserPatch{Disabled: &no})
	d.is("alice", "old", authz.OK, 0)

	d.password("alice", "new")
	d.is("alice", "old", authz.WrongPassword, 1)
	d.is("alice", "new", authz.OK, 1)
	d.password("alice", "old") // another hash of the same
	d.is("alice", "old", authz.OK, 1)
	d.is("alice", "new", authz.WrongPassword, 1)

	d.change("alice", func() error { return d.file.DeleteUser("alice") })
	d.is("alice", "old", authz.WrongPassword, 1)
	d.set("alice", keystore.UserPatch{})
	d.is("alice", "old", authz.WrongPassword, 0) // still without a password
	d.is("alice", "new", authz.WrongPassword, 1)
}

// TestDisabledFromTheStart checks that the client learns that the user is disabled only
// after the right password, which is hashed once.
func TestDisabledFromTheStart(t *testing.T) {
	d := newBasicFixture(t).withFile().open()
	yes := true
	d.password("alice", "right")
	d.set("alice", keystore.UserPatch{Disabled: &yes})
	d.is("alice", "wrong", authz.WrongPassword, 1)
	d.is("alice", "right", authz.DisabledUser, 1)
	d.is("alice", "right", authz.DisabledUser, 0)
}

// TestChangedWhileItWasHashed checks that the result is compared with the stored hash at
// the end.
func TestChangedWhileItWasHashed(t *testing.T) {
	d := newBasicFixture(t).withFile().open()
	d.password("alice", "right")
	meanwhile := func() {}
	d.verify = func(hash, password authz.Secret) (bool, error) {
		right, err := passwordhash.Verify(hash, password)
		meanwhile()
		meanwhile = func() {}
		return right, err
	}
	meanwhile = func() { d.set("alice", keystore.UserPatch{Scopes: &[]string{"write"}}) }
	if p := d.is("alice", "right", authz.OK, 1); p.Scopes.String() != "write" {
		t.Errorf("scopes %q", p.Scopes)
	}
	d.now = d.now.Add(time.Hour)
	meanwhile = func() { d.password("alice", "another") }
	d.is("alice", "right", authz.WrongPassword, 2)
	meanwhile = func() { d.change("alice", func() error { return d.file.DeleteUser("alice") }) }
	d.is("alice", "another", authz.WrongPassword, 2)
}

func TestWhatCannotBeTold(t *testing.T) {
	d := newBasicFixture(t)
	d.users = keystore.NewUsers()
	d.open().is("alice", "x", authz.Unavailable, 0)

	d = newBasicFixture(t).withFile().open()
	d.verify = func(_, _ authz.Secret) (bool, error) { return true, errors.New("no such hash") }
	d.is("alice", "x", authz.Unavailable, 1)
	d.verify = func(_, _ authz.Secret) (bool, error) { panic("x") }
	d.is("alice", "x", authz.Unavailable, 1)
	d.verify = fakeVerify
	d.is("alice", "x", authz.WrongPassword, 1)
}

func TestPartsOfBasic(t *testing.T) {
	d := newBasicFixture(t).withFile()
	whole := d.config(password.Config{})
	defer d.pool.Close()
	if _, err := login.New(whole); err != nil {
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
		cfg := whole
		without(&cfg)
		if _, err := login.New(cfg); err == nil {
			t.Errorf("without part %d", n)
		}
	}
}

// TestBasicVectors checks that each user and password of the vectors that a user may have
// is accepted.
func TestBasicVectors(t *testing.T) {
	d := newBasicFixture(t).withFile().open()
	for n, v := range vectors.Authorizations(t) {
		if v.Expect != "basic" {
			continue
		}
		if !keystore.ValidUserName(v.User) {
			t.Errorf("line %d (%s): %q is not a valid user name", n+1, v.Why, v.User)
			continue
		}
		if v.Password == "" || len(v.Password) > 72 {
			d.set(v.User, keystore.UserPatch{})
			d.is(v.User, v.Password, authz.WrongPassword, 0)
			continue
		}
		switch {
		case v.Bcrypt != "":
			d.change(v.User, func() error {
				_, err := d.file.ImportHtpasswd(strings.NewReader(v.User + ":" + v.Bcrypt))
				return err
			})
		case v.User[0] == ' ': // new users cannot have this name
			d.old(v.User, v.Password)
		default:
			d.password(v.User, v.Password)
		}
		if p := d.is(v.User, v.Password, authz.OK, 1); p.User != v.User {
			t.Errorf("line %d (%s): user %q", n+1, v.Why, p.User)
		}
		d.is(v.User, v.Password+"x", authz.WrongPassword, 1)
	}
}

// BenchmarkBasicCached compares with BenchmarkAPIKeyCached.
func BenchmarkBasicCached(b *testing.B) {
	d := newBasicFixture(b).withFile().open()
	d.password("alice", "correct horse battery staple")
	c := &authz.Credential{Scheme: authz.SchemeBasic, User: "alice", Secret: authz.NewSecret("correct horse battery staple"), Client: "192.0.2.1"}
	benchmarkCached(b, d.Basic, c, d.now)
}

func BenchmarkAPIKeyCached(b *testing.B) {
	hasher := apikey.NewHasher(authz.NewSecret("a pepper for the tests"))
	path := filepath.Join(b.TempDir(), "keys.jsonl")
	_, secret, err := keystore.NewJournal(keystore.JournalConfig{Path: path, Hasher: hasher}).Create(keystore.Params{Name: "key", User: "alice", Prefix: "kw_"})
	if err != nil {
		b.Fatal(err)
	}
	keys := keystore.NewKeys(hasher)
	follower, err := journal.Follow(journal.FollowConfig{Path: path, Into: keys})
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
