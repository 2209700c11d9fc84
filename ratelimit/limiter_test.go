package ratelimit

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/internal/race"
)

// recordingStore is a Store that records the limits of each call, and calls a
// Memory.
type recordingStore struct {
	*Memory
	t    *testing.T
	asks []Limit // of the last Take or Peek
	took int
	err  error
}

func newRecordingStore(t *testing.T) *recordingStore {
	return &recordingStore{Memory: newTestMemory(t, 0, start), t: t}
}

func (b *recordingStore) Take(ctx context.Context, now time.Time, limits []Limit, results []Result) (int, error) {
	b.asks, b.took = slices.Clone(limits), b.took+1
	if b.err != nil {
		return NotRefused, b.err
	}
	return b.Memory.Take(ctx, now, limits, results)
}

func (b *recordingStore) Peek(ctx context.Context, now time.Time, limits []Limit, results []Result) (int, error) {
	b.asks = slices.Clone(limits)
	if b.err != nil {
		return NotRefused, b.err
	}
	return b.Memory.Peek(ctx, now, limits, results)
}

// names returns the names of the limits of the last call, with their rates.
func (b *recordingStore) names() string {
	var names []string
	for _, l := range b.asks {
		names = append(names, l.Name+" "+l.Rate.String())
	}
	b.asks = nil
	return strings.Join(names, ", ")
}

// limiterFixture is a Limiter with its stores.
type limiterFixture struct {
	*Limiter
	t                *testing.T
	store, addresses *recordingStore
	shadowed         []string
	now              time.Time
	client           string
}

func perMinute(n int) Spec { return Spec{Rate: Rate{Count: n, Period: time.Minute}} }

func shadow(spec Spec) Spec { spec.Shadow = true; return spec }

func newLimiterFixture(t *testing.T, kinds map[authz.AuthMethod]Spec, failed Spec) *limiterFixture {
	t.Helper()
	g := &limiterFixture{t: t, store: newRecordingStore(t), addresses: newRecordingStore(t), now: start, client: "192.0.2.1"}
	keyer, err := NewBucketKeyer(nil)
	if err != nil {
		t.Fatal(err)
	}
	g.Limiter, err = NewLimiter(LimiterConfig{
		ByMethod: kinds, Failed: failed, Store: g.store, Addresses: g.addresses, Keyer: keyer,
		Shadowed: func(limit string) { g.shadowed = append(g.shadowed, limit) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *limiterFixture) allow(p *authz.Principal, route *authz.Route) authz.Quota {
	g.t.Helper()
	q, err := g.Allow(g.t.Context(), &authz.Request{Peer: g.client}, &authz.Decision{Principal: p, Route: route, At: g.now})
	if err != nil {
		g.t.Fatal(err)
	}
	return q
}

// passes fails the test unless n requests are allowed and the next one is not.
func (g *limiterFixture) passes(n int, p *authz.Principal, route *authz.Route) {
	g.t.Helper()
	for i := range n {
		if q := g.allow(p, route); q.Refused || q.Name == "" {
			g.t.Fatalf("request %d of %d: %+v", i+1, n, q)
		}
	}
	if q := g.allow(p, route); !q.Refused || q.RetryAfter <= 0 {
		g.t.Fatalf("request %d: %+v", n+1, q)
	}
}

var (
	anonymous = &authz.Principal{AuthMethod: authz.AuthMethodAnonymous}
	k1        = &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, KeyID: "k_1", User: "alice"}
	noRoute   = &authz.Route{}
)

// TestWhichLimits: the principal and the route select the limits and the store.
func TestWhichLimits(t *testing.T) {
	all := map[authz.AuthMethod]Spec{
		authz.AuthMethodAPIKey: perMinute(10), authz.AuthMethodJWT: perMinute(20), authz.AuthMethodOAuth: perMinute(30),
		authz.AuthMethodBasic: perMinute(40), authz.AuthMethodAnonymous: perMinute(50),
	}
	own, rated := *k1, &authz.Route{Name: "r", Rate: Rate{Count: 5, Period: time.Minute}}
	own.Rate = Rate{Count: 7, Period: time.Hour}
	user := func(m authz.AuthMethod) *authz.Principal { return &authz.Principal{AuthMethod: m, User: "alice"} }
	for _, test := range []struct {
		about                   string
		kinds                   map[authz.AuthMethod]Spec
		p                       *authz.Principal
		route                   *authz.Route
		principals, ofAddresses string
	}{
		{"a key", all, k1, noRoute, "api_key 10/m", ""},
		{"a JWT", all, user(authz.AuthMethodJWT), noRoute, "jwt 20/m", ""},
		{"a token", all, user(authz.AuthMethodOAuth), noRoute, "oauth 30/m", ""},
		{"a password", all, user(authz.AuthMethodBasic), noRoute, "basic 40/m", ""},
		{"anonymous", all, anonymous, noRoute, "", "anonymous 50/m"},
		{"a key with a rate of its own", all, &own, noRoute, "key 7/h", ""},
		{"a route with a rate", all, k1, rated, "api_key 10/m, route 5/m", ""},
		{"both", all, &own, rated, "key 7/h, route 5/m", ""},
		{"anonymous on a route with a rate", all, anonymous, rated, "", "anonymous 50/m, route 5/m"},
		{"only a route's", nil, k1, rated, "route 5/m", ""},
		{"only a key's own", nil, &own, noRoute, "key 7/h", ""},
		{"no limit", nil, k1, noRoute, "", ""},
		{"no limit, anonymous", nil, anonymous, noRoute, "", ""},
	} {
		g := newLimiterFixture(t, test.kinds, perMinute(60))
		q := g.allow(test.p, test.route)
		if principals, addresses := g.store.names(), g.addresses.names(); principals != test.principals || addresses != test.ofAddresses {
			t.Errorf("%s: principals %q, addresses %q; want %q and %q", test.about, principals, addresses, test.principals, test.ofAddresses)
		}
		if limited := test.principals+test.ofAddresses != ""; (q.Name != "") != limited {
			t.Errorf("%s: quota %+v", test.about, q)
		}
	}
}

// TestWhoseCount: which principals share a bucket, and which do not.
func TestWhoseCount(t *testing.T) {
	rate := perMinute(1)
	kinds := map[authz.AuthMethod]Spec{}
	for _, m := range authz.AuthMethods() {
		kinds[m.Method] = rate
	}
	user := func(m authz.AuthMethod, issuer string) *authz.Principal {
		return &authz.Principal{AuthMethod: m, User: "alice", Issuer: issuer}
	}
	client := func(issuer, id string) *authz.Principal {
		return &authz.Principal{AuthMethod: authz.AuthMethodOAuth, ClientID: id, Issuer: issuer}
	}
	basicKey := *k1
	for _, test := range []struct {
		about string
		a, b  *authz.Principal
		same  bool
	}{
		{"one key, twice", k1, &basicKey, true},
		{"two keys of one user", k1, &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, KeyID: "k_2", User: "alice"}, false},
		{"two tokens of one user", user(authz.AuthMethodJWT, "i"), user(authz.AuthMethodJWT, "i"), true},
		{"one name at two issuers", user(authz.AuthMethodJWT, "i"), user(authz.AuthMethodJWT, "j"), false},
		{"a JWT and a token of one user", user(authz.AuthMethodJWT, "i"), user(authz.AuthMethodOAuth, "i"), false},
		{"a password and a JWT of one user", user(authz.AuthMethodBasic, ""), user(authz.AuthMethodJWT, ""), false},
		{"two tokens of one client", client("i", "app"), client("i", "app"), true},
		{"two clients of one issuer", client("i", "app"), client("i", "other"), false},
		{"one client at two issuers", client("i", "app"), client("j", "app"), false},
		{"a client and a user of its name", client("i", "alice"), user(authz.AuthMethodOAuth, "i"), false},
		{"a key and a user of its name", &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, KeyID: "alice"}, user(authz.AuthMethodBasic, ""), false},
	} {
		g := newLimiterFixture(t, kinds, Spec{})
		if g.allow(test.a, noRoute).Refused {
			t.Fatalf("%s: the first request is refused", test.about)
		}
		if refused := g.allow(test.b, noRoute).Refused; refused != test.same {
			t.Errorf("%s: refused %v", test.about, refused)
		}
	}
	g := newLimiterFixture(t, kinds, Spec{})
	g.passes(1, anonymous, noRoute)
	g.client = "192.0.2.2"
	g.passes(1, anonymous, noRoute)
	g.passes(1, k1, noRoute)
}

// TestRouteCounts: each principal and each address has its own limit on each
// route.
func TestRouteCounts(t *testing.T) {
	g := newLimiterFixture(t, nil, Spec{})
	a, b := &authz.Route{Identity: "a", Rate: Rate{Count: 2, Period: time.Minute}}, &authz.Route{Identity: "b", Rate: Rate{Count: 3, Period: time.Minute}}
	g.passes(2, k1, a)
	g.passes(3, k1, b)
	g.passes(2, &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, KeyID: "k_2"}, a)
	g.passes(2, anonymous, a)
	g.client = "192.0.2.2"
	g.passes(2, anonymous, a)
}

// TestMostRestrictiveIsReported: the most restrictive limit is reported, and if
// one limit refuses, the others are not charged.
func TestMostRestrictiveIsReported(t *testing.T) {
	g := newLimiterFixture(t, map[authz.AuthMethod]Spec{authz.AuthMethodAPIKey: perMinute(5)}, Spec{})
	route := &authz.Route{Name: "r", Rate: Rate{Count: 2, Period: time.Minute}}
	if q := g.allow(k1, route); q.Name != "route" || q.Limit != 2 || q.Remaining != 1 || q.Rate != route.Rate {
		t.Errorf("%+v", q)
	}
	g.allow(k1, route)
	for range 10 {
		if q := g.allow(k1, route); !q.Refused || q.Name != "route" || q.RetryAfter != 30*time.Second || q.ResetAfter != time.Minute {
			t.Fatalf("%+v", q)
		}
	}
	if q := g.allow(k1, noRoute); q.Refused || q.Name != "api_key" || q.Remaining != 2 {
		t.Errorf("on another route: %+v", q)
	}
}

// TestShadow: a shadow limit is counted and passed to Shadowed. It neither
// refuses nor is reported in the quota.
func TestShadow(t *testing.T) {
	g := newLimiterFixture(t, map[authz.AuthMethod]Spec{authz.AuthMethodAPIKey: shadow(perMinute(1))}, shadow(perMinute(1)))
	route := &authz.Route{Name: "r", Rate: Rate{Count: 2, Period: time.Minute}, RateShadow: true}
	for range 3 {
		if q := g.allow(k1, route); q != (authz.Quota{}) {
			t.Errorf("%+v", q)
		}
	}
	if got := strings.Join(g.shadowed, " "); got != "api_key api_key route" {
		t.Errorf("shadowed: %s", got)
	}
	g.shadowed, route.RateShadow = nil, false
	if q := g.allow(k1, route); !q.Refused || q.Name != "route" {
		t.Errorf("only shadow limits: %+v", q)
	}
	g.shadowed = nil
	for range 3 {
		g.RecordFailure(t.Context(), &authz.Request{Peer: g.client}, g.now)
		if q, err := g.AllowAttempt(t.Context(), &authz.Request{Peer: g.client}, g.now); err != nil || q != (authz.Quota{}) {
			t.Errorf("failed: %+v, %v", q, err)
		}
	}
	if got := strings.Join(g.shadowed, " "); got != "failed failed" {
		t.Errorf("failed, shadowed: %s", got)
	}
}

// TestFailures: an address with too many failed attempts may not try again for
// a while. Others may.
func TestFailures(t *testing.T) {
	g := newLimiterFixture(t, map[authz.AuthMethod]Spec{authz.AuthMethodAnonymous: perMinute(100)}, perMinute(3))
	try := func() authz.Quota {
		t.Helper()
		q, err := g.AllowAttempt(t.Context(), &authz.Request{Peer: g.client}, g.now)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	for range 3 {
		for range 5 { // asking charges nothing
			if q := try(); q.Refused {
				t.Fatalf("%+v", q)
			}
		}
		g.RecordFailure(t.Context(), &authz.Request{Peer: g.client}, g.now)
	}
	if q := try(); !q.Refused || q.Name != "failed" || q.RetryAfter != 20*time.Second || q.Limit != 3 {
		t.Errorf("after three: %+v", q)
	}
	if q := g.allow(anonymous, noRoute); q.Refused || q.Remaining != 99 {
		t.Errorf("without a credential: %+v", q)
	}
	if g.client = "192.0.2.2"; try().Refused {
		t.Error("another address is refused")
	}
	g.client, g.now = "192.0.2.1", g.now.Add(20*time.Second)
	if q := try(); q.Refused {
		t.Errorf("20 s later: %+v", q)
	}
	g.client = "unknown" // as others are
	for range 5 {
		g.RecordFailure(t.Context(), &authz.Request{Peer: g.client}, g.now)
	}
	if q := try(); q != (authz.Quota{}) {
		t.Errorf("a client whose address is unknown: %+v", q)
	}
	g = newLimiterFixture(t, nil, Spec{})
	for range 3 {
		g.RecordFailure(t.Context(), &authz.Request{Peer: g.client}, g.now)
	}
	if q, err := g.AllowAttempt(t.Context(), &authz.Request{Peer: g.client}, g.now); err != nil || q != (authz.Quota{}) || g.addresses.asks != nil {
		t.Errorf("without such a limit: %+v, %v", q, err)
	}
}

// TestAddressesAreCountedApart: a client that makes up addresses never touches
// the store of principals.
func TestAddressesAreCountedApart(t *testing.T) {
	g := newLimiterFixture(t, map[authz.AuthMethod]Spec{authz.AuthMethodAnonymous: perMinute(1)}, perMinute(1))
	g.store.err = errors.New("asked about an address")
	g.allow(anonymous, &authz.Route{Rate: Rate{Count: 1, Period: time.Minute}})
	g.RecordFailure(t.Context(), &authz.Request{Peer: g.client}, g.now)
	if _, err := g.AllowAttempt(t.Context(), &authz.Request{Peer: g.client}, g.now); err != nil {
		t.Error(err)
	}
	if g.store.asks != nil || g.addresses.took != 2 {
		t.Errorf("asked about %v; %d counted with addresses", g.store.asks, g.addresses.took)
	}
}

var errStore = errors.New("no answer")

// TestStoreError: an error of either store is returned, without a quota.
func TestStoreError(t *testing.T) {
	g := newLimiterFixture(t, map[authz.AuthMethod]Spec{authz.AuthMethodAPIKey: perMinute(1), authz.AuthMethodAnonymous: perMinute(1)}, perMinute(1))
	g.store.err, g.addresses.err = errStore, errStore
	for _, p := range []*authz.Principal{k1, anonymous} {
		q, err := g.Allow(t.Context(), &authz.Request{Peer: g.client}, &authz.Decision{Principal: p, Route: noRoute, At: g.now})
		if !errors.Is(err, errStore) || q != (authz.Quota{}) {
			t.Errorf("%s: %+v, %v", p.AuthMethod, q, err)
		}
	}
	if q, err := g.AllowAttempt(t.Context(), &authz.Request{Peer: g.client}, g.now); !errors.Is(err, errStore) || q != (authz.Quota{}) {
		t.Errorf("AllowAttempt: %+v, %v", q, err)
	}
	if q, err := g.PeekKey(t.Context(), "k_1", Rate{}, g.now); !errors.Is(err, errStore) || q != (authz.Quota{}) {
		t.Errorf("PeekKey: %+v, %v", q, err)
	}
}

// TestPeekKey: the operator sees the state that the next request would meet, at
// no charge, and can refill the bucket.
func TestPeekKey(t *testing.T) {
	g := newLimiterFixture(t, map[authz.AuthMethod]Spec{authz.AuthMethodAPIKey: perMinute(3)}, Spec{})
	of := func(id string, own Rate) authz.Quota {
		t.Helper()
		q, err := g.PeekKey(t.Context(), id, own, g.now)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	g.passes(3, k1, noRoute)
	for range 2 {
		if q := of("k_1", Rate{}); q.Name != "api_key" || q.Limit != 3 || q.Remaining != 0 || q.RetryAfter != 20*time.Second || q.ResetAfter != time.Minute {
			t.Errorf("%+v", q)
		}
	}
	if q := of("k_2", Rate{}); q.Remaining != 3 || q.ResetAfter != 0 {
		t.Errorf("another key: %+v", q)
	}
	if q := of("k_1", Rate{Count: 30, Period: time.Minute}); q.Name != "key" || q.Limit != 30 || q.Remaining != 27 {
		t.Errorf("with a rate of its own: %+v", q)
	}
	if err := g.ResetKey(t.Context(), "k_1"); err != nil {
		t.Fatal(err)
	}
	if q := of("k_1", Rate{}); q.Remaining != 3 || q.RetryAfter != 0 {
		t.Errorf("reset: %+v", q)
	}
	g.passes(3, k1, noRoute)
	g = newLimiterFixture(t, nil, Spec{})
	if q := of("k_1", Rate{}); q != (authz.Quota{}) || g.store.asks != nil {
		t.Errorf("without a limit: %+v", q)
	}
}

func TestLimiterConfig(t *testing.T) {
	keyer, err := NewBucketKeyer(nil)
	if err != nil {
		t.Fatal(err)
	}
	m := newTestMemory(t, 0, start)
	complete := LimiterConfig{Store: m, Addresses: m, Keyer: keyer}
	for about, spoil := range map[string]func(*LimiterConfig){
		"no store":               func(c *LimiterConfig) { c.Store = nil },
		"no addresses":           func(c *LimiterConfig) { c.Addresses = nil },
		"no keyer":               func(c *LimiterConfig) { c.Keyer = nil },
		"a rate of 0":            func(c *LimiterConfig) { c.ByMethod = map[authz.AuthMethod]Spec{authz.AuthMethodJWT: shadow(Spec{})} },
		"no such kind":           func(c *LimiterConfig) { c.ByMethod = map[authz.AuthMethod]Spec{200: perMinute(1)} },
		"invalid rate of failed": func(c *LimiterConfig) { c.Failed = Spec{Rate: Rate{Count: 1, Period: 1}} },
	} {
		cfg := complete
		if spoil(&cfg); about != "" {
			if _, err := NewLimiter(cfg); err == nil {
				t.Errorf("%s: accepted", about)
			}
		}
	}
	if _, err := NewLimiter(complete); err != nil {
		t.Error(err)
	}
}

// TestAllowAllocations: counting a request in memory allocates nothing.
func TestAllowAllocations(t *testing.T) {
	if race.Detector {
		t.Skip("sync.Pool drops entries on purpose")
	}
	m, keyer := newTestMemory(t, 0, start), must(NewBucketKeyer(nil))
	l := must(NewLimiter(LimiterConfig{
		ByMethod: map[authz.AuthMethod]Spec{authz.AuthMethodAPIKey: {Rate: Rate{Count: 999_999_999, Period: time.Second}}}, Failed: perMinute(10),
		Store: m, Addresses: m, Keyer: keyer,
	}))
	r, d := &authz.Request{Peer: "2001:db8::1"}, &authz.Decision{Principal: k1, Route: &authz.Route{Identity: "r", Rate: Rate{Count: 1, Period: time.Second}, RateShadow: true}, At: start}
	if n := testing.AllocsPerRun(1000, func() {
		_, errTry := l.AllowAttempt(t.Context(), r, start)
		_, errAdmit := l.Allow(t.Context(), r, d)
		if errTry != nil || errAdmit != nil {
			t.Fatal(errTry, errAdmit)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// discardStore is a store that writes no results.
type discardStore struct {
	Store
	refused int
}

func (s discardStore) Take(context.Context, time.Time, []Limit, []Result) (int, error) {
	return s.refused, nil
}
func (s discardStore) Peek(context.Context, time.Time, []Limit, []Result) (int, error) {
	return s.refused, nil
}

// TestStoreThatWritesNothing: results of another request are not used, and the
// store's decision counts.
func TestStoreThatWritesNothing(t *testing.T) {
	for _, refused := range []int{0, NotRefused} {
		l, err := NewLimiter(LimiterConfig{
			ByMethod: map[authz.AuthMethod]Spec{authz.AuthMethodAPIKey: perMinute(10)}, Failed: perMinute(10), Keyer: must(NewBucketKeyer(nil)),
			Store: discardStore{refused: refused}, Addresses: discardStore{refused: refused},
		})
		if err != nil {
			t.Fatal(err)
		}
		used := &request{n: 1}
		used.results[0].Allowed = true
		l.requests.Put(used)
		if q, err := l.Allow(t.Context(), &authz.Request{}, &authz.Decision{Principal: k1, Route: &authz.Route{}}); err != nil || !q.Refused {
			t.Errorf("the store returned %d: %+v, %v", refused, q, err)
		}
		if q, err := l.AllowAttempt(t.Context(), &authz.Request{Peer: "192.0.2.1"}, start); err != nil || q.Refused != (refused == 0) {
			t.Errorf("AllowAttempt, the store returned %d: %+v, %v", refused, q, err)
		}
	}
}
