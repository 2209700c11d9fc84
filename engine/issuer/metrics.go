package issuer

import (
	"sync/atomic"

	"keyward/store/oauth"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what the issuers of a process count, one after the other. A nil *Metrics
// counts nothing.
type Metrics struct {
	issued *prometheus.CounterVec
	reused prometheus.Counter
	keys   atomic.Pointer[Keys] // nil: there is no issuer
}

// grantLogin counts tokens of a login by name and password; the others are those of OAuth.
const grantLogin = "login"

// NewMetrics registers the metrics, with a series for each grant.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		issued: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyward_tokens_issued_total", Help: "Access tokens that the issuer has signed, by grant.",
		}, []string{"grant"}),
		reused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "keyward_refresh_reuse_total", Help: "Refresh tokens that were used again, which ended their grant.",
		}),
	}
	m.issued.WithLabelValues(grantLogin)
	for _, grant := range oauth.Grants() {
		m.issued.WithLabelValues(string(grant))
	}
	age := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "keyward_signing_key_age_seconds", Help: "Age of the key with which the issuer signs; 0 without one.",
	}, m.age)
	for _, c := range []prometheus.Collector{m.issued, m.reused, age} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// age is that of the signing key in seconds.
func (m *Metrics) age() float64 {
	if keys := m.keys.Load(); keys != nil {
		return keys.age().Seconds()
	}
	return 0
}

// follow has the metrics be those of the keys; nil for no issuer.
func (m *Metrics) follow(keys *Keys) {
	if m != nil {
		m.keys.Store(keys)
	}
}

// countIssued counts an access token.
func (m *Metrics) countIssued(grant string) {
	if m != nil {
		m.issued.WithLabelValues(grant).Inc()
	}
}

// countReuse counts a refresh token that was used again.
func (m *Metrics) countReuse() {
	if m != nil {
		m.reused.Inc()
	}
}
