package admin

import "github.com/prometheus/client_golang/prometheus"

// IssuerMetrics counts the readings of issuers' keys.
type IssuerMetrics struct{ refreshes *prometheus.CounterVec }

// NewIssuerMetrics registers them.
func NewIssuerMetrics(registry prometheus.Registerer) (*IssuerMetrics, error) {
	m := &IssuerMetrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_jwks_refreshes_total", Help: "Readings of an issuer's keys, by the issuer's name in the configuration.",
	}, []string{"issuer", "result"})}
	return m, registry.Register(m.refreshes)
}

// Of returns what is to be told of the readings of one issuer's keys. Both
// series exist from then on.
func (m *IssuerMetrics) Of(issuer string) *RefreshCounter {
	return &RefreshCounter{ok: m.refreshes.WithLabelValues(issuer, "ok"), failed: m.refreshes.WithLabelValues(issuer, "error")}
}

// RefreshCounter counts the readings of one issuer's keys.
type RefreshCounter struct{ ok, failed prometheus.Counter }

// Refreshed counts one; err is nil where what was read is in force.
func (c *RefreshCounter) Refreshed(err error) {
	if err == nil {
		c.ok.Inc()
	} else {
		c.failed.Inc()
	}
}
