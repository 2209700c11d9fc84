package admin

import (
	"testing"

	"keyward/authz"

	"github.com/prometheus/client_golang/prometheus"
)

// TestUnknownReason: it counts as a fault of ours, and nothing panics where nobody would catch it.
func TestUnknownReason(t *testing.T) {
	m, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	m.Observe(&authz.Request{}, &authz.Decision{Reason: authz.Reason(250)})
	if m.decisions[authz.TransportGRPC][250] != m.decisions[authz.TransportGRPC][authz.Internal] {
		t.Error("a reason that is none has a series of its own")
	}
}
