package admin

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// ReminderMetrics counts the reminders that keys expire soon.
type ReminderMetrics struct{ byDays *prometheus.CounterVec }

// NewReminderMetrics registers the metric, with a series for each number of days.
func NewReminderMetrics(registry prometheus.Registerer, days []int) (*ReminderMetrics, error) {
	m := &ReminderMetrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_key_expiry_reminders_total", Help: "Keys that came within so many days of their expiry.",
	}, []string{"days"})}
	for _, n := range days {
		m.byDays.WithLabelValues(strconv.Itoa(n))
	}
	return m, registry.Register(m.byDays)
}

// Reminded counts a key that expires within so many days.
func (m *ReminderMetrics) Reminded(days int) { m.byDays.WithLabelValues(strconv.Itoa(days)).Inc() }
