package authz

import (
	"net/netip"
	"strings"
)

// Address is a client's address in its one canonical form: without port and
// zone, IPv4-mapped addresses as IPv4. Equal addresses are equal values. The
// zero Address is unknown: nothing can be held against a client by it, since
// it is the same for all clients of which no address is known.
type Address struct{ ip netip.Addr }

// RawAddress is an address as a proxy wrote it: in any spelling, and with what
// else may stand beside it. It is for ParseAddress alone: what is counted,
// logged or shown is the Address.
type RawAddress string

// MaxRawAddress is the length, in bytes, above which a text is not an address.
// There is room for the longest address with brackets, a zone and a port.
const MaxRawAddress = 80

// Address is ParseAddress of the text.
func (raw RawAddress) Address() Address { return ParseAddress(string(raw)) }

// ParseAddress reads an IP address as proxies write it, in X-Forwarded-For or
// as a peer: alone, in brackets, with a port ("192.0.2.1:4711" of Azure,
// "[2001:db8::1]:4711"), with a zone ("fe80::1%eth0"), with blanks around it.
// The Address of any other text is unknown.
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
		text = text[:colon] // the only colon: IPv6 has two at least
	}
	if zone := strings.IndexByte(text, '%'); zone > 0 && strings.IndexByte(text, ':') >= 0 {
		text = text[:zone] // before it is parsed: netip keeps each zone that it reads
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return Address{}
	}
	return Address{ip.Unmap()}
}

// isPort reports whether the text is a colon and a port (RFC 3986 section
// 3.2.3), which may be empty. Its value is of no interest.
func isPort(text string) bool {
	return len(text) <= 6 && text != "" && text[0] == ':' && strings.Trim(text[1:], "0123456789") == ""
}

// Known reports whether there is an address.
func (a Address) Known() bool { return a.ip.IsValid() }

// String is the shortest text of the address (RFC 5952), "" of an unknown one.
func (a Address) String() string {
	if !a.Known() {
		return ""
	}
	return a.ip.String()
}

// translated is where IPv6-only networks put the addresses of IPv4 (RFC 6052).
var translated = netip.MustParsePrefix("64:ff9b::/96")

// Client is the range that limits count as one client: an IPv4 address, or the
// /64 of an IPv6 address, within which a single host may take any address. In
// the one /64 that stands for all of IPv4 each address is a client. The
// prefix of an unknown address is the zero Prefix.
func (a Address) Client() netip.Prefix {
	if a.ip.Is6() && translated.Contains(a.ip) {
		return a.prefix(32, 128)
	}
	return a.prefix(32, 64)
}

// Network is the range that one operator most likely has: an IPv4 /16 or an IPv6 /32.
func (a Address) Network() netip.Prefix { return a.prefix(16, 32) }

func (a Address) prefix(bits4, bits6 int) netip.Prefix {
	bits := bits6
	if a.ip.Is4() {
		bits = bits4
	}
	p, _ := a.ip.Prefix(bits) // the bits fit the kind of address; the zero Addr gives the zero Prefix
	return p
}

// Client returns where the request comes from, as the proxies in front wrote
// it: with N trusted hops the Nth entry of X-Forwarded-For from the right,
// which the outermost trusted proxy wrote. The client may have made up what
// stands further left. The entry is only found here; Address parses it.
//
// With fewer entries, the request bypassed the outermost proxies, and the
// leftmost entry is what the first trusted one saw; without any entry the client
// is the peer. An entry that is not an address makes the client unknown: with the
// proxy's own address in its place all clients would be one.
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
// leftmost where there are fewer. Several lines are one list (RFC 9110 section
// 5.3): HAProxy adds a line where others extend the one there is. Empty
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
