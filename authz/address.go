package authz

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Address is a client's address in canonical form: without port and zone,
// IPv4-mapped addresses as IPv4. Equal addresses are equal values. The zero
// Address is unknown. It does not identify a client: all clients without a
// known address share it.
type Address struct{ ip netip.Addr }

// RawAddress is an address as a proxy wrote it: in any spelling, with port or
// zone. It is only for ParseAddress. Limits, logs and output use Address.
type RawAddress string

// MaxRawAddress is the length, in bytes, above which a text is not an address.
// The longest address with brackets, a zone and a port fits.
const MaxRawAddress = 80

// Address returns ParseAddress of the text.
func (raw RawAddress) Address() Address { return ParseAddress(string(raw)) }

// ParseAddress parses an IP address as proxies write it, in X-Forwarded-For or
// as a peer: alone, in brackets, with a port ("192.0.2.1:4711" of Azure,
// "[2001:db8::1]:4711"), with a zone ("fe80::1%eth0"), with spaces and tabs
// around it. For any other text the Address is unknown.
func ParseAddress(text string) Address {
	if len(text) > MaxRawAddress {
		return Address{}
	}
	text = strings.Trim(text, " \t")
	if inside, ok := strings.CutPrefix(text, "["); ok {
		host, rest, closed := strings.Cut(inside, "]")
		if !closed || rest != "" && !isPort(rest) {
			return Address{}
		}
		text = host
	} else if colon := strings.IndexByte(text, ':'); colon >= 0 && isPort(text[colon:]) {
		text = text[:colon] // the only colon: an IPv6 address has at least two
	}
	if zone := strings.IndexByte(text, '%'); zone > 0 && strings.IndexByte(text, ':') >= 0 {
		text = text[:zone] // before parsing: netip keeps every zone that it reads
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return Address{}
	}
	return Address{ip.Unmap()}
}

// isPort reports whether the text is a colon and a port (RFC 3986 section
// 3.2.3), which may be empty. The port's value does not matter.
func isPort(text string) bool {
	return len(text) <= 6 && text != "" && text[0] == ':' && strings.Trim(text[1:], "0123456789") == ""
}

// Known reports whether the address is known.
func (a Address) Known() bool { return a.ip.IsValid() }

// In reports whether the address is known and in the network.
func (a Address) In(network netip.Prefix) bool { return network.Contains(a.ip) }

// ParseNetwork parses a network as operators write it: "192.0.2.0/24",
// "2001:db8::/32", or one address. An address beyond the prefix, a zone, and IPv4
// in IPv6 notation are errors: one network has one meaning, and clients' addresses
// are never IPv4-mapped.
func ParseNetwork(text string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(text)
	if err != nil {
		ip, errAddr := netip.ParseAddr(text)
		if errAddr != nil || ip.Zone() != "" {
			return netip.Prefix{}, errors.New("want a network such as 192.0.2.0/24 or 2001:db8::/32")
		}
		network = netip.PrefixFrom(ip, ip.BitLen())
	}
	switch {
	case network.Addr().Is4In6():
		return netip.Prefix{}, errors.New("an IPv4-mapped IPv6 network; write it in IPv4")
	case network != network.Masked():
		return netip.Prefix{}, fmt.Errorf("an address beyond the prefix; the network is %s", network.Masked())
	}
	return network, nil
}

// String returns the shortest text of the address (RFC 5952), "" for an unknown
// one.
func (a Address) String() string {
	if !a.Known() {
		return ""
	}
	return a.ip.String()
}

// translated is the prefix in which IPv6-only networks represent IPv4 addresses
// (RFC 6052).
var translated = netip.MustParsePrefix("64:ff9b::/96")

// Client returns the range that limits count as one client: an IPv4 address, or
// the /64 of an IPv6 address, within which a single host may take any address.
// In the /64 that represents all of IPv4, each address is a client. The prefix
// of an unknown address is the zero Prefix.
func (a Address) Client() netip.Prefix {
	if a.ip.Is6() && translated.Contains(a.ip) {
		return a.prefix(32, 128)
	}
	return a.prefix(32, 64)
}

// Network returns the range that most likely belongs to one operator: an IPv4
// /16 or an IPv6 /32.
func (a Address) Network() netip.Prefix { return a.prefix(16, 32) }

func (a Address) prefix(bits4, bits6 int) netip.Prefix {
	bits := bits6
	if a.ip.Is4() {
		bits = bits4
	}
	p, _ := a.ip.Prefix(bits) // the bits fit the address family; the zero Addr gives the zero Prefix
	return p
}

// Client returns the client's address as the trusted proxies recorded it. With
// N trusted hops, it is the Nth entry of X-Forwarded-For from the right, which
// the outermost trusted proxy wrote. Entries further left are controlled by the
// client and ignored. Client only finds the entry; Address parses it.
//
// With fewer entries, the request bypassed the outermost proxies, and the
// leftmost entry is the address that the first trusted proxy saw. Without any
// entry the client is the peer. An entry that is not an address makes the
// client unknown: if the proxy's own address took its place, all clients would
// count as one.
func (r *Request) Client() RawAddress {
	if r.trustedHops <= 0 {
		return RawAddress(r.Peer)
	}
	if entry, found := r.ForwardedFor(r.trustedHops); found {
		return entry
	}
	return RawAddress(r.Peer)
}

// ForwardedFor returns the nth entry of X-Forwarded-For from the right, or the
// leftmost if there are fewer. Several lines form one list (RFC 9110 section
// 5.3): HAProxy adds a line where other proxies extend the existing one. Empty
// entries do not count (section 5.6.1).
func (r *Request) ForwardedFor(n int) (entry RawAddress, found bool) {
	for i := len(r.Headers) - 1; i >= 0 && n > 0; i-- {
		if r.Headers[i].Name != "x-forwarded-for" {
			continue
		}
		for rest := r.Headers[i].Value; rest != "" && n > 0; {
			comma := strings.LastIndexByte(rest, ',')
			if one := strings.Trim(rest[comma+1:], " \t"); one != "" {
				entry, found = RawAddress(one), true
				n--
			}
			rest = rest[:max(comma, 0)]
		}
	}
	return entry, found
}
