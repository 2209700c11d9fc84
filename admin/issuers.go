package admin

import "github.com/prometheus/client_golang/prometheus"

// IssuerMetrics counts the refreshes of issuers' key sets, and their ignored
// keys.
type IssuerMetrics struct {
	refreshes *prometheus.CounterVec
	ignored   *prometheus.GaugeVec
}

// NewIssuerMetrics registers the metrics.
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

// Of returns the counter for the key set of one issuer. Its series exist from
// then on.
func (m *IssuerMetrics) Of(issuer string) *RefreshCounter {
	return &RefreshCounter{ok: m.refreshes.WithLabelValues(issuer, "ok"), failed: m.refreshes.WithLabelValues(issuer, "error"),
		ignored: m.ignored.WithLabelValues(issuer)}
}

// RefreshCounter counts the refreshes of one issuer's key set.
type RefreshCounter struct {
	ok, failed prometheus.Counter
	ignored    prometheus.Gauge
}

// Ignored sets the number of ignored keys.
func (c *RefreshCounter) Ignored(keys int) { c.ignored.Set(float64(keys)) }

// Refreshed counts a refresh; err is nil if the new key set is in force.
func (c *RefreshCounter) Refreshed(err error) {
	if err == nil {
		c.ok.Inc()
	} else {
		c.failed.Inc()
	}
}
