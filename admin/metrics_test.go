package admin

import (
	"testing"

	"keyward/authz"

	"github.com/prometheus/client_golang/prometheus"
)

// TestUnknownReason: an unknown reason counts as internal, and does not panic.
func TestUnknownReason(t *testing.T) {
	m, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	m.Observe(&authz.Request{}, &authz.Decision{Reason: authz.Reason(250)})
	if m.decisions[authz.TransportGRPC][250] != m.decisions[authz.TransportGRPC][authz.Internal] {
		t.Error("an unknown reason has a series of its own")
	}
}
