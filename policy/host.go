package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"keyward/chars"
)

// maxHost is the maximum length of a rule's host in bytes, as in DNS.
const maxHost = 255

// ParseHost returns a rule's host, "api.example.com" or "*.example.com", in the
// form that the hosts of requests are compared with. It refuses a host that no
// request can have, because such a rule would never match.
func ParseHost(text string) (string, error) {
	name, wildcard := strings.CutPrefix(text, "*.")
	switch {
	case len(text) > maxHost:
		return "", fmt.Errorf("a host is at most %d bytes", maxHost)
	case len(text) > 1 && text[0] == '.':
		if _, err := ParseHost(text[1:]); err == nil {
			return "", fmt.Errorf("no request has the host %q; write %q and %q", text, text[1:], "*"+text)
		}
	case len(text) > 1 && text[0] == '*' && !wildcard:
		if _, err := ParseHost(text[1:]); err == nil {
			return "", fmt.Errorf("no request has the host %q; write %q", text, "*."+text[1:])
		}
	case strings.HasSuffix(text, "."):
		return "", errors.New("a host is written without a dot at its end")
	case strings.IndexFunc(text, func(c rune) bool { return c >= 0x80 }) >= 0:
		return "", fmt.Errorf("no request has the host %q; write it as clients send it, in ASCII (xn--…)", text)
	}
	host, ok := parseHost(name)
	literal := strings.HasPrefix(name, "[")
	withPort := strings.LastIndexByte(name, ':') > strings.LastIndexByte(name, ']')
	if !ok || host == "" || wildcard && literal || withPort {
		return "", fmt.Errorf("%q is not a host: want api.example.com, *.example.com or [2001:db8::1], without port", text)
	}
	if wildcard {
		host = "*." + host
	}
	return host, nil
}

// parseHost returns the host of a Host value in the form of the rules: without
// port and final dot, in lower case, an IPv6 address in canonical form (RFC
// 5952). ok is false for a value that is not a host, since an upstream could
// take it for one. The empty value is the empty host.
func parseHost(value string) (host string, ok bool) {
	host = value
	if colon := strings.LastIndexByte(host, ':'); colon > strings.LastIndexByte(host, ']') {
		if strings.Trim(host[colon+1:], "0123456789") != "" {
			return "", false
		}
		host = host[:colon]
	}
	if strings.HasPrefix(host, "[") {
		return parseIPv6(host)
	}
	host = strings.TrimSuffix(host, ".")
	if !isHostName(host) && value != "" {
		return "", false
	}
	return chars.LowerASCII(host), true
}

func parseIPv6(literal string) (host string, ok bool) {
	inner, closed := strings.CutSuffix(literal[1:], "]")
	address, err := netip.ParseAddr(inner)
	if err != nil || !closed || !address.Is6() || address.Zone() != "" {
		return "", false
	}
	return "[" + address.String() + "]", true
}

// isHostName reports whether name is one or more labels of ASCII letters,
// digits, hyphens and underscores. The caller checks it before it folds case,
// because folding turns some characters outside ASCII into letters.
func isHostName(name string) bool {
	label := 0
	for i := range len(name) {
		switch c := name[i]; {
		case c == '.' && label > 0:
			label = 0
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			label++
		default:
			return false
		}
	}
	return label > 0
}
