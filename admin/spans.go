package admin

import "github.com/prometheus/client_golang/prometheus"

// SpanMetrics counts the spans of checks by what became of them.
type SpanMetrics struct{ sent, failed, dropped prometheus.Counter }

// NewSpanMetrics registers them.
func NewSpanMetrics(registry prometheus.Registerer) (*SpanMetrics, error) {
	spans := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_spans_total", Help: "Spans of checks: exported, failed, or dropped because the queue was full.",
	}, []string{"result"})
	return &SpanMetrics{spans.WithLabelValues("sent"), spans.WithLabelValues("failed"), spans.WithLabelValues("dropped")}, registry.Register(spans)
}

// Sent counts spans that the collector has.
func (m *SpanMetrics) Sent(spans int) { m.sent.Add(float64(spans)) }

// Failed counts spans that it did not take.
func (m *SpanMetrics) Failed(spans int) { m.failed.Add(float64(spans)) }

// Dropped counts spans that there was no room for.
func (m *SpanMetrics) Dropped(spans int) { m.dropped.Add(float64(spans)) }
