package oauth

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"keyward/chars"
)

// Bounds of redirect URIs.
const (
	MaxRedirectURI  = 255 // bytes
	MaxRedirectURIs = 50  // of a client
)

// What is wrong with a URI. None repeats it.
var (
	ErrText     = errors.New("a redirect URI is at most 255 bytes of ASCII without spaces, backslashes, wildcards and what RFC 3986 does not allow")
	ErrRelative = errors.New("a redirect URI is absolute, with a host in lower case and without escapes")
	ErrHost     = errors.New("the host of a redirect URI has letters, digits, hyphens, dots and underscores, or is an address")
	ErrFragment = errors.New("a redirect URI has no fragment")
	ErrUser     = errors.New("a redirect URI has no user name and no password")
	ErrScheme   = errors.New("a redirect URI begins with https://, or with http:// and a loopback host")
	ErrTwice    = errors.New("a redirect URI is there twice")
	ErrMany     = errors.New("a client has at most 50 redirect URIs")
	ErrNeeded   = errors.New("a client with the grant authorization_code needs a redirect URI, and another has none")
)

// CheckRedirectURIs returns why a client with the grants cannot have the redirect URIs.
func CheckRedirectURIs(uris []string, grants []Grant) error {
	switch {
	case len(uris) > MaxRedirectURIs:
		return ErrMany
	case slices.Contains(grants, AuthorizationCode) != (len(uris) > 0):
		return ErrNeeded
	}
	for i, uri := range uris {
		if err := CheckRedirectURI(uri); err != nil {
			return err
		}
		if slices.Contains(uris[:i], uri) {
			return ErrTwice
		}
	}
	return nil
}

// CheckRedirectURI returns why codes must not be sent to the URI: it must be absolute and without
// a fragment (RFC 6749 section 3.1.2), and https, or http on the machine of the client
// (RFC 8252 section 7.3).
func CheckRedirectURI(uri string) error {
	if len(uri) > MaxRedirectURI || !chars.Printable.All(uri) || strings.ContainsAny(uri, "\\ \"<>^`{|}*") {
		return ErrText
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "" || strings.HasSuffix(u.Host, ":"):
		return ErrRelative
	case u.User != nil:
		return ErrUser
	case u.Host != chars.LowerASCII(u.Host) || !strings.HasPrefix(uri[len(u.Scheme):], "://"+u.Host): // escapes in it were decoded
		return ErrRelative
	case strings.ContainsAny(u.Host, "!$&'(),;=+~%"): // which mean something in a header field, and no name has
		return ErrHost
	case strings.Contains(uri, "#"):
		return ErrFragment
	case strings.HasPrefix(uri, "https://"), strings.HasPrefix(uri, "http://") && isLoopback(u.Hostname()):
		return nil
	}
	return ErrScheme
}

// isLoopback reports whether requests to the host stay on the machine of the client.
func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}
