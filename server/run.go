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
	"keyward/extauthz"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
)

// listener is one open address and what answers there.
type listener struct {
	name string
	net.Listener
	serve    func(net.Listener) error
	shutdown func(context.Context) // lets what is under way end, until the context does
	ready    func(bool)            // told when readiness changes
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
		{"grpc", cfg.Listen.GRPC, cfg.TLS.GRPC, s.grpcListener, []string{"h2"}},
		{"http", cfg.Listen.HTTP, cfg.TLS.HTTP, s.httpListener, []string{"h2", "http/1.1"}},
		{"admin", cfg.Listen.Admin, cfg.TLS.Admin, s.adminListener, []string{"h2", "http/1.1"}},
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
		if l.Listener, err = listen(each.name, each.address); err != nil {
			return nil, errors.Join(err, closeAll(all))
		}
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

// grpcListener answers Envoy.
func (s *Server) grpcListener(security *tls.Config) *listener {
	options := []grpc.ServerOption{
		extauthz.ServerCodec(),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			// Ends connections so that load spreads over new replicas.
			MaxConnectionAge: 30 * time.Minute, MaxConnectionAgeGrace: 10 * time.Second,
			Time: time.Minute, Timeout: 10 * time.Second,
		}),
		// Lets Envoy's own pings pass.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.MaxConcurrentStreams(4096),
		// Goroutines that stay, with stacks that have grown; a new one a call
		// spends a sixth of the processor time on growing its own. They take turns,
		// and so all of their stacks are in use: with 256 these are too many for a
		// processor's cache, which costs a tenth.
		grpc.NumStreamWorkers(128),
		grpc.MaxRecvMsgSize(extauthz.MaxReadable),
		// Windows of a fixed size: else gRPC measures the connection with a ping for
		// many a request, to find one for messages that are long.
		grpc.InitialWindowSize(1 << 20), grpc.InitialConnWindowSize(1 << 20),
	}
	if security != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(security)))
	}
	server := grpc.NewServer(options...)
	extauthz.NewGRPC(s.transportCore).Register(server)
	states := health.NewServer()
	healthpb.RegisterHealthServer(server, states)
	return &listener{
		serve: server.Serve,
		shutdown: func(ctx context.Context) {
			stop := context.AfterFunc(ctx, server.Stop)
			defer stop()
			server.GracefulStop()
		},
		ready: func(ready bool) {
			state := healthpb.HealthCheckResponse_NOT_SERVING
			if ready {
				state = healthpb.HealthCheckResponse_SERVING
			}
			states.SetServingStatus("", state)
			states.SetServingStatus(extauthz.ServiceName, state)
		},
	}
}

// httpListener answers proxies that ask over HTTP, and callers about their own credentials.
func (s *Server) httpListener(security *tls.Config) *listener {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return listenerOf(&http.Server{
		Handler:   extauthz.NewHTTP(s.transportCore),
		Protocols: protocols,
		TLSConfig: security,
		// Of the header and of a body, which nobody here wants. Each time-out more
		// would be a timer set for each check, and an answer fits into the socket's buffer.
		ReadTimeout:    5 * time.Second,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
	})
}

// adminListener answers Prometheus and the kubelet.
func (s *Server) adminListener(security *tls.Config) *listener {
	return listenerOf(&http.Server{
		Handler:           admin.Handler(s.registry, s.Ready, admin.Keys{Usage: s.usageOf, Limit: s.limitOf, Reset: s.resetLimit}),
		TLSConfig:         security,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	})
}

func listenerOf(server *http.Server) *listener {
	return &listener{
		serve: func(l net.Listener) error {
			if server.TLSConfig != nil {
				l = tls.NewListener(l, server.TLSConfig)
			}
			return server.Serve(l)
		},
		shutdown: func(ctx context.Context) {
			if server.Shutdown(ctx) != nil {
				_ = server.Close()
			}
		},
		ready: func(bool) {},
	}
}

// Run serves until ctx ends or a listener fails, then drains: it says that
// it is going, waits a little, and lets calls under way end. A value on
// reload has the configuration, and the files it names, read again.
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
	return errors.Join(err, s.core.Load().Close(), s.closeLog())
}

// watch waits for what ends the server and does meanwhile what happens now and then.
func (s *Server) watch(ctx context.Context, reload <-chan struct{}, failed <-chan error) error {
	const often = 100 * time.Millisecond
	tick := time.NewTicker(often)
	defer tick.Stop()
	ready := s.announce(false)
	config := newSettling(s.opts.ConfigFile)
	gc := newCollector()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-reload:
			_ = s.reload() // it has logged and counted an error
			// Asked for by hand, the keys are read anew as well; a changed
			// configuration alone is no reason to read a million of them.
			s.core.Load().parts.reload()
		case <-tick.C:
			ready = s.announce(ready)
			if s.opts.TuneGC {
				gc.tune()
			}
			if n%5 == 0 {
				s.core.Load().parts.look()
				if config.changedFrom(s.seen) {
					_ = s.reload()
				}
			}
		}
	}
}

// announce tells the listeners when readiness has changed, and returns it.
func (s *Server) announce(before bool) bool {
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
	s.announce(true)
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
