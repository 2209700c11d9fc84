package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"keyward/admin"
	"keyward/config"
)

// The listeners, as the configuration, the log and the metrics name them.
const (
	listenerGRPC    = "grpc"
	listenerHTTP    = "http"
	listenerAdmin   = "admin"
	listenerConsole = "console"
	listenerIssuer  = "issuer"
)

// listener is one open address and the handler behind it.
type listener struct {
	name string
	net.Listener
	serve    func(net.Listener) error
	shutdown func(context.Context) // lets calls in progress end, until the context is done
	ready    func(bool)            // is called when readiness changes
}

// open opens every address that the configuration names.
func (s *Server) open(cfg *config.Config) ([]*listener, error) {
	var all []*listener
	for _, each := range []struct {
		name, address string
		keys          config.KeyPair
		make          func(*tls.Config) *listener
		protocols     []string
	}{
		{listenerGRPC, cfg.Listen.GRPC, cfg.TLS.GRPC, s.grpcListener, []string{"h2"}},
		{listenerHTTP, cfg.Listen.HTTP, cfg.TLS.HTTP, s.httpListener, []string{"h2", "http/1.1"}},
		{listenerAdmin, cfg.Listen.Admin, cfg.TLS.Admin, s.adminListener, []string{"h2", "http/1.1"}},
		{listenerConsole, cfg.Listen.Console, cfg.TLS.Console, s.consoleListener, []string{"h2", "http/1.1"}},
		{listenerIssuer, cfg.Listen.Issuer, cfg.TLS.Issuer, s.issuerListener, []string{"h2", "http/1.1"}},
	} {
		if each.address == "" {
			continue
		}
		var security *tls.Config
		var err error
		if each.keys.Enabled() {
			if security, err = newTLS(each.keys, s.logger, time.Now, each.protocols...); err != nil {
				return nil, errors.Join(err, closeAll(all))
			}
		}
		l := each.make(security)
		l.name = each.name
		opened, err := listen(each.name, each.address)
		if err != nil {
			return nil, errors.Join(err, closeAll(all))
		}
		l.Listener = &boundedListener{Listener: opened, limit: connectionsOf(each.name), hosts: each.name == listenerConsole || each.name == listenerIssuer, rejected: s.rejections(each.name, admin.RejectedLimit, "connection closed")}
		all = append(all, l)
	}
	return all, nil
}

func closeAll(all []*listener) error {
	var errs []error
	for _, l := range all {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// Run serves until ctx is done or a listener fails. Then it drains: it reports that
// it is not ready, waits for DrainDelay, and lets calls in progress end. A value on
// reload makes the engine load the configuration and the files that it names again.
func (s *Server) Run(ctx context.Context, reload <-chan struct{}) error {
	failed := make(chan error, len(s.listeners))
	var serving sync.WaitGroup
	for _, l := range s.listeners {
		s.logger.Info("listening", "listener", l.name, "address", l.Addr().String())
		l.ready(false)
		serving.Go(func() {
			if err := l.serve(l.Listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	err := s.watch(ctx, reload, failed)
	s.drain(err == nil)
	serving.Wait()
	err = errors.Join(err, s.engine.Close())
	_ = s.closeLog() // lost lines are not a failure of the server, and there is no log left to report them in
	return err
}

// watch waits for what ends the server, and meanwhile announces readiness, has
// the engine reload, and tunes the garbage collector.
func (s *Server) watch(ctx context.Context, reload <-chan struct{}, failed <-chan error) error {
	const interval = 100 * time.Millisecond
	tick := time.NewTicker(interval)
	defer tick.Stop()
	ready := s.updateReadiness(false)
	gc := newGCTuner()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-reload:
			_ = s.engine.Reload() // it has logged and counted an error
		case <-tick.C:
			ready = s.updateReadiness(ready)
			if s.opts.TuneGC {
				gc.tune()
			}
		}
	}
}

// updateReadiness informs the listeners if readiness has changed, and returns it.
func (s *Server) updateReadiness(before bool) bool {
	err := s.Ready()
	if now := err == nil; now != before {
		for _, l := range s.listeners {
			l.ready(now)
		}
		if now {
			s.logger.Info("ready")
		} else {
			s.logger.Warn("not ready", "error", err)
		}
	}
	return err == nil
}

func (s *Server) drain(gently bool) {
	s.draining.Store(true)
	s.updateReadiness(true)
	if gently {
		time.Sleep(orDefault(s.opts.DrainDelay, time.Second))
	}
	ctx, cancel := context.WithTimeout(context.Background(), orDefault(s.opts.DrainTimeout, 5*time.Second))
	defer cancel()
	var stopping sync.WaitGroup
	for _, l := range s.listeners {
		stopping.Go(func() { l.shutdown(ctx) })
	}
	stopping.Wait()
	s.logger.Info("stopped")
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
