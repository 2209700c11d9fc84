package extauthz

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"keyward/authz"
)

// The paths of the HTTP listener. Which one is asked says who asks, and with it
// which headers tell what was asked about: a client's own can never be read.
const (
	nginxPath   = "/authz/nginx"
	forwardPath = "/authz/forward"
	envoyPath   = "/authz/envoy"
	denialPath  = "/authz/denial"
	verifyPath  = "/v1/auth/verify"
)

// HTTP answers proxies that ask over HTTP, and callers about themselves.
type HTTP struct {
	handler func() *Handler
	calls   sync.Pool // of *authz.Request
}

// NewHTTP returns what answers on the HTTP listener. The function returns the
// handler in force; while it returns nil everything is 503.
func NewHTTP(handler func() *Handler) *HTTP {
	return &HTTP{handler: handler, calls: sync.Pool{New: func() any { return new(authz.Request) }}}
}

// ServeHTTP implements http.Handler. It looks at the request target as it came:
// http.ServeMux would clean the path that Envoy asks about, and redirect.
func (h *HTTP) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	handler := h.handler()
	if handler == nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	r := h.calls.Get().(*authz.Request)
	defer func() {
		r.Reset()
		h.calls.Put(r)
	}()
	path, _, _ := strings.Cut(hr.RequestURI, "?")
	as := askerAt(path)
	switch {
	case as != nil:
		handler.ask(w, hr, r, as)
	case path == denialPath:
		handler.sayAgain(w, hr, r)
	case path == verifyPath:
		handler.verify(w, hr, r)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// fill takes over what every kind of asker tells in the same way, and returns
// whether the peer is one whose word counts.
func (h *Handler) fill(r *authz.Request, hr *http.Request) (trusted bool) {
	r.Method, r.Scheme, r.Host, r.Target = hr.Method, "http", hr.Host, hr.RequestURI
	if hr.TLS != nil {
		r.Scheme = "https"
	}
	r.Peer, trusted = h.Trusted.peer(hr.RemoteAddr)
	for name, values := range hr.Header {
		lower := lowerName(name)
		if !trusted && isProxysWord(lower) {
			continue
		}
		for _, value := range values {
			r.Headers = append(r.Headers, authz.Header{Name: lower, Value: value})
		}
	}
	preferEnvoysWord(r)
	if trusted {
		seenByProxy(r)
	}
	return trusted
}

// isProxysWord tells of headers by which a proxy tells of its client.
func isProxysWord(name string) bool {
	return name == "x-forwarded-for" || name == "x-forwarded-proto" || name == "x-request-id"
}

// lowerName is the name in lower case. Of those that come with nearly every request no copy is made.
func lowerName(name string) string {
	switch name {
	case "Authorization":
		return "authorization"
	case "Cookie":
		return "cookie"
	case "X-Api-Key":
		return "x-api-key"
	case "Accept":
		return "accept"
	case "Accept-Encoding":
		return "accept-encoding"
	case "Accept-Language":
		return "accept-language"
	case "User-Agent":
		return "user-agent"
	case "Content-Type":
		return "content-type"
	case "X-Original-Uri":
		return "x-original-uri"
	case "X-Original-Method":
		return "x-original-method"
	case "X-Forwarded-For":
		return "x-forwarded-for"
	case "X-Forwarded-Proto":
		return "x-forwarded-proto"
	case "X-Forwarded-Host":
		return "x-forwarded-host"
	case "X-Forwarded-Uri":
		return "x-forwarded-uri"
	case "X-Forwarded-Method":
		return "x-forwarded-method"
	case "X-Request-Id":
		return "x-request-id"
	default:
		return authz.LowerASCII(name)
	}
}

// seenByProxy makes the proxy's peer the request's: here the proxy itself is
// ours, and over gRPC Envoy tells its own. It is what the proxy put at the end of
// X-Forwarded-For, address or not: ours is that of all its clients. The header
// stays as it is, as Envoy sends it over gRPC, so that trusted hops are counted
// from the same end there and here.
func seenByProxy(r *authz.Request) {
	if last, found := r.ForwardedFor(1); found {
		r.Peer = string(last)
	}
}

// TrustedProxies are whose word counts about a client; none of them is
// loopback addresses and unix sockets.
type TrustedProxies []netip.Prefix

// peer is the address in what net/http names a peer by, without the port, and
// whether it is one of them. A unix socket's peer has no address: whoever may
// open the socket was let in by the file system.
func (t TrustedProxies) peer(remote string) (host string, trusted bool) {
	if strings.IndexByte(remote, ':') < 0 {
		return "", true
	}
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return "", false
	}
	host = strings.Trim(remote[:strings.LastIndexByte(remote, ':')], "[]")
	ip := address.Addr().Unmap()
	if len(t) == 0 {
		return host, ip.IsLoopback()
	}
	for _, network := range t {
		if network.Contains(ip) {
			return host, true
		}
	}
	return host, false
}
