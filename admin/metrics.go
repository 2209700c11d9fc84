package admin

import (
	"time"

	"keyward/authz"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts decisions. It implements authz.Observer. Every series exists
// from the start, so that a rate over a rare reason is not blind to its first occurrence.
type Metrics struct {
	decisions map[authz.Transport]*[reasonSlots]prometheus.Counter
	duration  map[authz.Transport]prometheus.Observer
}

const reasonSlots = 256 // of authz.Reason, a uint8

// NewMetrics registers the decision metrics for the transports that are in use.
func NewMetrics(registry prometheus.Registerer, transports ...authz.Transport) (*Metrics, error) {
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_decisions_total", Help: "Requests judged, by transport, decision and reason.",
	}, []string{"transport", "decision", "reason"})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "keyward_check_duration_seconds",
		Help:    "Time the core took to judge a request, without the transport.",
		Buckets: []float64{10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3},

		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{"transport"})
	if err := registerAll(registry, decisions, duration); err != nil {
		return nil, err
	}
	m := &Metrics{
		decisions: map[authz.Transport]*[reasonSlots]prometheus.Counter{},
		duration:  map[authz.Transport]prometheus.Observer{},
	}
	for _, transport := range transports {
		counters := &[reasonSlots]prometheus.Counter{}
		for _, reason := range authz.Reasons() {
			d := authz.Decision{Reason: reason}
			counters[reason] = decisions.WithLabelValues(string(transport), d.Outcome(), reason.String())
		}
		m.decisions[transport] = counters
		m.duration[transport] = duration.WithLabelValues(string(transport))
	}
	return m, nil
}

// Observe implements authz.Observer.
func (m *Metrics) Observe(r *authz.Request, d *authz.Decision, took time.Duration) {
	counters := m.decisions[r.Transport]
	if counters == nil || counters[d.Reason] == nil {
		return
	}
	counters[d.Reason].Inc()
	m.duration[r.Transport].Observe(took.Seconds())
}
