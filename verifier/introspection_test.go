package verifier_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keyward/authz"
	"keyward/cache"
	"keyward/keyindex"
	"keyward/verifier"
	"keyward/verifier/fingerprint"
)

// fakeServer is an authorization server that a test scripts.
type fakeServer struct {
	mu       sync.Mutex
	response verifier.TokenInfo
	err      error
	delay    time.Duration
	calls    atomic.Int64

	audiences []string // the operator's
}

func (s *fakeServer) Introspect(ctx context.Context, _ authz.Address, _ authz.Secret) (*verifier.TokenInfo, error) {
	s.calls.Add(1)
	s.mu.Lock()
	response, err, delay := s.response, s.err, s.delay
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(delay):
	}
	if err != nil {
		return nil, err
	}
	return &response, nil
}

// set changes the server's response.
func (s *fakeServer) set(response verifier.TokenInfo, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.response, s.err = response, err
}

// fakeRevocations is a verifier.Revocations that a test sets.
type fakeRevocations struct {
	mu               sync.Mutex
	unready          error
	jti, subject     string
	before           time.Time
	changes, lookups uint64
}

func (e *fakeRevocations) Ready() error { return e.unready }
func (e *fakeRevocations) Changes() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.changes
}
func (e *fakeRevocations) Revoked(t keyindex.Token) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lookups++
	return t.ID != "" && t.ID == e.jti || t.Subject == e.subject && t.IssuedAt.Before(e.before)
}
func (e *fakeRevocations) revoke(jti, subject string, before time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.jti, e.subject, e.before = jti, subject, before
	e.changes++
}

// introspectionFixture is an Introspection verifier with such servers.
type introspectionFixture struct {
	*verifier.Introspection
	t   *testing.T
	now time.Time
}

const cacheTTL, negativeTTL = 30 * time.Second, 10 * time.Second

func newIntrospectionFixture(t *testing.T, revocations verifier.Revocations, servers ...*fakeServer) *introspectionFixture {
	t.Helper()
	cfg := verifier.IntrospectionConfig{Revocations: revocations, Fingerprints: fingerprint.NewHasher()}
	for i, s := range servers {
		cfg.Sources = append(cfg.Sources, verifier.IntrospectionSource{Name: fmt.Sprint("server", i), Introspector: s, CacheTTL: cacheTTL, Audiences: s.audiences})
	}
	var err error
	if cfg.Tokens, err = cache.New[verifier.CachedGrant](1000, time.Hour); err != nil {
		t.Fatal(err)
	}
	if cfg.Negative, err = cache.New[*authz.CredentialError](1000, negativeTTL); err != nil {
		t.Fatal(err)
	}
	f := &introspectionFixture{t: t, now: time.Now().UTC().Truncate(time.Second)}
	if f.Introspection, err = verifier.NewIntrospection(cfg); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *introspectionFixture) verify(ctx context.Context, token string) (*authz.Principal, authz.Reason) {
	p, err := f.Verify(ctx, &authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(token)}, f.now)
	refusal, refused := errors.AsType[*authz.CredentialError](err)
	switch {
	case err == nil && p != nil:
		return p, authz.OK
	case refused:
		return refusal.Principal, refusal.Reason
	case err == nil || p != nil:
		f.t.Errorf("principal %v with error %v", p, err)
		return nil, authz.Internal
	default:
		return nil, authz.Unavailable
	}
}

func (f *introspectionFixture) expect(token string, want authz.Reason) *authz.Principal {
	f.t.Helper()
	p, got := f.verify(context.Background(), token)
	if got != want {
		f.t.Errorf("token %s: %s, want %s", token, got, want)
	}
	return p
}

var errUnavailable = errors.New("away")

func TestIntrospectedPrincipal(t *testing.T) {
	scopes, err := authz.ParseScopes([]string{"read", "write"})
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{}
	f := newIntrospectionFixture(t, nil, s)
	exp := f.now.Add(time.Hour)
	s.set(verifier.TokenInfo{Active: true, Subject: "alice", Username: "al", ClientID: "app", Issuer: "https://i.test", Scopes: scopes, ExpiresAt: exp}, nil)
	p := f.expect("t", authz.OK)
	if p.AuthMethod != authz.AuthMethodOAuth || p.User != "alice" || p.ClientID != "app" || p.Issuer != "https://i.test" || p.Scopes.String() != "read write" ||
		!p.ExpiresAt.Equal(exp) || !p.Paths.IsAnyPath() || !p.UserPaths.IsAnyPath() || p.KeyID != "" || p.Project != "" {
		t.Errorf("principal %+v", p)
	}
	for _, kind := range []authz.CredentialScheme{authz.SchemeNone, authz.SchemeBasic, authz.SchemeSession} {
		if _, err := f.Verify(context.Background(), &authz.Credential{Scheme: kind, Secret: authz.NewSecret("t")}, f.now); err != authz.ErrNotMine {
			t.Errorf("kind %d: %v", kind, err)
		}
	}
}

func TestIntrospectionResponses(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	for name, c := range map[string]struct {
		says verifier.TokenInfo
		want authz.Reason
		user string // "": the token is the client's own, if it is accepted
	}{
		"nothing said":        {verifier.TokenInfo{}, authz.InvalidToken, ""},
		"inactive":            {verifier.TokenInfo{Subject: "alice"}, authz.InvalidToken, ""},
		"subject":             {verifier.TokenInfo{Active: true, Subject: "alice"}, authz.OK, "alice"},
		"user name":           {verifier.TokenInfo{Active: true, Username: "al", ClientID: "app"}, authz.OK, "al"},
		"client":              {verifier.TokenInfo{Active: true, ClientID: "app"}, authz.OK, ""},
		"client of itself":    {verifier.TokenInfo{Active: true, Subject: "app", ClientID: "app"}, authz.OK, ""},
		"client as user":      {verifier.TokenInfo{Active: true, Username: "app", ClientID: "app"}, authz.OK, ""},
		"like a key":          {verifier.TokenInfo{Active: true, Subject: "k_8ENbdXlcXqgH", ClientID: "app"}, authz.InvalidToken, ""},
		"like a client":       {verifier.TokenInfo{Active: true, Username: "c_8ENbdXlcXqgH"}, authz.InvalidToken, ""},
		"client like a key":   {verifier.TokenInfo{Active: true, ClientID: "k_8ENbdXlcXqgH"}, authz.OK, ""},
		"client's odd name":   {verifier.TokenInfo{Active: true, ClientID: " app"}, authz.InvalidToken, ""},
		"no plain text":       {verifier.TokenInfo{Active: true, Subject: "al\u202eice"}, authz.InvalidToken, ""},
		"a space before it":   {verifier.TokenInfo{Active: true, Subject: " alice"}, authz.InvalidToken, ""},
		"an odd id":           {verifier.TokenInfo{Active: true, Subject: "alice", JTI: "a\u2028"}, authz.InvalidToken, ""},
		"an odd issuer":       {verifier.TokenInfo{Active: true, Subject: "alice", Issuer: "https://i.test\u202e"}, authz.InvalidToken, ""},
		"issuer and space":    {verifier.TokenInfo{Active: true, Subject: "alice", Issuer: "https://i.test "}, authz.InvalidToken, ""},
		"of no subject":       {verifier.TokenInfo{Active: true, JTI: "j"}, authz.InvalidToken, ""},
		"to expire":           {verifier.TokenInfo{Active: true, Subject: "alice", ExpiresAt: now.Add(time.Second)}, authz.OK, "alice"},
		"expires now":         {verifier.TokenInfo{Active: true, Subject: "alice", ExpiresAt: now}, authz.ExpiredToken, "alice"},
		"expired":             {verifier.TokenInfo{Active: true, Subject: "alice", ExpiresAt: now.Add(-time.Hour)}, authz.ExpiredToken, "alice"},
		"expired in 1970":     {verifier.TokenInfo{Active: true, Subject: "alice", ExpiresAt: time.Unix(0, 0)}, authz.ExpiredToken, "alice"},
		"good from now":       {verifier.TokenInfo{Active: true, Subject: "alice", NotBefore: now}, authz.OK, "alice"},
		"good later":          {verifier.TokenInfo{Active: true, Subject: "alice", NotBefore: now.Add(time.Second)}, authz.InvalidToken, "alice"},
		"bearer":              {verifier.TokenInfo{Active: true, Subject: "alice", TokenType: "bearer"}, authz.OK, "alice"},
		"BEARER":              {verifier.TokenInfo{Active: true, Subject: "alice", TokenType: "BEARER", Use: "access_token"}, authz.OK, "alice"},
		"long s":              {verifier.TokenInfo{Active: true, Subject: "alice", Use: "acceſs"}, authz.InvalidToken, ""},
		"DPoP":                {verifier.TokenInfo{Active: true, Subject: "alice", TokenType: "DPoP"}, authz.InvalidToken, ""},
		"refresh token":       {verifier.TokenInfo{Active: true, Subject: "alice", TokenType: "refresh_token"}, authz.InvalidToken, ""},
		"used as refresh":     {verifier.TokenInfo{Active: true, Subject: "alice", TokenType: "Bearer", Use: "refresh_token"}, authz.InvalidToken, ""},
		"Refresh":             {verifier.TokenInfo{Active: true, Subject: "alice", Use: "Refresh"}, authz.InvalidToken, ""},
		"ID token":            {verifier.TokenInfo{Active: true, Subject: "alice", Use: "ID"}, authz.InvalidToken, ""},
		"bound to its sender": {verifier.TokenInfo{Active: true, Subject: "alice", SenderConstrained: true}, authz.InvalidToken, ""},
	} {
		f := newIntrospectionFixture(t, nil, &fakeServer{response: c.says})
		f.now = now
		for range 2 { // from the server, and from the cache
			p, got := f.verify(context.Background(), "t")
			if user := ""; p != nil {
				user = p.User
				if user != c.user {
					t.Errorf("%s: user %q, want %q", name, user, c.user)
				}
				if c.says.ClientID != p.ClientID || p.Subject() != c.user {
					t.Errorf("%s: client %q, subject %q", name, p.ClientID, p.Subject())
				}
			}
			if got != c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		}
	}
}

// TestGrantsAreCached checks that a grant is used until the source's TTL or the
// token's own expiry, and not longer.
func TestGrantsAreCached(t *testing.T) {
	s := &fakeServer{}
	f := newIntrospectionFixture(t, nil, s)
	s.set(verifier.TokenInfo{Active: true, Subject: "alice"}, nil)
	first := f.expect("t", authz.OK)
	f.expect("other", authz.OK)
	s.set(verifier.TokenInfo{}, nil)
	f.now = f.now.Add(cacheTTL - 1)
	if again := f.expect("t", authz.OK); again != first || s.calls.Load() != 2 {
		t.Errorf("asked %d times, want once per token", s.calls.Load())
	}
	f.now = f.now.Add(1)
	f.expect("t", authz.InvalidToken)

	s.set(verifier.TokenInfo{Active: true, Subject: "alice", ExpiresAt: f.now.Add(time.Second)}, nil)
	f.expect("short", authz.OK)
	asked := s.calls.Load()
	f.now = f.now.Add(time.Second)
	if p := f.expect("short", authz.ExpiredToken); p == nil || p.User != "alice" || s.calls.Load() != asked {
		t.Errorf("an expired token, from the cache: %v after %d more requests", p, s.calls.Load()-asked)
	}
	f.now = f.now.Add(cacheTTL)
	if f.expect("short", authz.ExpiredToken); s.calls.Load() != asked {
		t.Error("the server was asked about a token that is known to be expired")
	}
}

func TestInactiveTokensAreCached(t *testing.T) {
	s := &fakeServer{}
	f := newIntrospectionFixture(t, nil, s)
	for range 3 {
		f.expect("t", authz.InvalidToken)
	}
	if n := s.calls.Load(); n != 1 {
		t.Errorf("asked %d times about an inactive token, want once", n)
	}
	s.set(verifier.TokenInfo{Active: true, Subject: "alice"}, nil)
	f.now = f.now.Add(negativeTTL)
	f.expect("t", authz.OK)
}

// TestServerUnavailable checks that while a server is unavailable, cached
// tokens are accepted until their TTL ends, and the error for an uncached token
// is cached for a second.
func TestServerUnavailable(t *testing.T) {
	s := &fakeServer{}
	f := newIntrospectionFixture(t, nil, s)
	s.set(verifier.TokenInfo{Active: true, Subject: "alice"}, nil)
	f.expect("known", authz.OK)
	s.set(verifier.TokenInfo{}, errUnavailable)
	f.expect("unknown", authz.Unavailable)
	f.now = f.now.Add(cacheTTL - 1)
	f.expect("known", authz.OK)
	f.now = f.now.Add(1)
	f.expect("known", authz.Unavailable)
	s.set(verifier.TokenInfo{Active: true, Subject: "alice"}, nil)
	f.expect("unknown", authz.OK)
	f.now = f.now.Add(time.Second)
	f.expect("known", authz.OK)
}

// TestIntrospectionClockGoesBack checks that no response is used for longer
// because the clock was set back.
func TestIntrospectionClockGoesBack(t *testing.T) {
	s := &fakeServer{response: verifier.TokenInfo{Active: true, Subject: "alice"}}
	f := newIntrospectionFixture(t, nil, s)
	f.expect("active", authz.OK)
	s.set(verifier.TokenInfo{}, nil)
	f.expect("inactive", authz.InvalidToken)
	s.set(verifier.TokenInfo{}, errUnavailable)
	f.expect("odd", authz.Unavailable)
	s.set(verifier.TokenInfo{Active: true, Subject: "bob"}, nil)
	f.now = f.now.Add(-5 * time.Hour)
	for _, token := range []string{"active", "inactive", "odd"} {
		if p := f.expect(token, authz.OK); p == nil || p.User != "bob" {
			t.Errorf("%s: it is still %v", token, p)
		}
	}
}

// TestErrorsAreCached checks that a token for which the server fails is sent to
// it once a second, whichever client presents it, and that ErrNotAsked is not
// cached.
func TestErrorsAreCached(t *testing.T) {
	s := &fakeServer{err: errUnavailable}
	f := newIntrospectionFixture(t, nil, s)
	for range 100 {
		f.expect("odd", authz.Unavailable)
	}
	if n := s.calls.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	s.set(verifier.TokenInfo{Active: true, Subject: "alice"}, nil)
	f.expect("another", authz.OK)
	f.expect("odd", authz.Unavailable)
	f.now = f.now.Add(time.Second)
	f.expect("odd", authz.OK)

	s.set(verifier.TokenInfo{}, fmt.Errorf("%w: too many", verifier.ErrNotAsked))
	f.expect("held back", authz.Unavailable)
	s.set(verifier.TokenInfo{Active: true, Subject: "alice"}, nil)
	f.expect("held back", authz.OK)
}

func TestSeveralServers(t *testing.T) {
	active, inactive := verifier.TokenInfo{Active: true, Subject: "alice"}, verifier.TokenInfo{}
	for name, c := range map[string]struct {
		first, second *fakeServer
		want          authz.Reason
		asked         int64 // of the second
	}{
		"the first knows":          {&fakeServer{response: active}, &fakeServer{err: errUnavailable}, authz.OK, 0},
		"the second knows":         {&fakeServer{response: inactive}, &fakeServer{response: active}, authz.OK, 1},
		"the first is unavailable": {&fakeServer{err: errUnavailable}, &fakeServer{response: active}, authz.OK, 1},
		"none knows":               {&fakeServer{response: inactive}, &fakeServer{response: inactive}, authz.InvalidToken, 1},
		"only the second answers":  {&fakeServer{err: errUnavailable}, &fakeServer{response: inactive}, authz.Unavailable, 1},
		"only the first answers":   {&fakeServer{response: inactive}, &fakeServer{err: errUnavailable}, authz.Unavailable, 1},
		"all are unavailable":      {&fakeServer{err: errUnavailable}, &fakeServer{err: errUnavailable}, authz.Unavailable, 1},
	} {
		newIntrospectionFixture(t, nil, c.first, c.second).expect("t", c.want)
		if n := c.second.calls.Load(); n != c.asked {
			t.Errorf("%s: the second was asked %d times", name, n)
		}
	}
}

// TestRevokedGrants checks that a revocation and its removal are in effect at
// once, for cached and uncached tokens.
func TestRevokedGrants(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	s := &fakeServer{response: verifier.TokenInfo{Active: true, Subject: "alice", JTI: "j", IssuedAt: now.Add(-time.Minute)}}
	e := &fakeRevocations{}
	f := newIntrospectionFixture(t, e, s)
	f.now = now
	f.expect("t", authz.OK)
	e.revoke("j", "", time.Time{})
	if p := f.expect("t", authz.RevokedToken); p == nil || p.User != "alice" {
		t.Error("the log does not have the token's user")
	}
	f.expect("new", authz.RevokedToken)
	e.revoke("", "alice", now)
	f.expect("t", authz.RevokedToken)
	e.revoke("", "alice", now.Add(-89*time.Second)) // after the issue, if the server's clock is ahead
	f.expect("t", authz.RevokedToken)
	e.revoke("", "alice", now.Add(-90*time.Second))
	f.expect("t", authz.OK)
	e.revoke("", "bob", now)
	f.expect("t", authz.OK)
	lookups := e.lookups
	for range 10 {
		f.expect("t", authz.OK)
	}
	if e.lookups != lookups || s.calls.Load() != 2 {
		t.Errorf("%d look-ups without a change, %d requests for two tokens", e.lookups-lookups, s.calls.Load())
	}
	e.revoke("j", "", time.Time{})
	for range 10 {
		f.expect("t", authz.RevokedToken)
	}
	if e.lookups != lookups+1 {
		t.Errorf("%d look-ups for one change", e.lookups-lookups)
	}
	e.unready = errUnavailable
	f.expect("t", authz.Unavailable)
	f.expect("unknown", authz.Unavailable)
}

// TestRevokedFromTheStart checks that a revocation before the first change
// counts.
func TestRevokedFromTheStart(t *testing.T) {
	s := &fakeServer{response: verifier.TokenInfo{Active: true, Subject: "alice", JTI: "j"}}
	newIntrospectionFixture(t, &fakeRevocations{jti: "j"}, s).expect("t", authz.RevokedToken)
}

// TestRevokedDuringQuery checks that a revocation during the request counts.
func TestRevokedDuringQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeRevocations{}
		f := newIntrospectionFixture(t, e, &fakeServer{response: verifier.TokenInfo{Active: true, Subject: "alice", JTI: "j"}, delay: 100 * time.Millisecond})
		go func() { time.Sleep(50 * time.Millisecond); e.revoke("j", "", time.Time{}) }()
		f.expect("t", authz.RevokedToken)
	})
}

// TestConcurrentRequestsShareOneQuery checks that concurrent requests with a
// token cause one query, whatever the result.
func TestConcurrentRequestsShareOneQuery(t *testing.T) {
	for want, s := range map[authz.Reason]*fakeServer{
		authz.OK:           {response: verifier.TokenInfo{Active: true, Subject: "alice"}},
		authz.InvalidToken: {},
		authz.Unavailable:  {err: errUnavailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			s.delay = 100 * time.Millisecond
			f := newIntrospectionFixture(t, nil, s)
			var group sync.WaitGroup
			for range 200 {
				group.Go(func() { f.expect("t", want) })
			}
			group.Wait()
			if n := s.calls.Load(); n != 1 {
				t.Errorf("%s: %d queries", want, n)
			}
		})
	}
}

// TestIntrospectedIssuer checks that the subjects of two servers can be
// distinguished, even if the servers do not name themselves.
func TestIntrospectedIssuer(t *testing.T) {
	first, second := &fakeServer{}, &fakeServer{}
	f := newIntrospectionFixture(t, nil, first, second)
	for i, s := range []*fakeServer{first, second} {
		first.set(verifier.TokenInfo{}, nil)
		s.set(verifier.TokenInfo{Active: true, Subject: "alice"}, nil)
		if p := f.expect(fmt.Sprint("token ", i), authz.OK); p.Issuer != fmt.Sprint("server", i) {
			t.Errorf("issuer %q", p.Issuer)
		}
	}
}

// TestFirstRequestIsCanceled checks that other requests get the result if the
// first one is canceled, and that a request with a short deadline waits no
// longer.
func TestFirstRequestIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newIntrospectionFixture(t, nil, &fakeServer{response: verifier.TokenInfo{Active: true, Subject: "alice"}, delay: 100 * time.Millisecond})
		first, cancel := context.WithCancel(context.Background())
		go f.verify(first, "t")
		synctest.Wait()
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() { f.expect("t", authz.OK) })
		}
		group.Go(func() {
			short, done := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer done()
			began := time.Now()
			if _, got := f.verify(short, "t"); got != authz.Unavailable || time.Since(began) != 50*time.Millisecond {
				t.Errorf("a request with a short deadline: %s after %s", got, time.Since(began))
			}
		})
		synctest.Wait()
		cancel()
		group.Wait()
	})
}

// TestTimeoutBoundsAllSources checks that Timeout bounds the queries to all
// sources together.
func TestTimeoutBoundsAllSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func() *fakeServer { return &fakeServer{delay: time.Hour} }
		f := newIntrospectionFixture(t, nil, slow(), slow(), slow())
		began := time.Now()
		f.expect("t", authz.Unavailable)
		if took := time.Since(began); took != 200*time.Millisecond {
			t.Errorf("three slow servers took %s", took)
		}
	})
}

func TestIntrospectionConfig(t *testing.T) {
	tokens, err := cache.New[verifier.CachedGrant](1, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	negative, err := cache.New[*authz.CredentialError](1, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	sources := []verifier.IntrospectionSource{{Introspector: &fakeServer{}}}
	prints := fingerprint.NewHasher()
	for name, cfg := range map[string]verifier.IntrospectionConfig{
		"no sources":      {Fingerprints: prints, Tokens: tokens, Negative: negative},
		"no introspector": {Sources: []verifier.IntrospectionSource{{Name: "x"}}, Fingerprints: prints, Tokens: tokens, Negative: negative},
		"no fingerprints": {Sources: sources, Tokens: tokens, Negative: negative},
		"no cache":        {Sources: sources, Fingerprints: prints, Negative: negative},
		"no negative":     {Sources: sources, Fingerprints: prints, Tokens: tokens},
	} {
		if _, err := verifier.NewIntrospection(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func BenchmarkIntrospectionCached(b *testing.B) {
	tokens, err := cache.New[verifier.CachedGrant](1000, time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	negative, err := cache.New[*authz.CredentialError](1000, time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	v, err := verifier.NewIntrospection(verifier.IntrospectionConfig{
		Sources:     []verifier.IntrospectionSource{{Introspector: &fakeServer{response: verifier.TokenInfo{Active: true, Subject: "alice"}}, CacheTTL: time.Hour}},
		Revocations: &fakeRevocations{}, Fingerprints: fingerprint.NewHasher(), Tokens: tokens, Negative: negative,
	})
	if err != nil {
		b.Fatal(err)
	}
	c := &authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret("pWFzdGVyIHRoYW4geW91IHRoaW5rIGl0IGlz")}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(context.Background(), c, now); err != nil {
			b.Fatal(err)
		}
	}
}

func TestIntrospectionAudience(t *testing.T) {
	for _, c := range []struct {
		wanted, told []string
		want         authz.Reason
	}{
		{nil, nil, authz.OK},
		{nil, []string{"others"}, authz.OK},
		{[]string{"api"}, []string{"others", "api"}, authz.OK},
		{[]string{"api"}, []string{"others"}, authz.InvalidToken},
		{[]string{"api"}, []string{"API", "api2"}, authz.InvalidToken},
		{[]string{"api"}, nil, authz.InvalidToken},
	} {
		s := &fakeServer{audiences: c.wanted, response: verifier.TokenInfo{Active: true, Subject: "alice", Audience: c.told}}
		if _, got := newIntrospectionFixture(t, nil, s).verify(context.Background(), "t"); got != c.want {
			t.Errorf("audiences %q, token's %q: %s, want %s", c.wanted, c.told, got, c.want)
		}
	}
}

// TestLimitOfOneClient checks that one client has one limit, whichever form its
// address has.
func TestLimitOfOneClient(t *testing.T) {
	for kind, addressOf := range clientAddressForms {
		synctest.Test(t, func(t *testing.T) {
			f := newIntrospectionFixture(t, nil, &fakeServer{delay: 100 * time.Millisecond})
			var refused atomic.Int64
			for n := range 50 {
				go func() {
					c := &authz.Credential{Scheme: authz.SchemeBearer, Client: authz.RawAddress(addressOf(n)), Secret: authz.NewSecret(fmt.Sprint("made up ", n))}
					_, err := f.Verify(context.Background(), c, f.now)
					if refusal, ok := errors.AsType[*authz.CredentialError](err); ok && refusal.Reason == authz.Overloaded {
						refused.Add(1)
					}
				}()
			}
			synctest.Wait()
			if got := refused.Load(); got != 50-16 {
				t.Errorf("%s: %d of 50 refused", kind, got)
			}
			time.Sleep(time.Second)
		})
	}
}

// TestClientLimit checks that a client that invents tokens has its own limit
// and leaves capacity for others.
func TestClientLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{delay: 100 * time.Millisecond}
		f := newIntrospectionFixture(t, nil, s)
		ask := func(client, token string) error {
			_, err := f.Verify(context.Background(), &authz.Credential{Scheme: authz.SchemeBearer, Client: authz.RawAddress(client), Secret: authz.NewSecret(token)}, f.now)
			return err
		}
		overloaded := func(err error) bool {
			refusal, refused := errors.AsType[*authz.CredentialError](err)
			return refused && refusal.Reason == authz.Overloaded
		}
		var refused, nameless atomic.Int64
		for i := range 50 {
			go func() {
				if overloaded(ask("192.0.2.1", fmt.Sprint("made up ", i))) {
					refused.Add(1)
				}
			}()
			go func() {
				if overloaded(ask("", fmt.Sprint("no address ", i))) {
					nameless.Add(1)
				}
			}()
		}
		synctest.Wait()
		if got := refused.Load(); got != 50-16 {
			t.Errorf("%d of 50 refused", got)
		}
		if err := ask("192.0.2.2", "another client's"); overloaded(err) {
			t.Errorf("another client: %v", err)
		}
		time.Sleep(time.Second)
		synctest.Wait() // all have ended
		if err := ask("192.0.2.1", "later"); overloaded(err) {
			t.Errorf("the same client later: %v", err)
		}
		if nameless.Load() != 0 {
			t.Error("clients without an address share a limit")
		}
	})
}

// TestIntrospectionCauses checks that the cause names the rule that a response
// breaks, the first time and from the cache.
func TestIntrospectionCauses(t *testing.T) {
	for want, says := range map[string]verifier.TokenInfo{
		"active: want an active token, got one that its server calls inactive": {},
		"cnf: want a bearer token":                       {Active: true, Subject: "alice", SenderConstrained: true},
		"use: want an access token":                      {Active: true, Subject: "alice", Use: "refresh"},
		`aud: want "api" (audiences), got others`:        {Active: true, Subject: "alice", Audience: []string{tokenSecret}},
		"jti: want a plain text":                         {Active: true, Subject: "alice", Audience: []string{"api"}, JTI: " " + tokenSecret},
		"iss: want a plain text":                         {Active: true, Subject: "alice", Audience: []string{"api"}, Issuer: " " + tokenSecret},
		"subject: want a plain text":                     {Active: true, Subject: " " + tokenSecret},
		"subject: want a sub, a username or a client_id": {Active: true},
		"subject: want a subject that does not begin":    {Active: true, Subject: "c_" + tokenSecret},
		"nbf: want a time that is not in the future":     {Active: true, Subject: "alice", Audience: []string{"api"}, NotBefore: tokenNow.Add(time.Hour)},
	} {
		f := newIntrospectionFixture(t, nil, &fakeServer{response: says, audiences: []string{"api"}})
		for range 2 {
			expectCause(t, f.Introspection, "t", want)
		}
	}
}

// TestRevokedClient checks that a client's own tokens are revoked by the
// client's id.
func TestRevokedClient(t *testing.T) {
	list := &revocationList{subjects: map[string]time.Time{"app": tokenNow}}
	f := newIntrospectionFixture(t, list, &fakeServer{response: verifier.TokenInfo{Active: true, ClientID: "app"}})
	f.expect("t", authz.RevokedToken)
}

// TestOnlyTokensAreIntrospected: a text that cannot be a token, such as a
// password that was typed in place of a key, is not sent to the server.
func TestOnlyTokensAreIntrospected(t *testing.T) {
	s := &fakeServer{}
	f := newIntrospectionFixture(t, nil, s)
	s.set(verifier.TokenInfo{Active: true, Subject: "alice"}, nil)
	for _, c := range []struct {
		scheme authz.CredentialScheme
		text   string
		asked  int64
	}{
		{authz.SchemeBare, "opaque", 1},
		{authz.SchemeBare, "hunter2 my password", 0},
		{authz.SchemeBare, "p\u00e4ss", 0},
		{authz.SchemeBare, strings.Repeat("x", 8193), 0},
		{authz.SchemeBearer, strings.Repeat("x", 8193), 0},
		{authz.SchemeBearer, strings.Repeat("x", 8192), 1},
	} {
		before := s.calls.Load()
		_, err := f.Verify(t.Context(), &authz.Credential{Scheme: c.scheme, Secret: authz.NewSecret(c.text)}, f.now)
		if asked := s.calls.Load() - before; asked != c.asked || (err == nil) != (c.asked == 1) {
			t.Errorf("scheme %d, %.20q: asked %d times, error %v", c.scheme, c.text, asked, err)
		}
	}
}
