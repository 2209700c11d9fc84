package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"time"

	"keyward/chars"
)

// Console configures the console's listener.
type Console struct {
	// PublicURL is the origin (RFC 6454) by which browsers reach the console, as
	// https://console.example.com; "" if they use the listener's own address.
	PublicURL string
	Session   Session
	OIDC      OIDC
}

// Session says how long a login to the console lasts, from its last use and in all.
type Session struct{ Idle, Max time.Duration }

func (d *decoder) consoleSection(v value, c *Console, l *Listen) {
	d.mapping(v, fields{
		{"public_url", func(v value) { d.origin(v, &c.PublicURL) }},
		{"session", d.section(fields{
			{"idle", d.duration(&c.Session.Idle, false)},
			{"max", d.duration(&c.Session.Max, false)},
		})},
		{"oidc", func(v value) { d.oidc(v, c) }},
	})
	if c.Session.Idle > c.Session.Max {
		d.problem(v.Line, "console.session: idle is longer than max")
	}
	if l.Console == "" {
		d.warn(v.Line, "console: of no effect: that listener is off")
	}
}

// origin reads a URL that has no more than an origin, and keeps it as browsers write
// it in the header Origin.
func (d *decoder) origin(v value, to *string) {
	text, ok := d.readText(v)
	if !ok || text == "" {
		return
	}
	origin, err := parseOrigin(text)
	if err != nil {
		d.refuse(v, err)
		return
	}
	*to = origin
}

var errOrigin = errors.New("want https://HOST or https://HOST:PORT without a path, or http:// for localhost and loopback addresses")

func parseOrigin(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || !chars.Printable.All(u.Host) || u.Hostname() == "" {
		return "", errOrigin
	}
	if validAddress(net.JoinHostPort(u.Hostname(), orText(u.Port(), "0"))) != nil {
		return "", errOrigin
	}
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	defaultPort := map[string]string{"https": "443", "http": "80"}[u.Scheme]
	if defaultPort == "" || u.Scheme == "http" && !loopback {
		return "", errOrigin
	}
	host := chars.LowerASCII(u.Host)
	if u.Port() == defaultPort {
		host = host[:len(host)-len(":"+defaultPort)]
	}
	return u.Scheme + "://" + host, nil
}

func orText(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// console checks what the console needs.
func (d *decoder) console(root value, cfg *Config) {
	if cfg.Listen.Console == "" {
		return
	}
	for _, needed := range []struct {
		key, file  string
		inDatabase bool // if there is one
	}{{"keys.file", cfg.Keys.File, false}, {"users.file", cfg.Users.File, false}, {"audit.file", cfg.Audit.File, true}, {"state.file", cfg.State.File, true}} {
		if needed.file == "" && !(needed.inDatabase && cfg.Store.URL != nil) {
			d.problem(root.Line, "listen.console needs %s", needed.key)
		}
	}
	if !cfg.TLS.Console.Enabled() && !isLocal(cfg.Listen.Console) && !isHTTPS(cfg.Console.PublicURL) {
		d.problem(root.Line, "listen.console is not a loopback address, so that it needs tls.console, or an https console.public_url where a proxy ends TLS: keys would travel in the clear")
	}
}

func isHTTPS(origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Scheme == "https"
}
