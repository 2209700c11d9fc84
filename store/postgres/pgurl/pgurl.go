// Package pgurl reads the URL by which an operator names a Postgres database. It
// refuses a password, since URLs are logged and shown, and connections that may
// continue without encryption. It opens no connection and no file.
package pgurl

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"keyward/chars"
)

// Why a URL is refused. The errors do not repeat it.
var (
	ErrForm     = errors.New("not a URL such as postgres://user@host:5432/db or postgres://user@/db?host=/run/postgresql")
	ErrPassword = errors.New("a database URL must not contain a password: use a password file, PGPASSWORD or .pgpass")
	ErrSSLMode  = errors.New("sslmode must be verify-full, verify-ca, require or disable: allow and prefer continue without TLS if the server does not offer it")
)

// URL is the URL of a database. It has no password.
type URL struct{ parsed url.URL }

// Parse reads a URL.
func Parse(text string) (URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Opaque != "" || u.Fragment != "" {
		return URL{}, ErrForm
	}
	if _, has := u.User.Password(); has {
		return URL{}, ErrPassword
	}
	params, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return URL{}, ErrForm
	}
	for name, values := range params {
		switch {
		case strings.Contains(chars.LowerASCII(name), "password"): // sslpassword too
			return URL{}, ErrPassword
		case len(values) > 1:
			return URL{}, ErrForm
		}
	}
	if params.Has("sslmode") && !validSSLMode(params.Get("sslmode")) {
		return URL{}, ErrSSLMode
	}
	return URL{*u}, nil
}

func validSSLMode(mode string) bool {
	return slices.Contains([]string{"verify-full", "verify-ca", "require", "disable"}, mode)
}

// String returns the URL as it may be shown.
func (u URL) String() string { return u.parsed.String() }

// Has reports whether the URL has the parameter.
func (u URL) Has(parameter string) bool { return u.parsed.Query().Has(parameter) }

// ConnString returns what pgx connects with: the URL with an sslmode. One that is
// named neither by the URL nor by PGSSLMODE is verify-full, unless each host is a
// socket or a loopback address.
func (u URL) ConnString(getenv func(string) string) (string, error) {
	params := u.parsed.Query()
	mode := params.Get("sslmode")
	if mode == "" {
		mode = getenv("PGSSLMODE")
	}
	switch {
	case mode == "" && u.isLocal(getenv):
		mode = "disable"
	case mode == "":
		mode = "verify-full"
	case !validSSLMode(mode):
		return "", ErrSSLMode
	}
	params.Set("sslmode", mode)
	full := u.parsed
	full.RawQuery = params.Encode()
	return full.String(), nil
}

// isLocal reports whether each host is a socket or a loopback address. The host that a
// service file names is not known here.
func (u URL) isLocal(getenv func(string) string) bool {
	params := u.parsed.Query()
	hosts := params.Get("host")
	if hosts == "" {
		hosts = u.parsed.Host
	}
	if hosts == "" {
		if params.Has("service") || getenv("PGSERVICE") != "" {
			return false
		}
		hosts = getenv("PGHOST")
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if !isLocalHost(host) {
			return false
		}
	}
	return true
}

// isLocalHost reports whether the host, with or without a port, is a socket or a
// loopback address. No host is the default socket, or localhost.
func isLocalHost(host string) bool {
	if strings.HasPrefix(host, "/") {
		return true
	}
	if rest, bracketed := strings.CutPrefix(host, "["); bracketed {
		host, _, _ = strings.Cut(rest, "]")
	} else if strings.Count(host, ":") == 1 {
		host, _, _ = strings.Cut(host, ":")
	}
	if host == "" || chars.EqualASCIIFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}
