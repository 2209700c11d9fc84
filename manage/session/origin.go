package session

import (
	"net"
	"net/http"
	"strconv"
	"strings"

	"keyward/chars"
)

// Origin is where browsers find the console. The zero Origin has no public address.
type Origin struct {
	// Public is an origin as a browser writes it, such as https://console.example.com;
	// "" if browsers use the listener's own address.
	Public string
}

// Serves reports whether the request is addressed to the console: by its public name,
// or on the machine itself by a name of the machine and the listener's port. Any other
// name is one that a stranger has made point here (DNS rebinding). A listener that
// other machines reach and that has no public name cannot tell.
func (o Origin) Serves(r *http.Request) bool {
	scheme := schemeOf(r)
	if o.Public != "" {
		publicScheme, host, _ := strings.Cut(o.Public, "://")
		if withPort(r.Host, publicScheme) == withPort(host, publicScheme) && r.Host != "" {
			return true
		}
	}
	switch local := r.Context().Value(http.LocalAddrContextKey).(type) {
	case *net.UnixAddr:
		return isLoopbackName(nameOf(r.Host))
	case *net.TCPAddr:
		if !local.IP.IsLoopback() {
			return o.Public == "" && r.Host != ""
		}
		_, port, err := net.SplitHostPort(withPort(r.Host, scheme))
		return err == nil && isLoopbackName(nameOf(r.Host)) && port == strconv.Itoa(local.Port)
	default:
		return false
	}
}

// Same reports whether a change comes from a page of the console, as the browser says
// it. A request that says nothing does not: a program that has a session names the
// origin itself.
func (o Origin) Same(r *http.Request) bool {
	if sites := r.Header.Values("Sec-Fetch-Site"); len(sites) > 0 {
		return len(sites) == 1 && sites[0] == "same-origin"
	}
	origins := r.Header.Values("Origin")
	return o.Public != "" && len(origins) == 1 && origins[0] == o.Public
}

// Base is what a link to the console begins with.
func (o Origin) Base(r *http.Request) string {
	if o.Public != "" {
		return o.Public
	}
	return schemeOf(r) + "://" + r.Host
}

func schemeOf(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// withPort is the host in lower case with its port, which the scheme has if the host
// has none.
func withPort(host, scheme string) string {
	host = chars.LowerASCII(host)
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return host + map[string]string{"http": ":80", "https": ":443"}[scheme]
}

// nameOf is the host without its port.
func nameOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil && strings.HasPrefix(host, "[") {
		return "[" + name + "]"
	} else if err == nil {
		return name
	}
	return host
}

func isLoopbackName(name string) bool {
	return name == "127.0.0.1" || name == "[::1]" || chars.EqualASCIIFold(name, "localhost")
}
