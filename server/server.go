// Package server puts an engine behind listeners: it opens sockets, bounds what
// clients may make it keep, announces whether it is ready, and drains. It decides
// nothing. What belongs to the process is here too: the log's output, what
// libraries log, and the garbage collector's setting.
package server

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"keyward/admin"
	"keyward/config"
	"keyward/engine"
	"keyward/extauthz"
	"keyward/verifier/password"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Options are what a Server needs beside its configuration.
type Options struct {
	// Load returns the configuration as its file has it now. New and each reload call it.
	Load func() (*config.Config, error)
	// ConfigFile is the file that is polled for changes; "" is none.
	ConfigFile string
	// Logger logs everything; nil is a logger on standard output, as the configuration
	// wants it.
	Logger *slog.Logger
	// Version is shown in build_info.
	Version string
	// LibraryLogs directs what libraries log to the server's log instead of standard
	// error. It is for a process that is a server and nothing else.
	LibraryLogs bool
	// TuneGC makes the server set the garbage collector's percentage by the live
	// heap. It is for a process that is a server and nothing else.
	TuneGC bool
	// TuneProcs makes a server with a console or an issuer raise GOMAXPROCS to two. It is
	// for a process that is a server and nothing else.
	TuneProcs bool
	// HashCommand runs password.Serve, so that passwords are hashed in separate
	// processes. The zero value hashes in this process, and checks wait meanwhile.
	HashCommand password.Command
	// DrainDelay is how long the server goes on answering after it has reported that
	// it is not ready, so that proxies stop choosing it. 0 is one second.
	DrainDelay time.Duration
	// DrainTimeout is the maximum wait for calls in progress. 0 is five seconds.
	DrainTimeout time.Duration
}

// Server is a running Keyward.
type Server struct {
	opts     Options
	logger   *slog.Logger
	log      *asyncWriter // nil if the caller gave a logger
	level    slog.LevelVar
	registry *prometheus.Registry
	clients  *admin.ListenerMetrics
	requests *admin.RequestMetrics

	engine   *engine.Engine
	handler  func() *extauthz.Handler // in force
	draining atomic.Bool

	listeners []*listener
}

// New starts an engine and opens the listeners; they serve once Run is called. A
// key file that cannot be read is not an error: the server is then not ready.
func New(opts Options) (*Server, error) {
	s := &Server{opts: opts, logger: opts.Logger, registry: prometheus.NewRegistry()}
	source := engine.NewSource(opts.ConfigFile, opts.Load)
	cfg, err := source.Load()
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
	if err := s.start(cfg, source); err != nil {
		return nil, errors.Join(cfg.HideEnv(err), s.closeLog())
	}
	return s, nil
}

// start starts what serves by the configuration.
func (s *Server) start(cfg *config.Config, source *engine.Source) error {
	if s.opts.TuneProcs {
		tuneProcs(cfg)
	}
	var err error
	s.engine, err = engine.Start(engine.Options{
		Config: cfg, Source: source, AcceptReload: acceptReload, Logger: s.logger, LogLevel: &s.level,
		Registerer: s.registry, Version: s.opts.Version, HashCommand: s.opts.HashCommand,
	})
	if err != nil {
		return err
	}
	s.handler = func() *extauthz.Handler { return s.engine.Current().Handler() }
	if err := s.registerMetrics(); err != nil {
		return errors.Join(fmt.Errorf("metrics: %w", err), s.engine.Close())
	}
	if s.listeners, err = s.open(cfg); err != nil {
		return errors.Join(err, s.engine.Close())
	}
	for _, warning := range cfg.Warnings {
		s.logger.Warn("configuration", "warning", warning.String())
	}
	return nil
}

// acceptReload refuses what listeners and the log cannot change while they run.
func acceptReload(current, fresh *config.Config) error {
	if fresh.Listen != current.Listen || fresh.TLS != current.TLS || fresh.Log.Format != current.Log.Format {
		return errors.New("listen, tls and log.format change only by a restart")
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

// registerMetrics registers the metrics that the engine does not.
func (s *Server) registerMetrics() error {
	if err := s.registerListenerMetrics(); err != nil {
		return err
	}
	if err := admin.CollectLog(s.registry, s.droppedLines); err != nil {
		return err
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "keyward_build_info", Help: "1, with the version.",
		ConstLabels: prometheus.Labels{"version": s.opts.Version, "goversion": runtime.Version()},
	})
	build.Set(1)
	for _, c := range []prometheus.Collector{
		build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := s.registry.Register(c); err != nil {
			return err
		}
	}
	return admin.CollectState(s.registry, scrapedState{s.engine, s})
}

func (s *Server) registerListenerMetrics() (err error) {
	s.clients, err = admin.NewListenerMetrics(s.registry, listenerGRPC, listenerHTTP, listenerAdmin, listenerConsole, listenerIssuer)
	if err == nil {
		s.requests, err = admin.NewRequestMetrics(s.registry)
	}
	return err
}

// scrapedState is the engine's, and whether the server is ready.
type scrapedState struct {
	*engine.Engine
	server *Server
}

// Ready implements admin.State.
func (s scrapedState) Ready() error { return s.server.Ready() }

// Handler returns what transports answer with, by the configuration in force. It
// returns nil once Run ends, for whatever reason: nothing follows the files any more,
// and a revoked key would be accepted forever.
func (s *Server) Handler() *extauthz.Handler {
	if s.draining.Load() {
		return nil
	}
	return s.handler()
}

// Ready returns why requests cannot be judged, or should not be sent here any
// more; nil is ready.
func (s *Server) Ready() error {
	if s.draining.Load() {
		return errors.New("shutting down")
	}
	return s.engine.Ready()
}
