package admin

import "github.com/prometheus/client_golang/prometheus"

// IssuerMetrics counts the readings of issuers' keys, and the keys that are left out.
type IssuerMetrics struct {
	refreshes *prometheus.CounterVec
	ignored   *prometheus.GaugeVec
}

// NewIssuerMetrics registers them.
func NewIssuerMetrics(registry prometheus.Registerer) (*IssuerMetrics, error) {
	m := &IssuerMetrics{
		refreshes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyward_jwks_refreshes_total", Help: "Refreshes of an issuer's keys, by result.",
		}, []string{"issuer", "result"}),
		ignored: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "keyward_jwks_keys_ignored", Help: "Keys of an issuer's current key set that are unusable and ignored.",
		}, []string{"issuer"}),
	}
	return m, registerAll(registry, m.refreshes, m.ignored)
}

// Of returns the counter of one issuer's key set readings. Its series exist from
// then on.
func (m *IssuerMetrics) Of(issuer string) *RefreshCounter {
	return &RefreshCounter{ok: m.refreshes.WithLabelValues(issuer, "ok"), failed: m.refreshes.WithLabelValues(issuer, "error"),
		ignored: m.ignored.WithLabelValues(issuer)}
}

// RefreshCounter counts the readings of one issuer's keys.
type RefreshCounter struct {
	ok, failed prometheus.Counter
	ignored    prometheus.Gauge
}

// Ignored sets how many keys are left out.
func (c *RefreshCounter) Ignored(keys int) { c.ignored.Set(float64(keys)) }

// Refreshed counts one; err is nil where what was read is in force.
func (c *RefreshCounter) Refreshed(err error) {
	if err == nil {
		c.ok.Inc()
	} else {
		c.failed.Inc()
	}
}
