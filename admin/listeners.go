package admin

import "github.com/prometheus/client_golang/prometheus"

// Causes for closing a connection or ending its calls.
const (
	RejectedLimit  = "limit"  // the listener has its maximum of connections
	RejectedMemory = "memory" // the connection held most of the memory of incomplete messages
)

// ListenerMetrics counts failed TLS handshakes and rejected connections.
type ListenerMetrics struct{ handshakes, rejected *prometheus.CounterVec }

// NewListenerMetrics registers the metrics, with all series of the named
// listeners.
func NewListenerMetrics(registry prometheus.Registerer, listeners ...string) (*ListenerMetrics, error) {
	m := &ListenerMetrics{
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyward_tls_handshake_failures_total", Help: "TLS handshakes that failed.",
		}, []string{"listener"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyward_connections_rejected_total", Help: "Connections closed at the connection limit (limit), or whose largest calls were ended to bound memory (memory).",
		}, []string{"listener", "cause"}),
	}
	for _, listener := range listeners {
		m.handshakes.WithLabelValues(listener)
		m.rejected.WithLabelValues(listener, RejectedLimit)
		m.rejected.WithLabelValues(listener, RejectedMemory)
	}
	return m, registerAll(registry, m.handshakes, m.rejected)
}

// HandshakeFailed counts a TLS handshake that failed.
func (m *ListenerMetrics) HandshakeFailed(listener string) {
	m.handshakes.WithLabelValues(listener).Inc()
}

// Rejected counts a connection that was closed, or whose calls were ended, for
// the cause.
func (m *ListenerMetrics) Rejected(listener, cause string) {
	m.rejected.WithLabelValues(listener, cause).Inc()
}

// CollectLog registers the count of dropped log lines.
func CollectLog(registry prometheus.Registerer, dropped func() int64) error {
	return registry.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "keyward_log_dropped_lines_total", Help: "Log lines dropped because the output did not accept them.",
	}, func() float64 { return float64(dropped()) }))
}
