package server

import (
	"crypto/tls"
	"log"
	"log/slog"
	"net"
	"strings"

	"keyward/admin"
	"keyward/authz"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// handshakes returns what is to be called for each TLS handshake that fails. All
// are counted, and one a second is logged: a port scanner or a health check of a
// load balancer makes many.
func (s *Server) handshakes(listener string) func(what string) {
	log := s.onceASecond(listener)
	return func(what string) {
		s.clients.HandshakeFailed(listener)
		log.Warn("TLS handshake failed", "error", what)
	}
}

// rejections returns what is to be called for each connection that something is
// done to for the cause. All are counted, and one a second is logged.
func (s *Server) rejections(listener, cause, done string) func(conn net.Conn, why string) {
	log := s.onceASecond(listener)
	return func(conn net.Conn, why string) {
		s.clients.Rejected(listener, cause)
		log.Warn(done, "client", conn.RemoteAddr().String(), "error", why)
	}
}

func (s *Server) onceASecond(listener string) *slog.Logger {
	return slog.New(limitedHandler{s.logger.Handler(), &authz.LineLimit{PerSecond: 1}}).With("listener", listener)
}

// errorLog is what an http.Server logs to.
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

// grpcCredentials are TLS, or none. They are where a connection passes before
// its first frame, and so where the listener's bounds are put on it.
func (s *Server) grpcCredentials(security *tls.Config) credentials.TransportCredentials {
	inner := insecure.NewCredentials()
	if security != nil {
		inner = credentials.NewTLS(security)
	}
	rejected := s.rejections(listenerGRPC, admin.RejectedMemory, "calls of a connection ended")
	budget := &unfinishedBudget{most: maxUnfinished, rejected: func(conn net.Conn) {
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
