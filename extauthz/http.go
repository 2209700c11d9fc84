package extauthz

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"keyward/authz"
	"keyward/chars"
)

// The paths of the HTTP listener. The path identifies the kind of proxy, and so
// the headers that describe the client's request: those that a client sets are
// never read.
const (
	nginxPath   = "/authz/nginx"
	forwardPath = "/authz/forward"
	envoyPath   = "/authz/envoy"
	denialPath  = "/authz/denial"
	// VerifyPath is where callers inspect their own credential.
	VerifyPath = "/v1/auth/verify"
)

// HTTP answers checks over HTTP, callers that inspect their own credential, and
// clients that look for the metadata of a protected resource.
type HTTP struct {
	handler func() *Handler
	calls   sync.Pool // of *authz.Request
}

// NewHTTP returns the handler of the HTTP listener. The function returns the
// current Handler; while it returns nil, every response is 503.
func NewHTTP(handler func() *Handler) *HTTP {
	return &HTTP{handler: handler, calls: sync.Pool{New: func() any { return new(authz.Request) }}}
}

// ServeHTTP implements http.Handler. It uses the request target as it was sent:
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
	p := profileAt(path)
	switch {
	case p != nil:
		handler.serveCheck(w, hr, r, p)
	case path == denialPath:
		handler.replayDenial(w, hr, r)
	case path == VerifyPath:
		handler.verify(w, hr, r)
	default:
		handler.serveMetadata(w, hr, path)
	}
}

// fill takes the attributes that all requests have in common, and reports
// whether the peer is a trusted proxy.
func (h *Handler) fill(r *authz.Request, hr *http.Request) (trusted bool) {
	r.Method, r.Scheme, r.Host, r.Target = hr.Method, "http", hr.Host, hr.RequestURI
	if hr.TLS != nil {
		r.Scheme = "https"
	}
	r.Peer, trusted = h.Trusted.peer(hr.RemoteAddr)
	for name, values := range hr.Header {
		lower := lowerName(name)
		if !trusted && isForwardingHeader(lower) {
			continue
		}
		for _, value := range values {
			r.Headers = append(r.Headers, authz.Header{Name: lower, Value: value})
		}
	}
	applyForwardedHeaders(r)
	if trusted {
		setPeerFromForwardedFor(r)
	}
	return trusted
}

// isForwardingHeader reports whether proxies describe their client in a header.
func isForwardingHeader(name string) bool {
	return name == "x-forwarded-for" || name == "x-forwarded-proto" || name == "x-request-id"
}

// lowerName returns the name in lower case, without a copy for the most
// frequent names.
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
		return chars.LowerASCII(name)
	}
}

// setPeerFromForwardedFor sets r.Peer to the last entry of X-Forwarded-For, the
// peer as the proxy sees it. The proxy itself is the TCP peer here, and with
// several clients behind it that address is useless, so the entry is taken
// even if it is not an address. The header is left unchanged, as Envoy sends it
// over gRPC, so that trusted hops count the same way over both transports.
func setPeerFromForwardedFor(r *authz.Request) {
	if last, found := r.ForwardedFor(1); found {
		r.Peer = string(last)
	}
}

// TrustedProxies are the peers whose headers about their client are trusted.
// Empty means loopback addresses and unix sockets.
type TrustedProxies []netip.Prefix

// peer returns the address, without the port, in a peer's name as net/http has
// it, and reports whether the peer is trusted. The peer of a unix socket has no
// address and is trusted: the file system controls access to the socket.
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
