package admin

import "github.com/prometheus/client_golang/prometheus"

// SpanMetrics counts the spans of checks by outcome.
type SpanMetrics struct{ sent, failed, dropped prometheus.Counter }

// NewSpanMetrics registers the metrics.
func NewSpanMetrics(registry prometheus.Registerer) (*SpanMetrics, error) {
	spans := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_spans_total", Help: "Spans of checks: exported, failed, or dropped because the queue was full.",
	}, []string{"result"})
	return &SpanMetrics{spans.WithLabelValues("sent"), spans.WithLabelValues("failed"), spans.WithLabelValues("dropped")}, registry.Register(spans)
}

// Sent counts spans that the collector accepted.
func (m *SpanMetrics) Sent(spans int) { m.sent.Add(float64(spans)) }

// Failed counts spans that the collector did not accept.
func (m *SpanMetrics) Failed(spans int) { m.failed.Add(float64(spans)) }

// Dropped counts spans that did not fit into the queue.
func (m *SpanMetrics) Dropped(spans int) { m.dropped.Add(float64(spans)) }
