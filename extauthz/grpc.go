// Package extauthz is what proxies talk to: it reads a request off the wire, has
// an authz.Checker decide, and renders the decision for the proxy. It knows
// nothing of credentials, keys or rules.
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

// Handler is what a transport answers requests with: who decides, and how the
// decision is rendered. Both come from one configuration and are swapped together.
type Handler struct {
	Checker  *authz.Checker
	Renderer Renderer
	Trusted  TrustedProxies // on the HTTP listener
	// CredentialHeaders are the headers, in lower case, that can contain a
	// credential.
	CredentialHeaders []string
	// Traced has requests carry the trace context of the proxy's call.
	Traced bool
}

// GRPC answers envoy.service.auth.v3.Authorization/Check.
type GRPC struct {
	handler func() *Handler
	calls   sync.Pool // of *call
}

// ServiceName is the gRPC service's full name, in health checks too.
const ServiceName = "envoy.service.auth.v3.Authorization"

// NewGRPC returns the service. The function returns the handler in force; a nil
// handler denies everything with UNAVAILABLE, which Envoy makes 503.
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

// check answers one call: the codec reads the request into the call, and
// writes the answer out of it once check has returned.
func (g *GRPC) check(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (answer any, err error) {
	handler := g.handler()
	if handler == nil {
		return nil, status.Error(codes.Unavailable, "not ready")
	}
	defer func() {
		if recover() != nil { // the checker has a recover of its own; this one is for the wire format
			answer, err = nil, status.Error(codes.Internal, "internal error")
		}
	}()
	c := g.calls.Get().(*call)
	c.request.Transport = authz.TransportGRPC
	if handler.Traced {
		c.request.TraceParent = callersTraceParent(ctx)
	}
	var d *authz.Decision
	if err = decode(c); err == nil {
		err = c.unread
	}
	if err != nil {
		d = handler.Checker.Refuse(&c.request, reasonUnread(err), err)
	} else {
		preferEnvoysWord(&c.request)
		d = handler.Checker.Check(ctx, &c.request)
	}
	c.answer = handler.Renderer.appendCheckResponse(c.answer[:0], &c.request, d)
	return c, nil // whatever err says, the decision says it
}

// reasonUnread is the reason of a call whose message could not be read.
func reasonUnread(err error) authz.Reason {
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

// preferEnvoysWord takes scheme and request id from the headers that Envoy
// overwrites. The fields of the message are no better than the client: over
// HTTP/2 without TLS it may send ":scheme: https".
func preferEnvoysWord(r *authz.Request) {
	if proto, lines := r.Header("x-forwarded-proto"); lines > 0 {
		r.Scheme = proto
	}
	if id, lines := r.Header("x-request-id"); lines > 0 {
		r.RequestID = id
	}
}
