package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"keyward/admin"
	"keyward/extauthz"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
)

// How long a client may take. Each timeout is far longer than a proxy needs.
const (
	handshakeTimeout  = 5 * time.Second  // for TLS, HTTP/2's preface, and the header of a request
	callTimeout       = 10 * time.Second // for a call: to send its message over gRPC, to read the answer over HTTP
	idleTimeout       = 5 * time.Minute  // for a connection without a call
	connectionAge     = 30 * time.Minute // ends connections so that load spreads over new replicas
	connectionGrace   = 10 * time.Second
	adminWriteTimeout = 2 * time.Minute // a profile takes as long as its request says
)

// maxStreams bounds the calls of one connection. Envoy opens another for more.
const maxStreams = 1024

// grpcListener answers Envoy.
func (s *Server) grpcListener(security *tls.Config) *listener {
	server := grpc.NewServer(append(s.grpcLimits(security),
		extauthz.ServerCodec(),
		// Workers keep their grown stacks. A new goroutine per call spends a sixth of
		// the processor time on growing its stack. The workers take turns, so all of
		// their stacks are in use: those of 256 workers exceed a processor's cache,
		// which costs a tenth.
		grpc.NumStreamWorkers(128),
		// Windows of a fixed size: otherwise gRPC measures the connection by many
		// pings, to find a window for long messages.
		grpc.InitialWindowSize(1<<20), grpc.InitialConnWindowSize(1<<20),
	)...)
	extauthz.NewGRPC(s.handler).Register(server)
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

// grpcLimits bound what a client of the gRPC listener makes the server keep, and
// for how long.
func (s *Server) grpcLimits(security *tls.Config) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(s.grpcCredentials(security)),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: idleTimeout,
			MaxConnectionAge:  connectionAge, MaxConnectionAgeGrace: connectionGrace,
			Time: time.Minute, Timeout: 10 * time.Second,
		}),
		// Lets Envoy's own pings pass.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(32 << 10),
		grpc.MaxRecvMsgSize(extauthz.MaxReadable),
	}
}

// httpListener answers proxies that ask over HTTP, and clients that ask about their
// own credentials.
func (s *Server) httpListener(security *tls.Config) *listener {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return listenerOf(&http.Server{
		Handler:   limitStream(extauthz.NewHTTP(s.handler), callTimeout),
		Protocols: protocols,
		TLSConfig: security,
		ErrorLog:  s.errorLog(listenerHTTP),
		// Covers the TLS handshake, the header, and a body, which is not read. Any
		// further timeout would set a timer for each check, and an answer fits into the
		// socket's buffer.
		ReadTimeout:    handshakeTimeout,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
	})
}

// adminListener answers Prometheus and the kubelet.
func (s *Server) adminListener(security *tls.Config) *listener {
	answer := admin.Handler(s.registry, s.Ready, admin.Keys{Usage: s.engine.KeyUsage, Limit: s.engine.KeyLimit})
	return listenerOf(&http.Server{
		Handler:           limitStream(answer, adminWriteTimeout),
		TLSConfig:         security,
		ErrorLog:          s.errorLog(listenerAdmin),
		ReadHeaderTimeout: handshakeTimeout,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	})
}

// limitStream bounds how long an answer over HTTP/2 waits for a client that does
// not open its window. Over HTTP/1 the kernel does that, see userTimeout.
func limitStream(h http.Handler, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(timeout)) // HTTP/2 supports it
		}
		h.ServeHTTP(w, r)
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
