package server

import (
	"crypto/tls"
	"log"
	"log/slog"
	"net"
	"strings"

	"keyward/admin"
	"keyward/decisionlog"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// handshakes returns a function to call for each TLS handshake that fails. It
// counts all of them and logs one per second: a port scanner or the health check of
// a load balancer makes many.
func (s *Server) handshakes(listener string) func(what string) {
	log := s.oncePerSecond(listener)
	return func(what string) {
		s.clients.HandshakeFailed(listener)
		log.Warn("TLS handshake failed", "error", what)
	}
}

// rejections returns a function to call for each connection that is rejected for
// the cause. It counts all of them and logs one per second, with done as the
// message.
func (s *Server) rejections(listener, cause, done string) func(conn net.Conn, why string) {
	log := s.oncePerSecond(listener)
	return func(conn net.Conn, why string) {
		s.clients.Rejected(listener, cause)
		log.Warn(done, "client", conn.RemoteAddr().String(), "error", why)
	}
}

func (s *Server) oncePerSecond(listener string) *slog.Logger {
	return slog.New(limitedHandler{s.logger.Handler(), &decisionlog.LineLimit{PerSecond: 1}}).With("listener", listener)
}

// errorLog returns the logger of an http.Server.
func (s *Server) errorLog(listener string) *log.Logger {
	handshakeFailed := s.handshakes(listener)
	other := limited(s.logger, "net/http", libraryLines).With("listener", listener)
	return stdLogger(func(text string) {
		if what, ok := strings.CutPrefix(text, "http: TLS handshake error from "); ok {
			handshakeFailed(what)
			return
		}
		other.Warn(text)
	})
}

// grpcCredentials returns TLS, or no security. A connection passes here before its
// first frame, so this is where its messages begin to be metered.
func (s *Server) grpcCredentials(security *tls.Config) credentials.TransportCredentials {
	inner := insecure.NewCredentials()
	if security != nil {
		inner = credentials.NewTLS(security)
	}
	rejected := s.rejections(listenerGRPC, admin.RejectedMemory, "calls of a connection ended")
	budget := &unfinishedBudget{limit: maxUnfinished, rejected: func(conn net.Conn) {
		rejected(conn, "it held more memory than others for incomplete messages")
	}}
	return watchedCredentials{inner, s.handshakes(listenerGRPC), budget}
}

type watchedCredentials struct {
	credentials.TransportCredentials
	failed func(what string)
	budget *unfinishedBudget
}

// ServerHandshake implements credentials.TransportCredentials.
func (c watchedCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		c.failed(raw.RemoteAddr().String() + ": " + err.Error())
		return nil, nil, err
	}
	return c.budget.meter(conn, raw), info, nil
}

// Clone implements credentials.TransportCredentials.
func (c watchedCredentials) Clone() credentials.TransportCredentials {
	return watchedCredentials{c.TransportCredentials.Clone(), c.failed, c.budget}
}
