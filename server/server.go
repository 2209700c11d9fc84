// Package server is what runs: it builds the parts from a configuration,
// swaps them whole when that changes, watches, serves and drains. It decides nothing.
package server

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"keyward/admin"
	"keyward/authz"
	"keyward/config"
	"keyward/extauthz"
	"keyward/store/journal"
	"keyward/verifier/password"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Options are what a Server needs beside its configuration.
type Options struct {
	// Load returns the configuration as its file says now. Called at New and on each reload.
	Load func() (*config.Config, error)
	// ConfigFile is the file that is looked at for changes; "" is none.
	ConfigFile string
	// Logger is where everything is logged; nil makes one as the configuration says, on standard output.
	Logger *slog.Logger
	// Version is shown in build_info.
	Version string
	// LibraryLogs has what libraries log, which is standard error's otherwise, go
	// to the server's log. For a process that is a server and nothing else.
	LibraryLogs bool
	// TuneGC has the server set the garbage collector's percentage by what it
	// holds. For a process that is a server and nothing else.
	TuneGC bool
	// HashCommand runs password.Serve, for passwords to be hashed in processes
	// of their own. With none this process does it, and checks wait meanwhile.
	HashCommand password.Command
	// DrainDelay is how long the server answers on after it has said that it
	// is going, so that no proxy picks it meanwhile. 0 is one second.
	DrainDelay time.Duration
	// DrainTimeout bounds the wait for calls under way. 0 is five seconds.
	DrainTimeout time.Duration
}

// Server is a running Keyward.
type Server struct {
	opts     Options
	logger   *slog.Logger
	log      *logBuffer // nil where the caller gave a logger
	level    slog.LevelVar
	seen     fileState // of the configuration file, before it was last loaded
	registry *prometheus.Registry
	metrics  *admin.Metrics
	outside  surroundings
	reloads  *prometheus.CounterVec
	clients  *admin.ListenerMetrics

	core     atomic.Pointer[Core]
	draining atomic.Bool
	counted  keyCounter

	listeners []*listener
}

// New builds the server and opens its listeners; it serves once Run is
// called. A key file that is no good is no error: the server is then not ready.
func New(opts Options) (*Server, error) {
	s := &Server{opts: opts, logger: opts.Logger, registry: prometheus.NewRegistry(), seen: stateOf(opts.ConfigFile)}
	cfg, err := opts.Load()
	if err != nil {
		return nil, err
	}
	s.level.Set(cfg.Log.Level)
	if s.logger == nil {
		s.log = newLogs(cfg.Log.Format)
		s.logger = newLogger(s.log, cfg.Log.Format, &s.level)
	}
	if opts.LibraryLogs {
		adoptLibraryLogs(s.logger)
	}
	if err := s.build(cfg); err != nil {
		return nil, errors.Join(cfg.HideEnv(err), s.closeLog())
	}
	return s, nil
}

// build makes what serves by the configuration.
func (s *Server) build(cfg *config.Config) error {
	s.outside.hashCommand, s.outside.version, s.outside.counts = s.opts.HashCommand, s.opts.Version, true
	if err := s.registerMetrics(); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	parts, err := openParts(cfg, parts{}, s.outside, s.logger)
	if err != nil {
		return err
	}
	core, err := buildCore(cfg, parts, nil, s.ears(cfg, parts))
	if err != nil {
		return errors.Join(err, parts.close())
	}
	s.core.Store(core)
	if s.listeners, err = s.open(cfg); err != nil {
		return errors.Join(err, core.Close())
	}
	for _, warning := range cfg.Warnings {
		s.logger.Warn("configuration", "warning", warning.String())
	}
	return nil
}

func (s *Server) closeLog() error {
	if s.log == nil {
		return nil
	}
	return s.log.Close()
}

// droppedLines is how many lines the log has dropped.
func (s *Server) droppedLines() int64 {
	if s.log == nil {
		return 0
	}
	return s.log.Dropped()
}

func (s *Server) registerMetrics() error {
	var err error
	if s.metrics, err = admin.NewMetrics(s.registry); err != nil {
		return err
	}
	if err := s.registerFileMetrics(); err != nil {
		return err
	}
	if s.outside.issuers, err = admin.NewIssuerMetrics(s.registry); err != nil {
		return err
	}
	if s.outside.spans, err = admin.NewSpanMetrics(s.registry); err != nil {
		return err
	}
	if s.clients, err = admin.NewListenerMetrics(s.registry, listenerGRPC, listenerHTTP, listenerAdmin); err != nil {
		return err
	}
	if err := admin.CollectLog(s.registry, s.droppedLines); err != nil {
		return err
	}
	s.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyward_config_reloads_total", Help: "Reloads of the configuration.",
	}, []string{"result"})
	s.reloads.WithLabelValues("ok")
	s.reloads.WithLabelValues("error")
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "keyward_build_info", Help: "1, with the version.",
		ConstLabels: prometheus.Labels{"version": s.opts.Version, "goversion": runtime.Version()},
	})
	build.Set(1)
	for _, c := range []prometheus.Collector{
		s.reloads, build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := s.registry.Register(c); err != nil {
			return err
		}
	}
	return admin.CollectState(s.registry, s)
}

// PasswordHashes implements admin.State.
func (s *Server) PasswordHashes() int {
	if hashing := s.core.Load().parts.hashing; hashing != nil {
		return hashing.InFlight()
	}
	return 0
}

// Signatures implements admin.State.
func (s *Server) Signatures() admin.SignatureState {
	stats := s.core.Load().parts.gate.Stats()
	return admin.SignatureState{InFlight: stats.InFlight, Refused: stats.Refused}
}

// registerFileMetrics makes those of the files that are followed. Revocations
// of keys and of tokens are measured alike.
func (s *Server) registerFileMetrics() error {
	lag, err := admin.NewRevocationLag(s.registry)
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name string
		to   *journal.Observer
	}{{"key_file", &s.outside.keys}, {"users_file", &s.outside.users}, {"revocations_file", &s.outside.revocations}} {
		if *file.to, err = admin.NewFileMetrics(s.registry, file.name, lag); err != nil {
			return err
		}
	}
	return nil
}

// ears are who is told of decisions and limits.
func (s *Server) ears(cfg *config.Config, parts parts) ears {
	return ears{s.observers(cfg, parts), s.metrics.Shadowed}
}

// observers are told of each decision.
func (s *Server) observers(cfg *config.Config, parts parts) []authz.Observer {
	observers := []authz.Observer{s.metrics, parts.usage}
	if cfg.Log.Decisions != config.LogNone {
		observers = append(observers, &authz.DecisionLog{
			Logger:  s.logger,
			Allowed: cfg.Log.Decisions == config.LogAll, Denials: authz.LineLimit{PerSecond: cfg.Log.DenialsPerSecond},
		})
	}
	if parts.tracing != nil {
		observers = append(observers, parts.tracing)
	}
	return observers
}

// Ready tells why requests can't be judged, or should not be sent here any more; nil is ready.
func (s *Server) Ready() error {
	if s.draining.Load() {
		return errors.New("shutting down")
	}
	return s.core.Load().Ready()
}

// transportCore is what a transport asks; one load for checker and challenge alike.
func (s *Server) transportCore() *extauthz.Handler { return &s.core.Load().extauthz }

// Caches implements admin.State.
func (s *Server) Caches() []admin.CacheState { return s.core.Load().cacheStates() }

// Keys implements admin.State.
func (s *Server) Keys() admin.KeyCounts { return s.counted.of(s.core.Load().parts.stores, time.Now()) }

// keyCounter counts the keys at most every ten seconds, since it walks them all.
type keyCounter struct {
	mu    sync.Mutex
	at    time.Time
	last  admin.KeyCounts
	store *stores
}

func (k *keyCounter) of(s *stores, now time.Time) admin.KeyCounts {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s != k.store || now.Sub(k.at) >= 10*time.Second {
		k.last, k.at, k.store = s.counts(now), now, s
	}
	return k.last
}

// reload reads the configuration again and puts it in force, or leaves all as
// it is and says why. Listeners can't move while they serve.
func (s *Server) reload() (err error) {
	defer func() {
		if err != nil {
			s.reloads.WithLabelValues("error").Inc()
			s.logger.Error("configuration not reloaded; the last good one stays", "error", err)
		} else {
			s.reloads.WithLabelValues("ok").Inc()
			s.logger.Info("configuration reloaded")
		}
	}()
	s.seen = stateOf(s.opts.ConfigFile)
	cfg, err := s.opts.Load()
	if err != nil {
		return err
	}
	return cfg.HideEnv(s.replace(s.core.Load(), cfg))
}

// replace puts a Core of the configuration in the old one's place.
func (s *Server) replace(old *Core, cfg *config.Config) error {
	if cfg.Listen != old.cfg.Listen || cfg.TLS != old.cfg.TLS || cfg.Log.Format != old.cfg.Log.Format {
		return errors.New("listen, tls and log.format change only by a restart")
	}
	parts, err := openParts(cfg, old.parts, s.outside, s.logger)
	if err != nil {
		return err
	}
	// A reload never makes a server less ready.
	if err := parts.ready(); err != nil && old.Ready() == nil {
		return errors.Join(err, parts.closeBut(old.parts))
	}
	fresh, err := buildCore(cfg, parts, old, s.ears(cfg, parts))
	if err != nil {
		return errors.Join(err, parts.closeBut(old.parts))
	}
	s.core.Store(fresh)
	s.level.Set(cfg.Log.Level)
	err = errors.Join(old.parts.closeBut(parts), old.forgetBut(fresh))
	s.outside.leave(storeConfigOf(cfg))
	return err
}
