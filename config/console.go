package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"keyward/chars"
	"keyward/config/strictyaml"
)

// Console configures the console's listener.
type Console struct {
	// Style is the API page whose words the console's pages have.
	Style ConsoleStyle
	Title string // of the API; "" is that of its style
	// APIURL is where the API is, in the commands that pages show; "" is an example.
	APIURL string
	// Scopes are offered in forms, beside those that routes name.
	Scopes []NamedScope

	// PublicURL is the origin (RFC 6454) by which browsers reach the console, as
	// https://console.example.com; "" if they use the listener's own address.
	PublicURL string
	Session   Session

	// FirstLogin is what a user gets at the first login.
	FirstLogin FirstLogin
	OIDC       OIDC
}

// ConsoleStyle is the API page that the console's pages follow.
type ConsoleStyle string

// The styles.
const (
	ConsoleGeneric ConsoleStyle = "generic"
	ConsoleHalo    ConsoleStyle = "halo"
	ConsoleHalfred ConsoleStyle = "halfred"
	ConsoleHaplo   ConsoleStyle = "haplo"
)

var consoleStyles = map[string]ConsoleStyle{
	"generic": ConsoleGeneric, "halo": ConsoleHalo, "halfred": ConsoleHalfred, "haplo": ConsoleHaplo,
}

// NamedScope is a scope with what it permits, in words for people.
type NamedScope struct{ Name, Description string }

// maxTitle bounds the title, which is in the head of each page, in bytes.
const maxTitle = 64

// Session says how long a login to the console lasts, from its last use and in all.
type Session struct{ Idle, Max time.Duration }

// FirstLogin says whether a user gets a project of its own at the first login, and a key.
type FirstLogin struct{ Project, Key bool }

func (d *decoder) consoleSection(v strictyaml.Value, c *Console, l *Listen) {
	d.Mapping(v, strictyaml.Fields{
		{"style", strictyaml.Choice(d.Decoder, &c.Style, consoleStyles)},
		{"title", d.Checked(&c.Title, validTitle)},
		{"api_url", func(v strictyaml.Value) { d.origin(v, &c.APIURL) }},
		{"scopes", func(v strictyaml.Value) { d.consoleScopes(v, c) }},
		{"public_url", func(v strictyaml.Value) { d.origin(v, &c.PublicURL) }},
		{"session", d.Section(strictyaml.Fields{
			{"idle", d.Duration(&c.Session.Idle, false)},
			{"max", d.Duration(&c.Session.Max, false)},
		})},
		{"first_login", d.Section(strictyaml.Fields{
			{"project", d.Boolean(&c.FirstLogin.Project)},
			{"key", d.Boolean(&c.FirstLogin.Key)},
		})},
		{"oidc", func(v strictyaml.Value) { d.oidc(v, c) }},
	})
	if c.Session.Idle > c.Session.Max {
		d.Report(v.Line, "console.session: idle is longer than max")
	}
	if l.Console == "" {
		d.Warn(v.Line, "console: of no effect: that listener is off")
	}
}

// consoleScopes reads the scopes that forms offer.
func (d *decoder) consoleScopes(v strictyaml.Value, c *Console) {
	c.Scopes = nil
	d.Each(v, func(element strictyaml.Value) {
		var s NamedScope
		d.Mapping(element, strictyaml.Fields{
			{"name", d.Checked(&s.Name, validScope)},
			{"description", d.Text(&s.Description)},
		})
		switch {
		case s.Name == "":
			d.Report(element.Line, "%s: a scope needs a name", v.Name)
		case slices.ContainsFunc(c.Scopes, func(o NamedScope) bool { return o.Name == s.Name }):
			d.Report(element.Line, "%s: the scope %s is there twice", v.Name, s.Name)
		default:
			c.Scopes = append(c.Scopes, s)
		}
	})
}

func validTitle(title string) error {
	if len(title) > maxTitle {
		return fmt.Errorf("a title is at most %d bytes", maxTitle)
	}
	return nil
}

// origin reads a URL that has no more than an origin, and keeps it as browsers write
// it in the header Origin.
func (d *decoder) origin(v strictyaml.Value, to *string) {
	text, ok := d.ReadText(v)
	if !ok || text == "" {
		return
	}
	origin, err := parseOrigin(text)
	if err != nil {
		d.Refuse(v, err)
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
func (d *decoder) console(root strictyaml.Value, cfg *Config) {
	if cfg.Listen.Console == "" {
		return
	}
	for _, needed := range []struct {
		key, file  string
		inDatabase bool // if there is one
	}{{"keys.file", cfg.Keys.File, false}, {"users.file", cfg.Users.File, false}, {"audit.file", cfg.Audit.File, true}, {"state.file", cfg.State.File, true}} {
		if needed.file == "" && !(needed.inDatabase && cfg.Store.URL != nil) {
			d.Report(root.Line, "listen.console needs %s", needed.key)
		}
	}
	if cfg.Console.FirstLogin.Project && cfg.Projects.File == "" && cfg.Store.URL == nil {
		d.Report(root.Line, "console.first_login.project needs projects.file")
	}
	if !cfg.TLS.Console.Enabled() && !isLocal(cfg.Listen.Console) && !isHTTPS(cfg.Console.PublicURL) {
		d.Report(root.Line, "listen.console is not a loopback address, so that it needs tls.console, or an https console.public_url where a proxy ends TLS: keys would travel in the clear")
	}
}

func isHTTPS(origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Scheme == "https"
}
