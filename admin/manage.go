package admin

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// RequestMetrics counts the requests to the management API and for pages of the console.
type RequestMetrics struct{ requests *prometheus.CounterVec }

// otherRoute is the route of a request that has none.
const otherRoute = "other"

// NewRequestMetrics registers the metric. A route has its series from its first request on.
func NewRequestMetrics(registry prometheus.Registerer) (*RequestMetrics, error) {
	m := &RequestMetrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_manage_requests_total", Help: "Requests to the management API and for pages of the console by route and class of status.",
	}, []string{"route", "code"})}
	for status := 200; status < 600; status += 100 {
		m.requests.WithLabelValues(otherRoute, classOf(status))
	}
	return m, registry.Register(m.requests)
}

// Count counts a request to a route, which is one of a closed set, or "".
func (m *RequestMetrics) Count(route string, status int) {
	if route == "" {
		route = otherRoute
	}
	m.requests.WithLabelValues(route, classOf(status)).Inc()
}

func classOf(status int) string { return strconv.Itoa(status/100) + "xx" }

// ChangeMetrics counts the changes of records that this process makes.
type ChangeMetrics struct{ changes *prometheus.CounterVec }

// NewChangeMetrics registers the metric, with a series for each action.
func NewChangeMetrics(registry prometheus.Registerer, actions []string) (*ChangeMetrics, error) {
	m := &ChangeMetrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_manage_changes_total", Help: "Records that were changed through the management API, by action.",
	}, []string{"action"})}
	for _, action := range actions {
		m.changes.WithLabelValues(action)
	}
	return m, registry.Register(m.changes)
}

// Changed counts a record that was changed.
func (m *ChangeMetrics) Changed(action string) { m.changes.WithLabelValues(action).Inc() }
