package admin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// FileMetrics counts the events of following a file. It has the methods of
// journal.Observer.
type FileMetrics struct {
	ok, failed  prometheus.Counter
	badLines    prometheus.Counter
	rollbacks   prometheus.Counter
	lastSuccess prometheus.Gauge
	lag         prometheus.Observer
}

// NewFileMetrics registers the metrics of one file, named keyward_NAME_…. The
// files share lag, the histogram of revocations.
func NewFileMetrics(registry prometheus.Registerer, name string, lag prometheus.Observer) (*FileMetrics, error) {
	reloads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_" + name + "_reloads_total", Help: "Full reads of the file, by result.",
	}, []string{"result"})
	badLines := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "keyward_" + name + "_bad_lines_total", Help: "Lines that did not parse and were skipped.",
	})
	rollbacks := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "keyward_" + name + "_rollbacks_total", Help: "Loaded replacements of the file that lack a revocation or other change that was in force.",
	})
	lastSuccess := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "keyward_" + name + "_last_success_timestamp_seconds", Help: "Unix time at which the file was last known to be loaded.",
	})
	if err := registerAll(registry, reloads, badLines, rollbacks, lastSuccess); err != nil {
		return nil, err
	}
	return &FileMetrics{
		ok: reloads.WithLabelValues("ok"), failed: reloads.WithLabelValues("error"),
		badLines: badLines, rollbacks: rollbacks, lastSuccess: lastSuccess, lag: lag,
	}, nil
}

// NewRevocationLag registers the histogram of the time from writing a
// revocation until it is in force in this process.
func NewRevocationLag(registry prometheus.Registerer) (prometheus.Observer, error) {
	lag := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "keyward_revocation_lag_seconds",
		Help:    "Time from writing a revocation until it is in force.",
		Buckets: []float64{1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1, 5, 30, 120},
	})
	return lag, registry.Register(lag)
}

// Reloaded counts a full read of the file.
func (m *FileMetrics) Reloaded(err error) {
	if err == nil {
		m.ok.Inc()
	} else {
		m.failed.Inc()
	}
}

// BadLine counts a complete line that did not parse.
func (m *FileMetrics) BadLine() { m.badLines.Inc() }

// RolledBack counts a replacement that reverted what was in force.
func (m *FileMetrics) RolledBack() { m.rollbacks.Inc() }

// Succeeded records when the file was last found valid; the zero Time means
// that it is no longer followed.
func (m *FileMetrics) Succeeded(at time.Time) {
	if at.IsZero() {
		m.lastSuccess.Set(0)
		return
	}
	m.lastSuccess.Set(float64(at.UnixNano()) / 1e9)
}

// Revoked records how long a revocation took to be in force.
func (m *FileMetrics) Revoked(lag time.Duration) {
	m.lag.Observe(max(lag, 0).Seconds())
}

func registerAll(registry prometheus.Registerer, collectors ...prometheus.Collector) error {
	for _, c := range collectors {
		if err := registry.Register(c); err != nil {
			return err
		}
	}
	return nil
}
