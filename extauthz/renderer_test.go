package extauthz

import (
	"slices"
	"testing"
	"time"

	"keyward/authz"
)

// TestAllow checks that an Allow has everything that the decision has for a
// proxy.
func TestAllow(t *testing.T) {
	d := &authz.Decision{
		Reason: authz.OK, ID: "4711", Set: []authz.Header{{Name: "x-auth-subject", Value: "ann"}}, Remove: []string{"authorization"},
		RemoveQuery: []string{"api_key"}, Principal: &authz.Principal{KeyID: "k1"},
		Quota: authz.Quota{Name: "key", Rate: authz.Rate{Count: 5, Period: time.Second}, Limit: 5, Remaining: 4},
	}
	n := Renderer{Overrides: NewOverrides([]string{"x-http-method-override"})}
	allow := n.Allow(d)
	if !slices.Equal(allow.Set, d.Set) || !slices.Equal(allow.Remove, d.Remove) || !slices.Equal(allow.RemoveQuery, d.RemoveQuery) ||
		!slices.Equal(allow.Overrides.Names(), []string{"x-http-method-override"}) || allow.ResponseHeaders != nil {
		t.Errorf("%+v", allow)
	}
	if allocations := testing.AllocsPerRun(100, func() { allow = n.Allow(d) }); allocations > 0 {
		t.Errorf("%v allocations", allocations)
	}
	n.QuotaOnAllow = true
	if allow = n.Allow(d); len(allow.ResponseHeaders) == 0 {
		t.Error("the quota headers for the client are missing")
	}
	want := []authz.Header{{Name: "reason", Value: "ok"}, {Name: "key_id", Value: "k1"}, {Name: "decision_id", Value: "4711"}}
	if got := AppendMetadata(nil, d); !slices.Equal(got, want) {
		t.Errorf("metadata %v, want %v", got, want)
	}
}
