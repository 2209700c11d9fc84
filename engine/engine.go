// Package engine makes a running authz.Checker of a configuration: it builds the
// components, reloads them, follows the files that they come from, and has
// metrics, log, usage and traces observe each decision. It opens no socket that
// clients connect to, handles no signal and changes nothing of the process, so a
// test or another program can run one.
package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"keyward/authz"
	"keyward/config"
	"keyward/engine/central"
	"keyward/engine/reminder"
	"keyward/keyindex"
	"keyward/manage/denials"
	"keyward/verifier/admission"
	"keyward/verifier/password"

	"github.com/prometheus/client_golang/prometheus"
)

// Options are what an Engine is started with.
type Options struct {
	// Config is the first configuration.
	Config *config.Config
	// Source is where a reload takes the configuration from. nil: there is only
	// the first one.
	Source *Source
	// AcceptReload returns why a reload to the fresh configuration is refused, for
	// what only a restart can change. nil accepts every reload.
	AcceptReload func(current, fresh *config.Config) error
	// Logger is where everything is logged; nil discards it.
	Logger *slog.Logger
	// LogLevel is set to the configuration's log.level at the start and at each
	// reload; nil is not set.
	LogLevel *slog.LevelVar
	// Registerer is where metrics are registered; nil is a registry of the engine's own.
	Registerer prometheus.Registerer
	// Observers get each decision after the engine's own observers.
	Observers []authz.Observer
	// DenialObserver returns an observer that gets each denial, and no allow. It is
	// called for each configuration that is put in force, with the time of that.
	// nil: there is none.
	DenialObserver func(configured time.Time) authz.Observer
	// Version is what traces name.
	Version string
	// HashCommand runs password.Serve, for passwords to be hashed in processes of
	// their own. The zero value hashes in this process, and checks wait meanwhile.
	HashCommand password.Command
	// DryRun is for verdicts alone: no decision is observed, not even by
	// Options.Observers, no metric is registered, and no request is counted
	// against a limit. Usage, KeyUsage, Limits and KeyLimit must not be called then.
	DryRun bool
}

// pollInterval is how often files are polled for changes.
const pollInterval = 500 * time.Millisecond

// Engine is a running Checker and what keeps it current.
type Engine struct {
	opts       Options
	env        environment
	registered registrations
	current    atomic.Pointer[Snapshot]
	keyCounts  keyCounter

	mu     sync.Mutex // of reloads, polls and Close
	closed bool
	stop   chan struct{}
	done   sync.WaitGroup
}

// Start builds an Engine and starts to follow its files. A key file that cannot
// be read is not an error: the engine is then not ready.
func Start(opts Options) (*Engine, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{opts: opts, stop: make(chan struct{}), env: environment{
		logger: opts.Logger, version: opts.Version, hashCommand: opts.HashCommand, gate: admission.New(admission.Config{}),
		observers: opts.Observers, denialObserver: opts.DenialObserver, dryRun: opts.DryRun,
	}}
	if opts.Config.Listen.Managing() && e.env.denialObserver == nil {
		e.env.denials = denials.New(denials.Config{})
		e.env.denialObserver = e.env.denials.Observer
	}
	if !opts.DryRun {
		e.registered.Registerer = opts.Registerer
		if opts.Registerer == nil {
			e.registered.Registerer = prometheus.NewRegistry()
		}
		var err error
		if e.env.metrics, err = newMetrics(&e.registered); err != nil {
			e.registered.undo()
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	first, err := e.env.build(opts.Config, nil)
	if err != nil {
		e.registered.undo()
		return nil, opts.Config.HideEnv(err)
	}
	e.put(first)
	e.done.Go(e.watch)
	if !opts.DryRun {
		r := reminder.New(reminder.Config{Log: opts.Logger, Reminded: e.env.metrics.reminders.Reminded, Stop: e.stop})
		e.done.Go(func() {
			r.Run(func() (*keyindex.Keys, time.Duration) {
				s := e.Current()
				return s.stores.keys.records, s.cfg.Keys.MaxAge
			})
		})
	}
	return e, nil
}

// Current returns the Snapshot that is in force. A caller that needs several
// things of it calls Current once per request.
func (e *Engine) Current() *Snapshot { return e.current.Load() }

// Ready returns why some requests cannot be checked now; nil if all can.
func (e *Engine) Ready() error { return e.Current().Ready() }

// Close stops the engine, waits for what it started, and takes its metrics out of
// the registry. No check may run during or after it.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	e.mu.Unlock()
	close(e.stop)
	e.done.Wait()
	e.registered.undo()
	return e.Current().generation.Release(nil)
}

// Reload loads the configuration and all files that it names again. If that
// fails, what is in force stays, and the error is logged and counted.
func (e *Engine) Reload() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errors.New("the engine is closed")
	}
	err := e.reloadConfig()
	// A call reads the keys again too. A changed configuration alone does not: there
	// may be a million of them.
	e.Current().reloadFiles()
	return err
}

// watch polls what no Follower follows, until Close.
func (e *Engine) watch() {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-e.stop:
			return
		case <-tick.C:
			e.poll()
		}
	}
}

func (e *Engine) poll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.Current().pollFiles()
	if e.opts.Source != nil && e.opts.Source.changed() {
		_ = e.reloadConfig() // it has logged and counted an error
	}
}

// reloadConfig loads the configuration again and puts it in force, or leaves all
// as it is and returns why.
func (e *Engine) reloadConfig() error {
	if e.opts.Source == nil {
		return nil
	}
	err := e.replace()
	e.env.metrics.countReload(err)
	if err != nil {
		e.env.logger.Error("configuration not reloaded; the last good one stays", "error", err)
	} else {
		e.env.logger.Info("configuration reloaded")
	}
	return err
}

// replace puts a Snapshot of the loaded configuration in the current one's place.
func (e *Engine) replace() error {
	fresh, err := e.opts.Source.Load()
	if err != nil {
		return err
	}
	old := e.Current()
	if e.opts.AcceptReload != nil {
		if err := e.opts.AcceptReload(old.cfg, fresh); err != nil {
			return fresh.HideEnv(err)
		}
	}
	next, err := e.env.build(fresh, old)
	if err != nil {
		return fresh.HideEnv(err)
	}
	e.put(next)
	if err := old.generation.Release(&next.generation); err != nil {
		e.env.logger.Error("what the configuration before used is not closed", "error", fresh.HideEnv(err))
	}
	e.env.metrics.clearUnused(fresh)
	return nil
}

// put puts the Snapshot in force. Before that, its store has changed nothing of the
// records, which it may share with the Snapshot before.
func (e *Engine) put(s *Snapshot) {
	var before *central.Store
	if old := e.current.Load(); old != nil {
		before = old.central
	}
	if before != s.central {
		if before != nil {
			before.Yield()
		}
		if s.central != nil {
			s.central.Enforce()
		}
	}
	e.current.Store(s)
	if e.opts.LogLevel != nil {
		e.opts.LogLevel.Set(s.cfg.Log.Level)
	}
}
