package tokensource

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

	"keyward/authz"
)

// reach restricts where the documents of one issuer may be fetched from. An issuer's
// jwks_uri or redirect must not lead to this machine, to its link or to a cloud's
// metadata service (server-side request forgery), unless the operator's own URL
// names such an address. Addresses are checked when they are dialled, so that a
// host name cannot hide one. Private networks are allowed: issuers are often there.
type reach struct {
	host   string // of the operator's URL
	near   nearness
	chosen bool // the operator's URL is the document's own, so its host is allowed at any address

	mu      sync.Mutex
	proxies map[string]bool // host:port of the operator's proxies that were used
}

var errReach = errors.New("a loopback, link-local or metadata service address, which cannot be an issuer's")

// reachOf returns the reach of the operator's URL; chosen means that it is the document's own.
func reachOf(u *url.URL, chosen bool) *reach {
	return &reach{host: u.Hostname(), near: nearnessOfHost(u.Hostname()), chosen: chosen, proxies: map[string]bool{}}
}

// nearness is how near an address is to this machine. Any issuer may be far.
type nearness int

const (
	far nearness = iota
	thisMachine
	thisLink
	metadata
)

// metadataServices are those of clouds outside 169.254.0.0/16: AWS, Azure, Alibaba.
var metadataServices = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("168.63.129.16"), netip.MustParseAddr("100.100.100.200"),
}

var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")    // RFC 1122 section 3.2.1.3; Linux connects to itself
	translated  = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: an IPv4 address in the last four bytes
)

func nearnessOf(ip netip.Addr) nearness {
	ip = ip.WithZone("").Unmap()
	if translated.Contains(ip) {
		bytes := ip.As16()
		ip = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	for _, service := range metadataServices {
		if ip == service {
			return metadata
		}
	}
	switch {
	case ip.IsLoopback(), ip.IsUnspecified(), thisNetwork.Contains(ip):
		return thisMachine
	case ip.IsLinkLocalUnicast(), ip.IsMulticast():
		return thisLink
	default:
		return far
	}
}

// nearnessOfHost returns that of an address, or of a name that always means this
// machine (RFC 6761 section 6.3). Any other name is not resolved here and counts as far.
func nearnessOfHost(host string) nearness {
	if ip, err := netip.ParseAddr(host); err == nil {
		return nearnessOf(ip)
	}
	name := authz.LowerASCII(strings.TrimSuffix(host, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return thisMachine
	}
	return far
}

// permits reports whether documents may be fetched from an address of that nearness.
func (r *reach) permits(near nearness) bool { return near == far || near == r.near }

// check checks the host of a URL; dial checks the addresses that its name resolves to.
func (r *reach) check(u *url.URL) error {
	if r.chosen && u.Hostname() == r.host || r.permits(nearnessOfHost(u.Hostname())) {
		return nil
	}
	return errReach
}

// redirect is the rule for redirects of public documents.
func (r *reach) redirect(next *http.Request, via []*http.Request) error {
	if err := allowSafeRedirects(next, via); err != nil {
		return err
	}
	return r.check(next.URL)
}

// proxy returns the proxy that the environment names, which the operator has chosen.
func (r *reach) proxy(request *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(request)
	if u != nil {
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.proxies[net.JoinHostPort(u.Hostname(), port)] = true
	}
	return u, err
}

func (r *reach) isProxy(address string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proxies[address]
}

// dial connects to an address that is permitted, or to one that the operator has chosen.
func (r *reach) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := newDialer()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if !r.isProxy(address) && !(r.chosen && host == r.host) {
		dialer.Control = r.control
	}
	return dialer.DialContext(ctx, network, address)
}

// control is called with each address before the connection is made.
func (r *reach) control(_, address string, _ syscall.RawConn) error {
	ip, err := netip.ParseAddrPort(address)
	if err != nil || !r.permits(nearnessOf(ip.Addr())) {
		return errReach
	}
	return nil
}

// newDocumentClient returns a client that connects only where r permits.
func newDocumentClient(given *http.Client, r *reach) *http.Client {
	if given != nil && given.Transport != nil {
		return newClient(given, r.redirect)
	}
	transport := newTransport()
	transport.Proxy, transport.DialContext = r.proxy, r.dial
	return &http.Client{Transport: transport, CheckRedirect: r.redirect}
}
