package verifier_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keyward/authz"
	"keyward/cache"
	"keyward/verifier"
	"keyward/verifier/fingerprint"
)

// server is an authorization server that a test scripts.
type server struct {
	mu    sync.Mutex
	says  verifier.TokenInfo
	fails error
	takes time.Duration
	asked atomic.Int64

	audiences []string // the operator's
}

func (s *server) Introspect(ctx context.Context, _ authz.Address, _ authz.Secret) (*verifier.TokenInfo, error) {
	s.asked.Add(1)
	s.mu.Lock()
	says, fails, takes := s.says, s.fails, s.takes
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(takes):
	}
	if fails != nil {
		return nil, fails
	}
	return &says, nil
}

// turns changes the server's response.
func (s *server) turns(says verifier.TokenInfo, fails error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.says, s.fails = says, fails
}

// ended is a verifier.Revocations that a test sets.
type ended struct {
	mu            sync.Mutex
	unready       error
	jti, subject  string
	before        time.Time
	number, looks uint64
}

func (e *ended) Ready() error { return e.unready }
func (e *ended) Changes() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.number
}
func (e *ended) Revoked(jti, subject string, issuedAt time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.looks++
	return jti != "" && jti == e.jti || subject == e.subject && issuedAt.Before(e.before)
}
func (e *ended) names(jti, subject string, before time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.jti, e.subject, e.before = jti, subject, before
	e.number++
}

// introspectionFixture is an Introspection verifier with such servers.
type introspectionFixture struct {
	*verifier.Introspection
	t   *testing.T
	now time.Time
}

const cacheTTL, negativeTTL = 30 * time.Second, 10 * time.Second

func newIntrospectionFixture(t *testing.T, revocations verifier.Revocations, servers ...*server) *introspectionFixture {
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
	b := &introspectionFixture{t: t, now: time.Now().UTC().Truncate(time.Second)}
	if b.Introspection, err = verifier.NewIntrospection(cfg); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *introspectionFixture) verify(ctx context.Context, token string) (*authz.Principal, authz.Reason) {
	p, err := b.Verify(ctx, &authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(token)}, b.now)
	refusal, refused := errors.AsType[*authz.CredentialError](err)
	switch {
	case err == nil && p != nil:
		return p, authz.OK
	case refused:
		return refusal.Principal, refusal.Reason
	case err == nil || p != nil:
		b.t.Errorf("principal %v with error %v", p, err)
		return nil, authz.Internal
	default:
		return nil, authz.Unavailable
	}
}

func (b *introspectionFixture) is(token string, want authz.Reason) *authz.Principal {
	b.t.Helper()
	p, got := b.verify(context.Background(), token)
	if got != want {
		b.t.Errorf("token %s: %s, want %s", token, got, want)
	}
	return p
}

var errAway = errors.New("away")

func TestIntrospectedPrincipal(t *testing.T) {
	scopes, err := authz.ParseScopes([]string{"read", "write"})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{}
	b := newIntrospectionFixture(t, nil, s)
	exp := b.now.Add(time.Hour)
	s.turns(verifier.TokenInfo{Active: true, Subject: "alice", Username: "al", ClientID: "app", Issuer: "https://i.test", Scopes: scopes, ExpiresAt: exp}, nil)
	p := b.is("t", authz.OK)
	if p.AuthMethod != authz.AuthMethodOAuth || p.User != "alice" || p.ClientID != "app" || p.Issuer != "https://i.test" || p.Scopes.String() != "read write" ||
		!p.ExpiresAt.Equal(exp) || !p.Paths.IsAnyPath() || !p.UserPaths.IsAnyPath() || p.KeyID != "" || p.Project != "" {
		t.Errorf("principal %+v", p)
	}
	for _, kind := range []authz.CredentialScheme{authz.SchemeNone, authz.SchemeBasic, authz.SchemeAPIKey} {
		if _, err := b.Verify(context.Background(), &authz.Credential{Scheme: kind, Secret: authz.NewSecret("t")}, b.now); err != authz.ErrNotMine {
			t.Errorf("kind %d: %v", kind, err)
		}
	}
}

func TestIntrospectedAnswers(t *testing.T) {
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
		b := newIntrospectionFixture(t, nil, &server{says: c.says})
		b.now = now
		for range 2 { // from the server, and from the cache
			p, got := b.verify(context.Background(), "t")
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

// TestGrantsAreKept checks that a grant is used until the source's TTL or the token's own
// expiry, and not longer.
func TestGrantsAreKept(t *testing.T) {
	s := &server{}
	b := newIntrospectionFixture(t, nil, s)
	s.turns(verifier.TokenInfo{Active: true, Subject: "alice"}, nil)
	first := b.is("t", authz.OK)
	b.is("other", authz.OK)
	s.turns(verifier.TokenInfo{}, nil)
	b.now = b.now.Add(cacheTTL - 1)
	if again := b.is("t", authz.OK); again != first || s.asked.Load() != 2 {
		t.Errorf("asked %d times, want once per token", s.asked.Load())
	}
	b.now = b.now.Add(1)
	b.is("t", authz.InvalidToken)

	s.turns(verifier.TokenInfo{Active: true, Subject: "alice", ExpiresAt: b.now.Add(time.Second)}, nil)
	b.is("short", authz.OK)
	asked := s.asked.Load()
	b.now = b.now.Add(time.Second)
	if p := b.is("short", authz.ExpiredToken); p == nil || p.User != "alice" || s.asked.Load() != asked {
		t.Errorf("an expired token, from the cache: %v after %d more requests", p, s.asked.Load()-asked)
	}
	b.now = b.now.Add(cacheTTL)
	if b.is("short", authz.ExpiredToken); s.asked.Load() != asked {
		t.Error("the server was asked about a token that is known to be expired")
	}
}

func TestInactiveTokensAreKept(t *testing.T) {
	s := &server{}
	b := newIntrospectionFixture(t, nil, s)
	for range 3 {
		b.is("t", authz.InvalidToken)
	}
	if n := s.asked.Load(); n != 1 {
		t.Errorf("asked %d times about an inactive token, want once", n)
	}
	s.turns(verifier.TokenInfo{Active: true, Subject: "alice"}, nil)
	b.now = b.now.Add(negativeTTL)
	b.is("t", authz.OK)
}

// TestServerAway checks that while a server is unavailable, cached tokens are accepted until
// their TTL ends, and the error for an uncached token is cached for a second.
func TestServerAway(t *testing.T) {
	s := &server{}
	b := newIntrospectionFixture(t, nil, s)
	s.turns(verifier.TokenInfo{Active: true, Subject: "alice"}, nil)
	b.is("known", authz.OK)
	s.turns(verifier.TokenInfo{}, errAway)
	b.is("unknown", authz.Unavailable)
	b.now = b.now.Add(cacheTTL - 1)
	b.is("known", authz.OK)
	b.now = b.now.Add(1)
	b.is("known", authz.Unavailable)
	s.turns(verifier.TokenInfo{Active: true, Subject: "alice"}, nil)
	b.is("unknown", authz.OK)
	b.now = b.now.Add(time.Second)
	b.is("known", authz.OK)
}

// TestIntrospectionClockGoesBack checks that no response is used for longer because the
// clock was set back.
func TestIntrospectionClockGoesBack(t *testing.T) {
	s := &server{says: verifier.TokenInfo{Active: true, Subject: "alice"}}
	b := newIntrospectionFixture(t, nil, s)
	b.is("active", authz.OK)
	s.turns(verifier.TokenInfo{}, nil)
	b.is("inactive", authz.InvalidToken)
	s.turns(verifier.TokenInfo{}, errAway)
	b.is("odd", authz.Unavailable)
	s.turns(verifier.TokenInfo{Active: true, Subject: "bob"}, nil)
	b.now = b.now.Add(-5 * time.Hour)
	for _, token := range []string{"active", "inactive", "odd"} {
		if p := b.is(token, authz.OK); p == nil || p.User != "bob" {
			t.Errorf("%s: it is still %v", token, p)
		}
	}
}

// TestFailureIsRemembered checks that a token for which the server fails is sent to it once
// a second, whichever client presents it, and that ErrNotAsked is not cached.
func TestFailureIsRemembered(t *testing.T) {
	s := &server{fails: errAway}
	b := newIntrospectionFixture(t, nil, s)
	for range 100 {
		b.is("odd", authz.Unavailable)
	}
	if n := s.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	s.turns(verifier.TokenInfo{Active: true, Subject: "alice"}, nil)
	b.is("another", authz.OK)
	b.is("odd", authz.Unavailable)
	b.now = b.now.Add(time.Second)
	b.is("odd", authz.OK)

	s.turns(verifier.TokenInfo{}, fmt.Errorf("%w: too many", verifier.ErrNotAsked))
	b.is("held back", authz.Unavailable)
	s.turns(verifier.TokenInfo{Active: true, Subject: "alice"}, nil)
	b.is("held back", authz.OK)
}

func TestSeveralServers(t *testing.T) {
	active, inactive := verifier.TokenInfo{Active: true, Subject: "alice"}, verifier.TokenInfo{}
	for name, c := range map[string]struct {
		first, second *server
		want          authz.Reason
		asked         int64 // of the second
	}{
		"the first knows":          {&server{says: active}, &server{fails: errAway}, authz.OK, 0},
		"the second knows":         {&server{says: inactive}, &server{says: active}, authz.OK, 1},
		"the first is unavailable": {&server{fails: errAway}, &server{says: active}, authz.OK, 1},
		"none knows":               {&server{says: inactive}, &server{says: inactive}, authz.InvalidToken, 1},
		"only the second answers":  {&server{fails: errAway}, &server{says: inactive}, authz.Unavailable, 1},
		"only the first answers":   {&server{says: inactive}, &server{fails: errAway}, authz.Unavailable, 1},
		"all are unavailable":      {&server{fails: errAway}, &server{fails: errAway}, authz.Unavailable, 1},
	} {
		newIntrospectionFixture(t, nil, c.first, c.second).is("t", c.want)
		if n := c.second.asked.Load(); n != c.asked {
			t.Errorf("%s: the second was asked %d times", name, n)
		}
	}
}

// TestRevokedGrants checks that a revocation and its removal are in effect at once, for
// cached and uncached tokens.
func TestRevokedGrants(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	s := &server{says: verifier.TokenInfo{Active: true, Subject: "alice", JTI: "j", IssuedAt: now.Add(-time.Minute)}}
	e := &ended{}
	b := newIntrospectionFixture(t, e, s)
	b.now = now
	b.is("t", authz.OK)
	e.names("j", "", time.Time{})
	if p := b.is("t", authz.RevokedToken); p == nil || p.User != "alice" {
		t.Error("the log does not have the token's user")
	}
	b.is("new", authz.RevokedToken)
	e.names("", "alice", now)
	b.is("t", authz.RevokedToken)
	e.names("", "alice", now.Add(-89*time.Second)) // after the issue, if the server's clock is ahead
	b.is("t", authz.RevokedToken)
	e.names("", "alice", now.Add(-90*time.Second))
	b.is("t", authz.OK)
	e.names("", "bob", now)
	b.is("t", authz.OK)
	looks := e.looks
	for range 10 {
		b.is("t", authz.OK)
	}
	if e.looks != looks || s.asked.Load() != 2 {
		t.Errorf("%d look-ups without a change, %d requests for two tokens", e.looks-looks, s.asked.Load())
	}
	e.names("j", "", time.Time{})
	for range 10 {
		b.is("t", authz.RevokedToken)
	}
	if e.looks != looks+1 {
		t.Errorf("%d look-ups for one change", e.looks-looks)
	}
	e.unready = errAway
	b.is("t", authz.Unavailable)
	b.is("unknown", authz.Unavailable)
}

// TestRevokedFromTheStart checks that a revocation before the first change counts.
func TestRevokedFromTheStart(t *testing.T) {
	s := &server{says: verifier.TokenInfo{Active: true, Subject: "alice", JTI: "j"}}
	newIntrospectionFixture(t, &ended{jti: "j"}, s).is("t", authz.RevokedToken)
}

// TestRevokedWhileAsked checks that a revocation during the request counts.
func TestRevokedWhileAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ended{}
		b := newIntrospectionFixture(t, e, &server{says: verifier.TokenInfo{Active: true, Subject: "alice", JTI: "j"}, takes: 100 * time.Millisecond})
		go func() { time.Sleep(50 * time.Millisecond); e.names("j", "", time.Time{}) }()
		b.is("t", authz.RevokedToken)
	})
}

// TestCrowdSharesOneQuestion checks that concurrent requests with a token cause one query,
// whatever the result.
func TestCrowdSharesOneQuestion(t *testing.T) {
	for want, s := range map[authz.Reason]*server{
		authz.OK:           {says: verifier.TokenInfo{Active: true, Subject: "alice"}},
		authz.InvalidToken: {},
		authz.Unavailable:  {fails: errAway},
	} {
		synctest.Test(t, func(t *testing.T) {
			s.takes = 100 * time.Millisecond
			b := newIntrospectionFixture(t, nil, s)
			var group sync.WaitGroup
			for range 200 {
				group.Go(func() { b.is("t", want) })
			}
			group.Wait()
			if n := s.asked.Load(); n != 1 {
				t.Errorf("%s: %d queries", want, n)
			}
		})
	}
}

// TestIntrospectedIssuer checks that the subjects of two servers can be distinguished, even
// if the servers do not name themselves.
func TestIntrospectedIssuer(t *testing.T) {
	first, second := &server{}, &server{}
	b := newIntrospectionFixture(t, nil, first, second)
	for i, s := range []*server{first, second} {
		first.turns(verifier.TokenInfo{}, nil)
		s.turns(verifier.TokenInfo{Active: true, Subject: "alice"}, nil)
		if p := b.is(fmt.Sprint("token ", i), authz.OK); p.Issuer != fmt.Sprint("server", i) {
			t.Errorf("issuer %q", p.Issuer)
		}
	}
}

// TestFirstAskerGoesAway checks that other requests get the result if the first one is
// canceled, and that a request with a short deadline waits no longer.
func TestFirstAskerGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newIntrospectionFixture(t, nil, &server{says: verifier.TokenInfo{Active: true, Subject: "alice"}, takes: 100 * time.Millisecond})
		first, cancel := context.WithCancel(context.Background())
		go b.verify(first, "t")
		synctest.Wait()
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() { b.is("t", authz.OK) })
		}
		group.Go(func() {
			hasty, done := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer done()
			began := time.Now()
			if _, got := b.verify(hasty, "t"); got != authz.Unavailable || time.Since(began) != 50*time.Millisecond {
				t.Errorf("a request with a short deadline: %s after %s", got, time.Since(began))
			}
		})
		synctest.Wait()
		cancel()
		group.Wait()
	})
}

// TestSlowServersTogether checks that Timeout bounds the queries to all sources together.
func TestSlowServersTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func() *server { return &server{takes: time.Hour} }
		b := newIntrospectionFixture(t, nil, slow(), slow(), slow())
		began := time.Now()
		b.is("t", authz.Unavailable)
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
	sources := []verifier.IntrospectionSource{{Introspector: &server{}}}
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
		Sources:     []verifier.IntrospectionSource{{Introspector: &server{says: verifier.TokenInfo{Active: true, Subject: "alice"}}, CacheTTL: time.Hour}},
		Revocations: &ended{}, Fingerprints: fingerprint.NewHasher(), Tokens: tokens, Negative: negative,
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

func TestGrantsAreForUs(t *testing.T) {
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
		s := &server{audiences: c.wanted, says: verifier.TokenInfo{Active: true, Subject: "alice", Audience: c.told}}
		if _, got := newIntrospectionFixture(t, nil, s).verify(context.Background(), "t"); got != c.want {
			t.Errorf("audiences %q, token's %q: %s, want %s", c.wanted, c.told, got, c.want)
		}
	}
}

// TestSharesOfOneClient checks that one client has one limit, whichever form its address has.
func TestSharesOfOneClient(t *testing.T) {
	for kind, shows := range oneClient {
		synctest.Test(t, func(t *testing.T) {
			b := newIntrospectionFixture(t, nil, &server{takes: 100 * time.Millisecond})
			var refused atomic.Int64
			for n := range 50 {
				go func() {
					c := &authz.Credential{Scheme: authz.SchemeBearer, Client: authz.RawAddress(shows(n)), Secret: authz.NewSecret(fmt.Sprint("made up ", n))}
					_, err := b.Verify(context.Background(), c, b.now)
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

// TestOneClientIsNotAll checks that a client that invents tokens has its own limit and
// leaves capacity for others.
func TestOneClientIsNotAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{takes: 100 * time.Millisecond}
		b := newIntrospectionFixture(t, nil, s)
		ask := func(client, token string) error {
			_, err := b.Verify(context.Background(), &authz.Credential{Scheme: authz.SchemeBearer, Client: authz.RawAddress(client), Secret: authz.NewSecret(token)}, b.now)
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

// TestIntrospectionCauses checks that the cause names the rule that a response breaks, the
// first time and from the cache.
func TestIntrospectionCauses(t *testing.T) {
	for want, says := range map[string]verifier.TokenInfo{
		"active: want an active token, got one that its server calls inactive": {},
		"cnf: want a bearer token":                       {Active: true, Subject: "alice", SenderConstrained: true},
		"use: want an access token":                      {Active: true, Subject: "alice", Use: "refresh"},
		`aud: want "api" (audiences), got others`:        {Active: true, Subject: "alice", Audience: []string{nothingSecret}},
		"jti: want a plain text":                         {Active: true, Subject: "alice", Audience: []string{"api"}, JTI: " " + nothingSecret},
		"subject: want a plain text":                     {Active: true, Subject: " " + nothingSecret},
		"subject: want a sub, a username or a client_id": {Active: true},
		"subject: want a subject that does not begin":    {Active: true, Subject: "c_" + nothingSecret},
		"nbf: want a time that is not in the future":     {Active: true, Subject: "alice", Audience: []string{"api"}, NotBefore: tokenNow.Add(time.Hour)},
	} {
		b := newIntrospectionFixture(t, nil, &server{says: says, audiences: []string{"api"}})
		for range 2 {
			wantsCause(t, b.Introspection, "t", want)
		}
	}
}

// TestRevokedClient checks that a client's own tokens are revoked by the client's id.
func TestRevokedClient(t *testing.T) {
	list := &revocationList{subjects: map[string]time.Time{"app": tokenNow}}
	b := newIntrospectionFixture(t, list, &server{says: verifier.TokenInfo{Active: true, ClientID: "app"}})
	b.is("t", authz.RevokedToken)
}
