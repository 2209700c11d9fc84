package extauthz

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"keyward/authz"
)

// VerifyPath is where a caller asks what its own credential is worth.
const VerifyPath = "/v1/auth/verify"

// NewHTTP returns what answers on the HTTP listener. The function returns the
// core in force; while it returns nil everything is 503.
func NewHTTP(core func() *Core) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+VerifyPath, func(w http.ResponseWriter, r *http.Request) {
		if c := core(); c != nil {
			c.verify(w, r)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	return mux
}

// verify answers a caller about its own credential.
func (c *Core) verify(w http.ResponseWriter, hr *http.Request) {
	r := c.request(hr)
	r.Transport = authz.TransportVerify
	ctx, cancel := context.WithTimeout(hr.Context(), verifyTimeout)
	defer cancel()
	d := c.Checker.Authenticate(ctx, r)
	if !d.Allowed() {
		c.Denials.of(r, &d).write(w)
		return
	}
	var expires *string
	if end := d.Principal.ExpiresAt; !end.IsZero() {
		text := end.UTC().Format(time.RFC3339)
		expires = &text
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(encode(struct {
		Authenticated bool     `json:"authenticated"`
		UserID        string   `json:"user_id"`
		Scopes        []string `json:"scopes"`
		ExpiresAt     *string  `json:"expires_at"`
	}{true, d.Principal.Subject(), append([]string{}, d.Principal.Scopes.Names()...), expires}))
}

// verifyTimeout bounds the wait for a password's hash or an issuer's word.
// Nobody's proxy waits behind this one, so it is longer than Envoy's.
const verifyTimeout = 2 * time.Second

// write says the denial over HTTP.
func (denial Denial) write(w http.ResponseWriter) {
	for _, h := range denial.Headers {
		w.Header().Set(h.Name, h.Value)
	}
	w.WriteHeader(denial.Status)
	_, _ = w.Write(denial.Body)
}

// request is what the core sees of a request that came to us directly. Only a
// trusted proxy is believed when it says how and from where the client came.
func (c *Core) request(hr *http.Request) *authz.Request {
	r := &authz.Request{
		Method: hr.Method, Scheme: "http", Host: hr.Host, Target: hr.RequestURI, Peer: hostOf(hr.RemoteAddr),
	}
	if hr.TLS != nil {
		r.Scheme = "https"
	}
	trusted := c.Trusted.trust(hr.RemoteAddr)
	for name, values := range hr.Header {
		name = strings.ToLower(name)
		if !trusted && (name == "x-forwarded-for" || name == "x-forwarded-proto" || name == "x-request-id") {
			continue
		}
		for _, value := range values {
			r.Headers = append(r.Headers, authz.Header{Name: name, Value: value})
		}
	}
	preferEnvoysWord(r)
	if trusted {
		seenByProxy(r)
	}
	return r
}

// seenByProxy makes the proxy's peer the request's: here the proxy itself is
// ours, and over gRPC Envoy tells its own. It is what the proxy put at the end of
// X-Forwarded-For. The header stays whole, as Envoy sends it over gRPC, so that
// trusted hops are counted from the same end there and here.
func seenByProxy(r *authz.Request) {
	value, _ := r.Header("x-forwarded-for")
	last := value[strings.LastIndexByte(value, ',')+1:]
	if address, err := netip.ParseAddr(strings.Trim(last, " \t")); err == nil {
		r.Peer = address.String()
	}
}

// TrustedProxies are whose word counts about a client; none of them is
// loopback addresses and unix sockets.
type TrustedProxies []netip.Prefix

// trust tells whether the peer, as net/http names it, is one of them. A unix
// socket's peer has no address: whoever may open the socket was let in by the file system.
func (t TrustedProxies) trust(remote string) bool {
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return !strings.Contains(remote, ":")
	}
	ip := address.Addr().Unmap()
	if len(t) == 0 {
		return ip.IsLoopback()
	}
	for _, network := range t {
		if network.Contains(ip) {
			return true
		}
	}
	return false
}

// hostOf is the address without its port, "" for a unix socket.
func hostOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return ""
	}
	return host
}
