// Package extauthz answers proxies: it reads a request off the wire, has an
// authz.Checker decide, and renders the decision for the proxy. It knows
// nothing about credentials, keys or rules.
package extauthz

import (
	"context"
	"errors"
	"sync"

	"keyward/authz"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Handler has what a transport needs to answer a request: the checker that
// decides and the renderer of the decision. Both come from one configuration
// and are replaced together.
type Handler struct {
	Checker  *authz.Checker
	Renderer Renderer
	Trusted  TrustedProxies // peers of the HTTP listener
	// CredentialHeaders are the headers, in lower case, that can contain a
	// credential.
	CredentialHeaders []string
	// Metadata has the documents about protected resources (RFC 9728 section
	// 3.2), as JSON, by path. nil: there are none.
	Metadata map[string][]byte
	// Traced means that requests carry the trace context of the proxy's call.
	Traced bool
}

// GRPC serves envoy.service.auth.v3.Authorization/Check.
type GRPC struct {
	handler func() *Handler
	calls   sync.Pool // of *call
}

// ServiceName is the full name of the gRPC service, also in health checks.
const ServiceName = "envoy.service.auth.v3.Authorization"

// NewGRPC returns the service. The function returns the current handler. While
// it returns nil, every call fails with UNAVAILABLE, which Envoy turns into
// 503.
func NewGRPC(handler func() *Handler) *GRPC {
	g := &GRPC{handler: handler}
	g.calls.New = func() any { return newCall(&g.calls) }
	return g
}

// Register adds the service to a server that was made with ServerCodec.
func (g *GRPC) Register(s grpc.ServiceRegistrar) {
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: ServiceName,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Check", Handler: g.check}},
		Metadata:    "envoy/service/auth/v3/external_auth.proto",
	}, g)
}

// check answers one call. The codec reads the request into the call, and writes
// the response from it after check has returned.
func (g *GRPC) check(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (response any, err error) {
	handler := g.handler()
	if handler == nil {
		return nil, status.Error(codes.Unavailable, "not ready")
	}
	defer func() {
		if recover() != nil { // the checker recovers from its own panics; this is for the wire format
			response, err = nil, status.Error(codes.Internal, "internal error")
		}
	}()
	c := g.calls.Get().(*call)
	c.request.Transport = authz.TransportGRPC
	if handler.Traced {
		c.request.TraceParent = callTraceParent(ctx)
	}
	var d *authz.Decision
	if err = decode(c); err == nil {
		err = c.readErr
	}
	if err != nil {
		d = handler.Checker.Refuse(&c.request, readErrorReason(err), err)
	} else {
		applyForwardedHeaders(&c.request)
		d = handler.Checker.Check(ctx, &c.request)
	}
	c.response = handler.Renderer.appendCheckResponse(c.response[:0], &c.request, d)
	return c, nil // the decision covers err
}

// readErrorReason returns the reason for denying a call whose message could not
// be read.
func readErrorReason(err error) authz.Reason {
	_, known := errors.AsType[tooLarge](err)
	switch code := status.Code(err); {
	case known, code == codes.ResourceExhausted: // longer than MaxReadable
		return authz.RequestTooLarge
	case code == codes.DeadlineExceeded, code == codes.Canceled: // the message was not complete in time
		return authz.Overloaded
	default:
		return authz.Internal
	}
}

// applyForwardedHeaders takes the scheme and the request id from the headers
// that Envoy overwrites. The fields of the message are under the client's
// control: over HTTP/2 without TLS it may send ":scheme: https".
func applyForwardedHeaders(r *authz.Request) {
	if proto, lines := r.Header("x-forwarded-proto"); lines > 0 {
		r.Scheme = proto
	}
	if id, lines := r.Header("x-request-id"); lines > 0 {
		r.RequestID = id
	}
}
