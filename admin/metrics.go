package admin

import (
	"keyward/authz"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts decisions. It implements authz.Observer. Every series exists
// from the start, so that a rate over a rare reason is not blind to its first occurrence.
type Metrics struct {
	decisions [authz.TransportCount][reasonSlots]prometheus.Counter
	durations *Durations
}

const reasonSlots = 256 // of authz.Reason, a uint8

// NewMetrics registers the decision metrics.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_decisions_total", Help: "Requests judged, by transport, decision and reason.",
	}, []string{"transport", "decision", "reason"})
	if err := registry.Register(decisions); err != nil {
		return nil, err
	}
	durations, err := NewDurations(registry, "keyward_check_duration_seconds", "Time the core took to judge a request, without the transport.")
	if err != nil {
		return nil, err
	}
	m := &Metrics{durations: durations}
	for transport := range authz.TransportCount {
		for _, reason := range authz.Reasons() {
			d := authz.Decision{Reason: reason}
			m.decisions[transport][reason] = decisions.WithLabelValues(transport.String(), d.Outcome(), reason.String())
		}
	}
	return m, nil
}

// Observe implements authz.Observer.
func (m *Metrics) Observe(r *authz.Request, d *authz.Decision) {
	m.decisions[r.Transport][d.Reason].Inc()
	m.durations.Observe(r.Transport, d.Took)
}
