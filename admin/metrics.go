package admin

import (
	"keyward/authz"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts decisions. It implements authz.Observer. Every series exists
// from the start, so that a rate over a rare reason includes its first
// occurrence.
type Metrics struct {
	decisions [authz.TransportCount][reasonSlots]prometheus.Counter
	durations *Durations
	limited   [authz.AuthMethodCount]prometheus.Counter
	shadowed  *prometheus.CounterVec
}

const reasonSlots = 256 // number of values of authz.Reason, a uint8

// NewMetrics registers the decision metrics.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_decisions_total", Help: "Decisions, by transport, decision and reason.",
	}, []string{"transport", "decision", "reason"})
	if err := registry.Register(decisions); err != nil {
		return nil, err
	}
	durations, err := NewDurations(registry, "keyward_check_duration_seconds", "Time the core took to judge a request, without the transport.")
	if err != nil {
		return nil, err
	}
	limited := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_rate_limited_total", Help: "Requests denied by a rate limit, by how they were authenticated.",
	}, []string{"method"})
	m := &Metrics{durations: durations, shadowed: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_rate_limit_shadowed_total", Help: "Requests that a shadow limit would have denied.",
	}, []string{"limit"})}
	if err := registerAll(registry, limited, m.shadowed); err != nil {
		return nil, err
	}
	m.limited[authz.AuthMethodNone] = limited.WithLabelValues("none") // an address with too many failed attempts
	for _, kind := range authz.AuthMethods() {
		m.limited[kind.Method] = limited.WithLabelValues(kind.Name)
		m.shadowed.WithLabelValues(kind.Name)
	}
	for _, limit := range [...]string{"route", "failed"} { // limits other than a kind's that can be shadow limits
		m.shadowed.WithLabelValues(limit)
	}
	for transport := range authz.TransportCount {
		for slot := range m.decisions[transport] { // an unknown reason counts as internal
			reason := authz.Reason(slot)
			d := authz.Decision{Reason: reason}
			m.decisions[transport][reason] = decisions.WithLabelValues(transport.String(), d.Outcome(), reason.String())
		}
	}
	return m, nil
}

// Observe implements authz.Observer.
func (m *Metrics) Observe(r *authz.Request, d *authz.Decision) {
	m.decisions[r.Transport][d.Reason].Inc()
	m.durations.Observe(r.Transport, d.Duration)
	if d.Reason == authz.RateLimited {
		method := authz.AuthMethodNone
		if d.Principal != nil {
			method = d.Principal.AuthMethod
		}
		m.limited[method].Inc()
	}
}

// Shadowed counts a request that a shadow limit of that name would have denied.
func (m *Metrics) Shadowed(limit string) { m.shadowed.WithLabelValues(limit).Inc() }
