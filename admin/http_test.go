package admin

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"keyward/authz"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// TestKeys: what can be asked about a key, and done to it, by its id.
func TestKeys(t *testing.T) {
	type said map[string]any
	var reset []string
	answer := func(ids ...string) func(string) (any, error) {
		return func(id string) (any, error) {
			switch id {
			case "k_1":
				return said{"of": ids[0]}, nil
			case "k_2":
				return nil, nil
			default:
				return nil, errors.New("store away")
			}
		}
	}
	limit := answer("limit")
	h := Handler(prometheus.NewRegistry(), func() error { return nil }, Keys{
		Usage: answer("usage"),
		Limit: func(_ context.Context, id string) (any, error) { return limit(id) },
		Reset: func(_ context.Context, id string) error {
			if id == "k_3" {
				return errors.New("store away")
			}
			reset = append(reset, id)
			return nil
		},
	})
	for _, test := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/usage/k_1", 200, `{"of":"usage"}`},
		{"GET", "/usage/k_2", 404, "no use of such a key is known"},
		{"GET", "/usage/k_3", 500, "store away"},
		{"GET", "/limits/k_1", 200, `{"of":"limit"}`},
		{"GET", "/limits/k_2", 404, "no limit is set for such a key"},
		{"GET", "/limits/k_3", 503, "store away"},
		{"DELETE", "/limits/k_1", 200, "reset"},
		{"DELETE", "/limits/k_3", 503, "store away"},
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
			t.Errorf("%s %s: may be kept", test.method, test.path)
		}
	}
	if got := strings.Join(reset, " "); got != "k_1" {
		t.Errorf("reset: %s", got)
	}
}

// TestRateLimited: who was refused for asking too often is counted by how he was known, and what a shadow limit says by its name.
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
	all := []authz.AuthMethod{authz.AuthMethodNone, authz.AuthMethodAnonymous, authz.AuthMethodAPIKey, authz.AuthMethodBasic, authz.AuthMethodJWT, authz.AuthMethodOAuth}
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
	// Each limit that can be in the shadow has a series before its first event.
	want := map[string]float64{"keyward_rate_limit_shadowed_total route": 2, "keyward_rate_limit_shadowed_total failed": 0}
	for i, name := range []string{"none", "anonymous", "api_key", "basic", "jwt", "oauth"} {
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

// nearly is a State with nothing in it but what limits say, and why it is not ready.
type nearly struct {
	limits LimitState
	fault  error
}

func (nearly) Caches() []CacheState { return nil }
func (nearly) Keys() KeyCounts      { return KeyCounts{} }
func (nearly) PasswordHashes() int  { return 0 }

func (nearly) Signatures() SignatureState { return SignatureState{InFlight: 1, Refused: 7} }
func (n nearly) Limits() LimitState       { return n.limits }
func (n nearly) Ready() error             { return n.fault }

// TestSignatureState: what runs and what was refused are metrics.
func TestSignatureState(t *testing.T) {
	registry := prometheus.NewRegistry()
	if err := CollectState(registry, nearly{}); err != nil {
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

// TestReady: whether requests can be judged is a metric too.
func TestReady(t *testing.T) {
	for want, fault := range map[float64]error{1: nil, 0: errors.New("no keys yet")} {
		registry := prometheus.NewRegistry()
		if err := CollectState(registry, nearly{fault: fault}); err != nil {
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

// TestLimitState: each fact about the counts has its metric.
func TestLimitState(t *testing.T) {
	for _, away := range []bool{true, false} {
		registry := prometheus.NewRegistry()
		if err := CollectState(registry, nearly{limits: LimitState{Buckets: 1, Evicted: 2, StoreUnavailable: away, StoreFailures: 3, LocalDecisions: 4}}); err != nil {
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
		if away {
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
