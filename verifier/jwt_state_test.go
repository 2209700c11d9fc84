package verifier_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keyward/authz"
	"keyward/internal/recordfile"
	"keyward/internal/records"
	"keyward/keyindex"
	"keyward/store/filestore"
	"keyward/store/journal"
	"keyward/verifier"
)

// revocationList is a Revocations that a test changes.
type revocationList struct {
	mu       sync.Mutex
	jtis     map[string]bool
	sids     map[string]bool
	subjects map[string]time.Time // issued before
	err      error
	lookups  int
	changes  atomic.Uint64
}

func (r *revocationList) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *revocationList) Revoked(t keyindex.Token) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookups++
	before, named := r.subjects[t.Subject]
	return r.jtis[t.ID] || r.sids[t.SessionID] || named && t.IssuedAt.Before(before)
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
	f := newJWTFixture(t, func(c *verifier.JWTConfig, _ *verifier.JWTIssuer) { c.Revocations = list })
	one, two := f.mint("EdDSA", map[string]any{"jti": "one"}), f.mint("EdDSA", map[string]any{"jti": "two", "sub": "bob"})
	undated := f.mint("EdDSA", map[string]any{"sub": "bob", "iat": nil})
	p := f.expect(one, authz.OK, "one")
	f.expect(two, authz.OK, "two")
	f.expect(undated, authz.OK, "without iat")
	if list.lookups != 3 {
		t.Errorf("asked %d times about 3 tokens", list.lookups)
	}
	list.change(func() { list.jtis["one"] = true })
	if revoked := f.expect(one, authz.RevokedToken, "one by its jti"); revoked == nil || revoked.User != "alice" {
		t.Error("the log does not have the token's user")
	}
	f.expect(two, authz.OK, "two, not named")
	issued := tokenNow.Add(-time.Minute) // the tokens' iat
	list.change(func() { list.subjects["bob"] = issued.Add(-30 * time.Second) })
	f.expect(two, authz.OK, "issued after that time, even if its issuer's clock is ahead")
	list.change(func() { list.subjects["bob"] = issued.Add(-29 * time.Second) })
	f.expect(two, authz.RevokedToken, "issued before that time, if its issuer's clock is ahead")
	f.expect(undated, authz.RevokedToken, "issued at an unknown time")
	list.change(func() { list.subjects["bob"] = tokenNow })
	f.expect(two, authz.RevokedToken, "issued before")
	f.now = tokenNow.Add(2 * time.Hour)
	f.expect(one, authz.ExpiredToken, "revoked and expired")
	f.now = tokenNow
	list.change(func() { delete(list.jtis, "one") })
	if again := f.expect(one, authz.OK, "no longer revoked"); again == nil || again.User != p.User {
		t.Error("a different principal")
	}
	list.change(func() { list.err = errors.New("not loaded") })
	f.expect(one, authz.Unavailable, "revocations that are not loaded, from the cache")
	f.expect(f.mint("EdDSA", nil), authz.Unavailable, "revocations that are not loaded")
}

// TestJWTSessions: all tokens of a session end with it, cached ones too, and no others.
func TestJWTSessions(t *testing.T) {
	list := &revocationList{jtis: map[string]bool{}, sids: map[string]bool{}, subjects: map[string]time.Time{}}
	f := newJWTFixture(t, func(c *verifier.JWTConfig, _ *verifier.JWTIssuer) { c.Revocations = list })
	one, two := f.mint("EdDSA", map[string]any{"sid": "s1", "jti": "1"}), f.mint("EdDSA", map[string]any{"sid": "s1", "jti": "2"})
	other, without := f.mint("EdDSA", map[string]any{"sid": "s2"}), f.mint("EdDSA", map[string]any{"sid": nil})
	for _, token := range []string{one, other, without} {
		f.expect(token, authz.OK, "before")
	}
	list.change(func() { list.sids["s1"] = true })
	f.expect(one, authz.RevokedToken, "of the session, from the cache")
	f.expect(two, authz.RevokedToken, "of the session")
	f.expect(other, authz.OK, "of another session")
	f.expect(without, authz.OK, "of no session")
	for name, sid := range map[string]any{"a fraction": 5.5, "a list": []string{"s1"}, "empty": "", "a space": "s1 ", "a control character": "s\n1", "long": strings.Repeat("s", 256)} {
		f.expect(f.mint("EdDSA", map[string]any{"sid": sid}), authz.InvalidToken, name)
	}
}

func TestJWTUsers(t *testing.T) {
	dir := t.TempDir()
	file := recordfile.NewUserFile(filestore.UserFileConfig{Path: filepath.Join(dir, "users.jsonl")}, nil)
	set := func(name string, patch records.UserPatch) {
		t.Helper()
		if _, err := file.Set(context.Background(), name, "", patch); err != nil {
			t.Fatal(err)
		}
	}
	set("alice", records.UserPatch{Scopes: &[]string{"hers"}, Paths: &[]string{"/api"}})
	users := keyindex.NewUsers()
	f := newJWTFixture(t, func(c *verifier.JWTConfig, i *verifier.JWTIssuer) { c.Users, i.Users = users, true })
	own, inherits, unknown := f.mint("EdDSA", nil), f.mint("EdDSA", map[string]any{"scope": nil}), f.mint("EdDSA", map[string]any{"sub": "bob"})
	none := f.mint("EdDSA", map[string]any{"scope": ""})
	f.expect(own, authz.Unavailable, "users that are not loaded")
	follower, err := filestore.UserFeed{FollowConfig: journal.FollowConfig{Path: filepath.Join(dir, "users.jsonl")}}.Follow(users)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = follower.Close() })

	if p := f.expect(own, authz.OK, "alice"); p != nil && (p.Scopes.String() != "read" || p.UserPaths.IsAnyPath() || !p.Paths.IsAnyPath()) {
		t.Errorf("a token with scopes: %+v", p)
	}
	if p := f.expect(inherits, authz.OK, "alice"); p != nil && p.Scopes.String() != "hers" {
		t.Errorf("a token without scopes: %q", p.Scopes)
	}
	if p := f.expect(none, authz.OK, "alice"); p != nil && p.Scopes.String() != "" {
		t.Errorf("a token with an empty scope: %q", p.Scopes)
	}
	if p := f.expect(unknown, authz.DisabledUser, "bob"); p == nil || p.User != "bob" {
		t.Error("the log does not have the token's user")
	}
	yes, no := true, false
	set("alice", records.UserPatch{Disabled: &yes})
	f.eventually(own, authz.DisabledUser)
	set("alice", records.UserPatch{Disabled: &no, Scopes: &[]string{"other"}})
	f.eventually(own, authz.OK)
	if p := f.eventually(inherits, authz.OK); p != nil && p.Scopes.String() != "other" {
		t.Errorf("after the user's change: %q", p.Scopes)
	}
	if err := file.Delete(context.Background(), "alice", "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	f.eventually(inherits, authz.DisabledUser)
}

// TestRevokedWhileIssuersClockIsAhead checks that all tokens that are accepted
// when a subject is revoked are refused from then on, and that tokens issued
// more than the leeway later are accepted.
func TestRevokedWhileIssuersClockIsAhead(t *testing.T) {
	list := &revocationList{subjects: map[string]time.Time{}}
	f := newJWTFixture(t, func(c *verifier.JWTConfig, _ *verifier.JWTIssuer) { c.Revocations = list })
	var accepted []string
	for _, ahead := range []int64{0, 5, 15, 25, 29} {
		token := f.mint("EdDSA", map[string]any{"iat": tokenNow.Unix() + ahead, "jti": fmt.Sprint(ahead)})
		f.expect(token, authz.OK, "before the revocation")
		accepted = append(accepted, token)
	}
	list.change(func() { list.subjects["alice"] = tokenNow.Add(time.Millisecond) })
	for _, token := range accepted {
		f.expect(token, authz.RevokedToken, "after the revocation")
	}
	f.now = tokenNow.Add(31 * time.Second)
	f.expect(f.mint("EdDSA", map[string]any{"iat": f.now.Unix()}), authz.OK, "issued when the leeway is over")
	for _, token := range accepted {
		f.expect(token, authz.RevokedToken, "when the leeway is over")
	}
}

// TestTokensOfDeletedUser checks that a user who is created again does not get
// the tokens issued before, nor those that may have been issued before if the
// issuer's clock is ahead.
func TestTokensOfDeletedUser(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.jsonl")
	clock := tokenNow.Add(-time.Hour)
	file := recordfile.NewUserFile(filestore.UserFileConfig{Path: path}, func() time.Time { return clock })
	users := keyindex.NewUsers()
	f := newJWTFixture(t, func(c *verifier.JWTConfig, i *verifier.JWTIssuer) { c.Users, i.Users = users, true })
	set := func() {
		t.Helper()
		if _, err := file.Set(context.Background(), "alice", "", records.UserPatch{}); err != nil {
			t.Fatal(err)
		}
	}
	set()
	follower, err := filestore.UserFeed{FollowConfig: journal.FollowConfig{Path: path}}.Follow(users)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = follower.Close() })
	issued := func(ago time.Duration) string {
		return f.mint("EdDSA", map[string]any{"iat": tokenNow.Add(-ago).Unix()})
	}
	clock = tokenNow.Add(-2 * time.Minute) // when alice is deleted
	for _, token := range []string{issued(3 * time.Minute), issued(2 * time.Minute), issued(91 * time.Second)} {
		f.expect(token, authz.OK, "of the first alice")
	}
	if err := file.Delete(context.Background(), "alice", "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	f.eventually(issued(3*time.Minute), authz.DisabledUser)
	clock = tokenNow
	set()
	f.eventually(issued(3*time.Minute), authz.RevokedToken)
	f.expect(issued(2*time.Minute), authz.RevokedToken, "of that time")
	f.expect(issued(91*time.Second), authz.RevokedToken, "by a clock that may be ahead")
	f.expect(f.mint("EdDSA", map[string]any{"iat": nil}), authz.RevokedToken, "of an unknown time")
	f.expect(issued(89*time.Second), authz.OK, "of the second alice")
}

// eventually waits until the token gets the wanted result; files are followed
// on another goroutine.
func (f *jwtFixture) eventually(token string, want authz.Reason) *authz.Principal {
	f.t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		p, got := f.verifyBearer(token)
		if got == want {
			return p
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("the token is %s, and never became %s", got, want)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestJWTCache checks that the signature of a cached token is not verified
// again, and that the other rules are.
func TestJWTCache(t *testing.T) {
	f := newJWTFixture(t, nil)
	token := f.mint("ES256", map[string]any{"nbf": tokenNow.Unix() - 60})
	first, _ := f.verifyBearer(token)
	if again, _ := f.verifyBearer(token); first == nil || again != first || f.keys.finds.Load() != 1 {
		t.Errorf("the second time did not come from the cache (%d look-ups)", f.keys.finds.Load())
	}
	f.now = tokenNow.Add(time.Hour + 29*time.Second)
	f.expect(token, authz.OK, "in the leeway, from the cache")
	f.now = tokenNow.Add(time.Hour + 30*time.Second)
	if p := f.expect(token, authz.ExpiredToken, "expired, from the cache"); p == nil || p.User != "alice" {
		t.Error("the log does not have the token's user")
	}
	f.now = tokenNow.Add(-2 * time.Minute)
	f.expect(token, authz.InvalidToken, "the clock was set back to before nbf")
	f.now = tokenNow
	f.expect(token, authz.OK, "the clock is right again")

	swapped := f.entries[1]["kid"]
	f.keys.set.Store(parseKeys(t, f.document(t, f.entries...)).set.Load())
	if again, _ := f.verifyBearer(token); again == nil || again.User != "alice" {
		t.Error("a refresh with the same keys invalidates tokens")
	}
	f.keys.set.Store(parseKeys(t, f.document(t, f.entries[0], f.entries[2])).set.Load())
	f.expect(token, authz.InvalidToken, "the key "+swapped+" is gone")
	f.keys.set.Store(parseKeys(t, newTokenIssuer(t).document(t)).set.Load())
	f.expect(token, authz.InvalidToken, "another key has that id")
}

// TestCacheOfAnotherVerifier checks that a verifier does not use entries that
// another verifier has cached under its own rules.
func TestCacheOfAnotherVerifier(t *testing.T) {
	f := newJWTFixture(t, nil)
	token := f.mint("ES256", nil)
	f.expect(token, authz.OK, "for api")
	cfg := f.config
	cfg.Issuers[0].Audiences = []string{"other"}
	f.JWT = newJWT(t, cfg)
	f.expect(token, authz.InvalidToken, "for another audience")
}

// TestKeysUnavailable checks that the error is a 503 and not a 401 while the
// keys are not known, and that cached tokens are still accepted.
func TestKeysUnavailable(t *testing.T) {
	f := newJWTFixture(t, nil)
	known, other := f.mint("EdDSA", nil), f.mint("EdDSA", map[string]any{"sub": "bob"})
	f.expect(known, authz.OK, "before")
	f.keys.err = errors.New("the issuer is unavailable")
	f.expect(known, authz.OK, "known")
	f.expect(other, authz.Unavailable, "unknown")
	f.expect(f.mint("EdDSA", map[string]any{"aud": "x"}), authz.InvalidToken, "invalid whatever the keys are")
	finds := f.keys.finds.Load()
	for range 10 {
		f.expect("a.b.c", authz.InvalidToken, "junk")
		f.expect(f.mint("EdDSA", map[string]any{"iss": "x"}), authz.InvalidToken, "an issuer that is not configured")
	}
	if f.keys.finds.Load() != finds {
		t.Error("junk looks up keys, and so could cause refreshes")
	}
	f.keys.err = nil
	f.expect(other, authz.OK, "after")
}

// TestConcurrentVerification checks that concurrent requests with a token share
// one verification, and are refused if the key is withdrawn meanwhile.
func TestConcurrentVerification(t *testing.T) {
	for _, withdrawn := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newJWTFixture(t, nil)
			token := f.mint("EdDSA", nil)
			release := make(chan struct{})
			f.keys.beforeFind = func(context.Context) error { <-release; return nil }
			reasons := make(chan authz.Reason, 10)
			for range 10 {
				go func() { _, r := f.verifyBearer(token); reasons <- r }()
			}
			synctest.Wait()
			if n := f.keys.finds.Load(); n != 1 {
				t.Errorf("%d verifications at the same time", n)
			}
			want := authz.OK
			if withdrawn {
				f.keys.set.Store(parseKeys(t, f.document(t, f.entries[:2]...)).set.Load())
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

// TestRevokedDuringVerification checks that a revocation during the look-up
// counts.
func TestRevokedDuringVerification(t *testing.T) {
	list := &revocationList{jtis: map[string]bool{}}
	f := newJWTFixture(t, func(c *verifier.JWTConfig, _ *verifier.JWTIssuer) {
		c.Revocations = &revokeOnLookup{revocationList: list}
	})
	if _, got := f.verifyBearer(f.mint("EdDSA", map[string]any{"jti": "one"})); got != authz.RevokedToken {
		t.Errorf("%s: revoked during the look-up", got)
	}
}

// revokeOnLookup revokes each token directly after its look-up.
type revokeOnLookup struct{ *revocationList }

func (r *revokeOnLookup) Revoked(t keyindex.Token) bool {
	revoked := r.revocationList.Revoked(t)
	r.change(func() { r.jtis[t.ID] = true })
	return revoked
}

// TestSharedVerificationTimesOut checks that requests that wait for another's
// verification are not refused if that one times out.
func TestSharedVerificationTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newJWTFixture(t, nil)
		token := f.mint("EdDSA", nil)
		first := true
		f.keys.beforeFind = func(ctx context.Context) error {
			if first {
				first = false
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		reasons := make(chan authz.Reason, 1)
		go func() { _, r := verifyToken(f.JWT, short, token, f.now); reasons <- r }()
		synctest.Wait()
		if _, got := verifyToken(f.JWT, t.Context(), token, f.now); got != authz.OK {
			t.Errorf("the request with time: %s", got)
		}
		if got := <-reasons; got != authz.Unavailable {
			t.Errorf("the request that timed out: %s", got)
		}
	})
}
