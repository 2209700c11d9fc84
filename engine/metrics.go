package engine

import (
	"keyward/admin"
	"keyward/engine/issuer"
	"keyward/engine/reminder"
	"keyward/store/audit"
	"keyward/store/journal"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what an engine counts. The zero value counts nothing.
type metrics struct {
	decisions                         *admin.Metrics
	keys, users, revocations, clients journal.Observer // of the following of each file
	issuers                           *admin.IssuerMetrics
	spans                             *admin.SpanMetrics
	reminders                         *admin.ReminderMetrics
	changes                           *admin.ChangeMetrics
	tokens                            *issuer.Metrics
	reloads                           *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) (m metrics, err error) {
	if m.decisions, err = admin.NewMetrics(registry); err != nil {
		return m, err
	}
	if err = m.registerFiles(registry); err != nil {
		return m, err
	}
	if m.issuers, err = admin.NewIssuerMetrics(registry); err != nil {
		return m, err
	}
	if m.spans, err = admin.NewSpanMetrics(registry); err != nil {
		return m, err
	}
	if m.reminders, err = admin.NewReminderMetrics(registry, reminder.Days[:]); err != nil {
		return m, err
	}
	if m.changes, err = admin.NewChangeMetrics(registry, countedActions()); err != nil {
		return m, err
	}
	if m.tokens, err = issuer.NewMetrics(registry); err != nil {
		return m, err
	}
	m.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_config_reloads_total", Help: "Reloads of the configuration.",
	}, []string{"result"})
	m.reloads.WithLabelValues("ok")
	m.reloads.WithLabelValues("error")
	return m, registry.Register(m.reloads)
}

// countedActions are the actions that are counted as changes.
func countedActions() (actions []string) {
	for _, action := range audit.Actions() {
		if action.Changes() {
			actions = append(actions, string(action))
		}
	}
	return actions
}

// countChange counts a change.
func (m *metrics) countChange(action audit.Action) {
	if m.changes != nil {
		m.changes.Changed(string(action))
	}
}

// registerFiles makes the metrics of the files that are followed. Revocations of
// keys and of tokens are measured alike.
func (m *metrics) registerFiles(registry prometheus.Registerer) error {
	lag, err := admin.NewRevocationLag(registry)
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name string
		to   *journal.Observer
	}{{"key_file", &m.keys}, {"users_file", &m.users}, {"revocations_file", &m.revocations}, {"clients_file", &m.clients}} {
		if *file.to, err = admin.NewFileMetrics(registry, file.name, lag); err != nil {
			return err
		}
	}
	return nil
}

// countReload counts a reload by how it went.
func (m *metrics) countReload(err error) {
	switch {
	case m.reloads == nil:
	case err != nil:
		m.reloads.WithLabelValues("error").Inc()
	default:
		m.reloads.WithLabelValues("ok").Inc()
	}
}

// registrations is a Registerer that remembers what it registered. The zero value
// has nothing to undo.
type registrations struct {
	prometheus.Registerer
	made []prometheus.Collector
}

// Register implements prometheus.Registerer.
func (r *registrations) Register(c prometheus.Collector) error {
	if err := r.Registerer.Register(c); err != nil {
		return err
	}
	r.made = append(r.made, c)
	return nil
}

// undo takes back what was registered, so that another engine can be started with
// the same registry.
func (r *registrations) undo() {
	for _, c := range r.made {
		r.Unregister(c)
	}
	r.made = nil
}
