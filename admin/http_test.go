package admin

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/authz"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// TestKeys: each query and operation on a key, given its id.
func TestKeys(t *testing.T) {
	type object map[string]any
	answer := func(ids ...string) func(string) (any, error) {
		return func(id string) (any, error) {
			switch id {
			case "k_1":
				return object{"of": ids[0]}, nil
			case "k_2":
				return nil, nil
			default:
				return nil, errors.New("store unavailable")
			}
		}
	}
	limit := answer("limit")
	h := Handler(prometheus.NewRegistry(), func() error { return nil }, Keys{
		Usage: answer("usage"),
		Limit: func(_ context.Context, id string) (any, error) { return limit(id) },
	})
	for _, test := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/usage/k_1", 200, `{"of":"usage"}`},
		{"GET", "/usage/k_2", 404, "no use of such a key is known"},
		{"GET", "/usage/k_3", 500, "store unavailable"},
		{"GET", "/limits/k_1", 200, `{"of":"limit"}`},
		{"GET", "/limits/k_2", 404, "no limit is set for such a key"},
		{"GET", "/limits/k_3", 503, "store unavailable"},
		{"DELETE", "/limits/k_1", 405, "Method Not Allowed"},
		{"PUT", "/limits/k_1", 405, "Method Not Allowed"},
		{"POST", "/limits/k_1", 405, "Method Not Allowed"},
		{"DELETE", "/usage/k_1", 405, "Method Not Allowed"},
		{"DELETE", "/limits/", 404, "404 page not found"},
		{"GET", "/limits", 404, "404 page not found"},
		{"GET", "/limits/k_1/x", 404, "404 page not found"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(test.method, test.path, nil))
		if body := strings.TrimSpace(w.Body.String()); w.Code != test.status || body != test.body {
			t.Errorf("%s %s: %d %s; want %d %s", test.method, test.path, w.Code, body, test.status, test.body)
		}
		if w.Code == 200 && w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: the response may be cached", test.method, test.path)
		}
	}
}

// TestRateLimited: requests over a limit are counted by the principal's auth
// method, and shadow limits by name.
func TestRateLimited(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	observe := func(reason authz.Reason, method authz.AuthMethod) {
		d := &authz.Decision{Reason: reason}
		if method != authz.AuthMethodNone {
			d.Principal = &authz.Principal{AuthMethod: method}
		}
		m.Observe(&authz.Request{}, d)
	}
	all := []authz.AuthMethod{authz.AuthMethodNone, authz.AuthMethodAnonymous, authz.AuthMethodAPIKey, authz.AuthMethodBasic, authz.AuthMethodJWT, authz.AuthMethodOAuth, authz.AuthMethodSession}
	for i, method := range all {
		for range i + 1 {
			observe(authz.RateLimited, method)
		}
		observe(authz.OK, method)
		observe(authz.Unavailable, method)
	}
	m.Shadowed("route")
	m.Shadowed("route")
	got := map[string]float64{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if name := family.GetName(); name == "keyward_rate_limited_total" || name == "keyward_rate_limit_shadowed_total" {
			for _, metric := range family.GetMetric() {
				got[name+" "+metric.GetLabel()[0].GetValue()] = metric.GetCounter().GetValue()
			}
		}
	}
	// Each limit that can be a shadow limit has a series before its first
	// event.
	want := map[string]float64{"keyward_rate_limit_shadowed_total route": 2, "keyward_rate_limit_shadowed_total failed": 0}
	for i, name := range []string{"none", "anonymous", "api_key", "basic", "jwt", "oauth", "session"} {
		want["keyward_rate_limited_total "+name] = float64(i + 1)
		if name != "none" {
			want["keyward_rate_limit_shadowed_total "+name] = 0
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
	for series, n := range want {
		if got[series] != n {
			t.Errorf("%s: %v, want %v", series, got[series], n)
		}
	}
}

// fakeState is a State with only limits and readiness.
type fakeState struct {
	limits LimitState
	fault  error
}

func (fakeState) Caches() []CacheState { return nil }
func (fakeState) Keys() KeyCounts      { return KeyCounts{} }
func (fakeState) PasswordHashes() int  { return 0 }

func (fakeState) Signatures() SignatureState { return SignatureState{InFlight: 1, Refused: 7} }
func (n fakeState) Limits() LimitState       { return n.limits }
func (fakeState) CentralStore() *StoreState {
	return &StoreState{Up: true, Contact: time.Unix(1700000000, 0), Applied: 7, Resyncs: map[string]uint64{"start": 1}}
}
func (n fakeState) Sessions() (int, bool) { return 3, n.fault == nil }
func (n fakeState) Ready() error          { return n.fault }

// TestSignatureState: verifications in flight and refused tokens are metrics.
func TestSignatureState(t *testing.T) {
	registry := prometheus.NewRegistry()
	if err := CollectState(registry, fakeState{}); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]*dto.Metric{}
	for _, family := range families {
		got[family.GetName()] = family.GetMetric()[0]
	}
	if g := got["keyward_signature_verifications_in_flight"].GetGauge(); g.GetValue() != 1 {
		t.Errorf("in flight: %v", g)
	}
	if c := got["keyward_signature_verifications_refused_total"].GetCounter(); c.GetValue() != 7 {
		t.Errorf("refused: %v", c)
	}
}

// TestReady: readiness is a metric too.
func TestReady(t *testing.T) {
	for want, fault := range map[float64]error{1: nil, 0: errors.New("no keys yet")} {
		registry := prometheus.NewRegistry()
		if err := CollectState(registry, fakeState{fault: fault}); err != nil {
			t.Fatal(err)
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "keyward_ready" })
		if i < 0 || families[i].GetMetric()[0].GetGauge().GetValue() != want {
			t.Errorf("%v: %v, want %v", fault, families, want)
		}
	}
}

// TestLimitState: each field of LimitState has its metric.
func TestLimitState(t *testing.T) {
	for _, unavailable := range []bool{true, false} {
		registry := prometheus.NewRegistry()
		if err := CollectState(registry, fakeState{limits: LimitState{Buckets: 1, Evicted: 2, StoreUnavailable: unavailable, StoreFailures: 3, LocalDecisions: 4}}); err != nil {
			t.Fatal(err)
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]*dto.Metric{}
		for _, family := range families {
			got[family.GetName()] = family.GetMetric()[0]
		}
		up := 1.0
		if unavailable {
			up = 0
		}
		if g := got["keyward_rate_limit_buckets"].GetGauge(); g.GetValue() != 1 {
			t.Errorf("buckets: %v", g)
		}
		if g := got["keyward_rate_limit_store_up"].GetGauge(); g == nil || g.GetValue() != up {
			t.Errorf("up: %v, want %v", g, up)
		}
		for name, want := range map[string]float64{"evictions": 2, "store_failures": 3, "local_decisions": 4} {
			if c := got["keyward_rate_limit_"+name+"_total"].GetCounter(); c.GetValue() != want {
				t.Errorf("%s: %v, want %v", name, c, want)
			}
		}
	}
}
