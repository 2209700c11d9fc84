package issuerhttp

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"

	"keyward/chars"
)

// Guard restricts where the documents of one issuer may be fetched from. An
// issuer's jwks_uri or redirect must not lead to this machine, to its link or
// to a cloud's metadata service (server-side request forgery), unless the
// operator's own URL names such an address. Addresses are checked when they are
// dialled, so that a host name cannot hide one. Private networks are allowed:
// issuers are often there.
type Guard struct {
	host     string // of the operator's URL
	class    addressClass
	explicit bool // the operator's URL is the document's own, so its host is allowed at any address

	mu      sync.Mutex
	proxies map[string]bool // host:port of the operator's proxies that were used
}

// ErrForbiddenAddress is returned for an address that only programs of this machine, or of
// its cloud, should reach (CWE-918).
var ErrForbiddenAddress = errors.New("a loopback, link-local or metadata service address, which cannot be an issuer's")

// NewGuard returns a guard for the operator's URL; explicit means that it
// is the document's own and not the issuer's.
func NewGuard(u *url.URL, explicit bool) *Guard {
	return &Guard{host: u.Hostname(), class: classOfHost(u.Hostname()), explicit: explicit, proxies: map[string]bool{}}
}

// addressClass says what an address leads to. A remoteAddress is always
// permitted.
type addressClass int

const (
	remoteAddress addressClass = iota
	loopbackAddress
	linkLocalAddress
	metadataAddress
)

// metadataServices are those of clouds outside 169.254.0.0/16: AWS, Azure,
// Alibaba.
var metadataServices = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("168.63.129.16"), netip.MustParseAddr("100.100.100.200"),
}

var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")    // RFC 1122 section 3.2.1.3; Linux connects to itself
	nat64       = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: an IPv4 address in the last four bytes
)

func classOf(ip netip.Addr) addressClass {
	ip = ip.WithZone("").Unmap()
	if nat64.Contains(ip) {
		bytes := ip.As16()
		ip = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	for _, service := range metadataServices {
		if ip == service {
			return metadataAddress
		}
	}
	switch {
	case ip.IsLoopback(), ip.IsUnspecified(), thisNetwork.Contains(ip):
		return loopbackAddress
	case ip.IsLinkLocalUnicast(), ip.IsMulticast():
		return linkLocalAddress
	default:
		return remoteAddress
	}
}

// classOfHost returns the class of an address, or of a name that always means
// this machine (RFC 6761 section 6.3). Any other name is not resolved here and
// counts as a remoteAddress.
func classOfHost(host string) addressClass {
	if ip, err := netip.ParseAddr(host); err == nil {
		return classOf(ip)
	}
	name := chars.LowerASCII(strings.TrimSuffix(host, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return loopbackAddress
	}
	return remoteAddress
}

// permits reports whether documents may be fetched from an address of that
// class.
func (g *Guard) permits(class addressClass) bool {
	return class == remoteAddress || class == g.class
}

// Check checks the host of a URL; dial checks the addresses that its name
// resolves to.
func (g *Guard) Check(u *url.URL) error {
	if g.explicit && u.Hostname() == g.host || g.permits(classOfHost(u.Hostname())) {
		return nil
	}
	return ErrForbiddenAddress
}

// checkRedirect is the rule for redirects of public documents.
func (g *Guard) checkRedirect(next *http.Request, via []*http.Request) error {
	if err := allowSafeRedirects(next, via); err != nil {
		return err
	}
	return g.Check(next.URL)
}

// proxy returns the proxy that the environment names, which the operator has
// chosen.
func (g *Guard) proxy(request *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(request)
	if u != nil {
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.proxies[net.JoinHostPort(u.Hostname(), port)] = true
	}
	return u, err
}

func (g *Guard) isProxy(address string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.proxies[address]
}

// dial connects to an address that is permitted, or to one that the operator
// has chosen.
func (g *Guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := newDialer()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if !g.isProxy(address) && !(g.explicit && host == g.host) {
		dialer.Control = g.control
	}
	return dialer.DialContext(ctx, network, address)
}

// control is called with each address before the connection is made.
func (g *Guard) control(_, address string, _ syscall.RawConn) error {
	ip, err := netip.ParseAddrPort(address)
	if err != nil || !g.permits(classOf(ip.Addr())) {
		return ErrForbiddenAddress
	}
	return nil
}

// NewDocumentClient returns a client for public documents, which connects only where
// the guard permits. It has the given client's transport, if there is one, which is not
// guarded.
func NewDocumentClient(given *http.Client, guard *Guard) *http.Client {
	return newGuardedClient(given, guard, guard.checkRedirect)
}

// NewSecretClient is NewDocumentClient for requests that carry secrets, which follow no
// redirect.
func NewSecretClient(given *http.Client, guard *Guard) *http.Client {
	return newGuardedClient(given, guard, NoRedirects)
}

func newGuardedClient(given *http.Client, guard *Guard, redirect func(*http.Request, []*http.Request) error) *http.Client {
	client := NewClient(given, redirect)
	if given == nil || given.Transport == nil {
		transport := client.Transport.(*http.Transport)
		transport.Proxy, transport.DialContext = guard.proxy, guard.dial
	}
	return client
}
