package verifier_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keyward/authz"
	"keyward/keystore"
	"keyward/store/journal"
	"keyward/verifier"
)

// revocationList is a Revocations that a test changes.
type revocationList struct {
	mu       sync.Mutex
	jtis     map[string]bool
	subjects map[string]time.Time // issued before
	err      error
	asked    int
	changes  atomic.Uint64
}

func (r *revocationList) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *revocationList) Revoked(jti, subject string, issuedAt time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	before, named := r.subjects[subject]
	return r.jtis[jti] || named && issuedAt.Before(before)
}

func (r *revocationList) Changes() uint64 { return r.changes.Load() }

func (r *revocationList) change(f func()) {
	r.mu.Lock()
	f()
	r.mu.Unlock()
	r.changes.Add(1)
}

func TestJWTRevocations(t *testing.T) {
	list := &revocationList{jtis: map[string]bool{}, subjects: map[string]time.Time{}}
	b := newJWTFixture(t, func(c *verifier.JWTConfig, _ *verifier.JWTIssuer) { c.Revocations = list })
	one, two := b.mint("EdDSA", map[string]any{"jti": "one"}), b.mint("EdDSA", map[string]any{"jti": "two", "sub": "bob"})
	undated := b.mint("EdDSA", map[string]any{"sub": "bob", "iat": nil})
	p := b.wants(one, authz.OK, "one")
	b.wants(two, authz.OK, "two")
	b.wants(undated, authz.OK, "without iat")
	if list.asked != 3 {
		t.Errorf("asked %d times about 3 tokens", list.asked)
	}
	list.change(func() { list.jtis["one"] = true })
	if revoked := b.wants(one, authz.RevokedToken, "one by its jti"); revoked == nil || revoked.User != "alice" {
		t.Error("the log does not have the token's user")
	}
	b.wants(two, authz.OK, "two, not named")
	issued := tokenNow.Add(-time.Minute) // the tokens' iat
	list.change(func() { list.subjects["bob"] = issued.Add(-30 * time.Second) })
	b.wants(two, authz.OK, "issued after that time, even if its issuer's clock is ahead")
	list.change(func() { list.subjects["bob"] = issued.Add(-29 * time.Second) })
	b.wants(two, authz.RevokedToken, "issued before that time, if its issuer's clock is ahead")
	b.wants(undated, authz.RevokedToken, "issued at an unknown time")
	list.change(func() { list.subjects["bob"] = tokenNow })
	b.wants(two, authz.RevokedToken, "issued before")
	b.now = tokenNow.Add(2 * time.Hour)
	b.wants(one, authz.ExpiredToken, "revoked and expired")
	b.now = tokenNow
	list.change(func() { delete(list.jtis, "one") })
	if again := b.wants(one, authz.OK, "no longer revoked"); again == nil || again.User != p.User {
		t.Error("a different principal")
	}
	list.change(func() { list.err = errors.New("not loaded") })
	b.wants(one, authz.Unavailable, "revocations that are not loaded, from the cache")
	b.wants(b.mint("EdDSA", nil), authz.Unavailable, "revocations that are not loaded")
}

func TestJWTUsers(t *testing.T) {
	dir := t.TempDir()
	file := keystore.NewUserFile(keystore.UserFileConfig{Path: filepath.Join(dir, "users.jsonl")})
	set := func(name string, patch keystore.UserPatch) {
		t.Helper()
		if _, err := file.SetUser(name, patch); err != nil {
			t.Fatal(err)
		}
	}
	set("alice", keystore.UserPatch{Scopes: &[]string{"hers"}, Paths: &[]string{"/api"}})
	users := keystore.NewUsers()
	b := newJWTFixture(t, func(c *verifier.JWTConfig, i *verifier.JWTIssuer) { c.Users, i.Users = users, true })
	own, inherits, stranger := b.mint("EdDSA", nil), b.mint("EdDSA", map[string]any{"scope": nil}), b.mint("EdDSA", map[string]any{"sub": "bob"})
	none := b.mint("EdDSA", map[string]any{"scope": ""})
	b.wants(own, authz.Unavailable, "users that are not loaded")
	follower, err := journal.Follow(journal.FollowConfig{Path: filepath.Join(dir, "users.jsonl"), Into: users})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = follower.Close() })

	if p := b.wants(own, authz.OK, "alice"); p != nil && (p.Scopes.String() != "read" || p.UserPaths.IsAnyPath() || !p.Paths.IsAnyPath()) {
		t.Errorf("a token with scopes: %+v", p)
	}
	if p := b.wants(inherits, authz.OK, "alice"); p != nil && p.Scopes.String() != "hers" {
		t.Errorf("a token without scopes: %q", p.Scopes)
	}
	if p := b.wants(none, authz.OK, "alice"); p != nil && p.Scopes.String() != "" {
		t.Errorf("a token with an empty scope: %q", p.Scopes)
	}
	if p := b.wants(stranger, authz.DisabledUser, "bob"); p == nil || p.User != "bob" {
		t.Error("the log does not have the token's user")
	}
	yes, no := true, false
	set("alice", keystore.UserPatch{Disabled: &yes})
	b.becomes(own, authz.DisabledUser)
	set("alice", keystore.UserPatch{Disabled: &no, Scopes: &[]string{"other"}})
	b.becomes(own, authz.OK)
	if p := b.becomes(inherits, authz.OK); p != nil && p.Scopes.String() != "other" {
		t.Errorf("after the user's change: %q", p.Scopes)
	}
	if err := file.DeleteUser("alice"); err != nil {
		t.Fatal(err)
	}
	b.becomes(inherits, authz.DisabledUser)
}

// TestRevokedWhileIssuersClockIsAhead checks that all tokens that are accepted when a
// subject is revoked are refused from then on, and that tokens issued more than the leeway
// later are accepted.
func TestRevokedWhileIssuersClockIsAhead(t *testing.T) {
	list := &revocationList{subjects: map[string]time.Time{}}
	b := newJWTFixture(t, func(c *verifier.JWTConfig, _ *verifier.JWTIssuer) { c.Revocations = list })
	var accepted []string
	for _, ahead := range []int64{0, 5, 15, 25, 29} {
		token := b.mint("EdDSA", map[string]any{"iat": tokenNow.Unix() + ahead, "jti": fmt.Sprint(ahead)})
		b.wants(token, authz.OK, "before the revocation")
		accepted = append(accepted, token)
	}
	list.change(func() { list.subjects["alice"] = tokenNow.Add(time.Millisecond) })
	for _, token := range accepted {
		b.wants(token, authz.RevokedToken, "after the revocation")
	}
	b.now = tokenNow.Add(31 * time.Second)
	b.wants(b.mint("EdDSA", map[string]any{"iat": b.now.Unix()}), authz.OK, "issued when the leeway is over")
	for _, token := range accepted {
		b.wants(token, authz.RevokedToken, "when the leeway is over")
	}
}

// TestTokensOfDeletedUser checks that a user who is created again does not get the tokens
// issued before, nor those that may have been issued before if the issuer's clock is ahead.
func TestTokensOfDeletedUser(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.jsonl")
	clock := tokenNow.Add(-time.Hour)
	file := keystore.NewUserFile(keystore.UserFileConfig{Path: path, Now: func() time.Time { return clock }})
	users := keystore.NewUsers()
	b := newJWTFixture(t, func(c *verifier.JWTConfig, i *verifier.JWTIssuer) { c.Users, i.Users = users, true })
	set := func() {
		t.Helper()
		if _, err := file.SetUser("alice", keystore.UserPatch{}); err != nil {
			t.Fatal(err)
		}
	}
	set()
	follower, err := journal.Follow(journal.FollowConfig{Path: path, Into: users})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = follower.Close() })
	issued := func(ago time.Duration) string {
		return b.mint("EdDSA", map[string]any{"iat": tokenNow.Add(-ago).Unix()})
	}
	clock = tokenNow.Add(-2 * time.Minute) // when alice is deleted
	for _, token := range []string{issued(3 * time.Minute), issued(2 * time.Minute), issued(91 * time.Second)} {
		b.wants(token, authz.OK, "of the first alice")
	}
	if err := file.DeleteUser("alice"); err != nil {
		t.Fatal(err)
	}
	b.becomes(issued(3*time.Minute), authz.DisabledUser)
	clock = tokenNow
	set()
	b.becomes(issued(3*time.Minute), authz.RevokedToken)
	b.wants(issued(2*time.Minute), authz.RevokedToken, "of that time")
	b.wants(issued(91*time.Second), authz.RevokedToken, "by a clock that may be ahead")
	b.wants(b.mint("EdDSA", map[string]any{"iat": nil}), authz.RevokedToken, "of an unknown time")
	b.wants(issued(89*time.Second), authz.OK, "of the second alice")
}

// becomes waits until the token gets the wanted result; files are followed on another goroutine.
func (b *jwtFixture) becomes(token string, want authz.Reason) *authz.Principal {
	b.t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		p, got := b.ask(token)
		if got == want {
			return p
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("the token is %s, and never became %s", got, want)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestJWTCache checks that the signature of a cached token is not verified again, and that
// the other rules are.
func TestJWTCache(t *testing.T) {
	b := newJWTFixture(t, nil)
	token := b.mint("ES256", map[string]any{"nbf": tokenNow.Unix() - 60})
	first, _ := b.ask(token)
	if again, _ := b.ask(token); first == nil || again != first || b.keys.finds.Load() != 1 {
		t.Errorf("the second time did not come from the cache (%d look-ups)", b.keys.finds.Load())
	}
	b.now = tokenNow.Add(time.Hour + 29*time.Second)
	b.wants(token, authz.OK, "in the leeway, from the cache")
	b.now = tokenNow.Add(time.Hour + 30*time.Second)
	if p := b.wants(token, authz.ExpiredToken, "expired, from the cache"); p == nil || p.User != "alice" {
		t.Error("the log does not have the token's user")
	}
	b.now = tokenNow.Add(-2 * time.Minute)
	b.wants(token, authz.InvalidToken, "the clock was set back to before nbf")
	b.now = tokenNow
	b.wants(token, authz.OK, "the clock is right again")

	swapped := b.entries[1]["kid"]
	b.keys.set.Store(keysOf(t, b.document(t, b.entries...)).set.Load())
	if again, _ := b.ask(token); again == nil || again.User != "alice" {
		t.Error("a refresh with the same keys invalidates tokens")
	}
	b.keys.set.Store(keysOf(t, b.document(t, b.entries[0], b.entries[2])).set.Load())
	b.wants(token, authz.InvalidToken, "the key "+swapped+" is gone")
	b.keys.set.Store(keysOf(t, newTokenIssuer(t).document(t)).set.Load())
	b.wants(token, authz.InvalidToken, "another key has that id")
}

// TestRulesOfThoseWhoCached checks that a verifier does not use entries that another
// verifier has cached under its own rules.
func TestRulesOfThoseWhoCached(t *testing.T) {
	b := newJWTFixture(t, nil)
	token := b.mint("ES256", nil)
	b.wants(token, authz.OK, "for api")
	cfg := b.config
	cfg.Issuers[0].Audiences = []string{"other"}
	b.JWT = newJWT(t, cfg)
	b.wants(token, authz.InvalidToken, "for another audience")
}

// TestKeysThatCannotBeTold checks that the error is a 503 and not a 401 while the keys are
// not known, and that cached tokens are still accepted.
func TestKeysThatCannotBeTold(t *testing.T) {
	b := newJWTFixture(t, nil)
	known, other := b.mint("EdDSA", nil), b.mint("EdDSA", map[string]any{"sub": "bob"})
	b.wants(known, authz.OK, "before")
	b.keys.err = errors.New("the issuer is unavailable")
	b.wants(known, authz.OK, "known")
	b.wants(other, authz.Unavailable, "unknown")
	b.wants(b.mint("EdDSA", map[string]any{"aud": "x"}), authz.InvalidToken, "invalid whatever the keys are")
	finds := b.keys.finds.Load()
	for range 10 {
		b.wants("a.b.c", authz.InvalidToken, "junk")
		b.wants(b.mint("EdDSA", map[string]any{"iss": "x"}), authz.InvalidToken, "an issuer that is not configured")
	}
	if b.keys.finds.Load() != finds {
		t.Error("junk looks up keys, and so could cause refreshes")
	}
	b.keys.err = nil
	b.wants(other, authz.OK, "after")
}

// TestOneVerificationForEquals checks that concurrent requests with a token share one
// verification, and are refused if the key is withdrawn meanwhile.
func TestOneVerificationForEquals(t *testing.T) {
	for _, withdrawn := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newJWTFixture(t, nil)
			token := b.mint("EdDSA", nil)
			release := make(chan struct{})
			b.keys.waits = func(context.Context) error { <-release; return nil }
			reasons := make(chan authz.Reason, 10)
			for range 10 {
				go func() { _, r := b.ask(token); reasons <- r }()
			}
			synctest.Wait()
			if n := b.keys.finds.Load(); n != 1 {
				t.Errorf("%d verifications at the same time", n)
			}
			want := authz.OK
			if withdrawn {
				b.keys.set.Store(keysOf(t, b.document(t, b.entries[:2]...)).set.Load())
				want = authz.InvalidToken
			}
			close(release)
			for range 10 {
				if got := <-reasons; got != want {
					t.Errorf("%s, want %s", got, want)
				}
			}
		})
	}
}

// TestRevokedWhileItIsVerified checks that a revocation during the look-up counts.
func TestRevokedWhileItIsVerified(t *testing.T) {
	list := &revocationList{jtis: map[string]bool{}}
	b := newJWTFixture(t, func(c *verifier.JWTConfig, _ *verifier.JWTIssuer) { c.Revocations = &revokedSoon{revocationList: list} })
	if _, got := b.ask(b.mint("EdDSA", map[string]any{"jti": "one"})); got != authz.RevokedToken {
		t.Errorf("%s: revoked during the look-up", got)
	}
}

// revokedSoon revokes each token directly after its look-up.
type revokedSoon struct{ *revocationList }

func (r *revokedSoon) Revoked(jti, subject string, issuedAt time.Time) bool {
	revoked := r.revocationList.Revoked(jti, subject, issuedAt)
	r.change(func() { r.jtis[jti] = true })
	return revoked
}

// TestAnothersTimeOut checks that requests that wait for another's verification are not
// refused if that one times out.
func TestAnothersTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newJWTFixture(t, nil)
		token := b.mint("EdDSA", nil)
		first := true
		b.keys.waits = func(ctx context.Context) error {
			if first {
				first = false
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		hurried, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		reasons := make(chan authz.Reason, 1)
		go func() { _, r := askJWT(b.JWT, hurried, token, b.now); reasons <- r }()
		synctest.Wait()
		if _, got := askJWT(b.JWT, t.Context(), token, b.now); got != authz.OK {
			t.Errorf("the request with time: %s", got)
		}
		if got := <-reasons; got != authz.Unavailable {
			t.Errorf("the request that timed out: %s", got)
		}
	})
}
