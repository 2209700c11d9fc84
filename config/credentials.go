package config

import (
	"errors"
	"slices"
	"strings"

	"keyward/apikey"
	"keyward/authz"
	"keyward/chars"
	"keyward/config/strictyaml"
)

// credentials reads which parts of a request may carry a credential.
func (d *decoder) credentials(v strictyaml.Value, cfg *Config) {
	sources := &cfg.Sources
	var basic, header strictyaml.Value
	var known strictyaml.Fields
	for _, scheme := range authz.CredentialSchemes() {
		if scheme.AuthScheme == "" {
			continue
		}
		known = append(known, strictyaml.Fields{{scheme.AuthScheme, func(v strictyaml.Value) {
			if scheme.Scheme == authz.SchemeBasic {
				basic = v
			}
			enabled := sources.Schemes.Contains(scheme.Scheme)
			d.Boolean(&enabled)(v)
			sources.Schemes = sources.Schemes.With(scheme.Scheme, enabled)
		}}}...)
	}
	d.Mapping(v, append(known, strictyaml.Fields{
		{"basic_key_usernames", d.List(&cfg.BasicKeyUsernames, validBasicUsername)},
		{"header", func(v strictyaml.Value) { header = v; d.Checked(&sources.Header, validCredentialHeader)(v) }},
		{"query", d.Checked(&sources.Query, validParameter)},
		{"cookie", d.Checked(&sources.Cookie, validCookie)},
		{"reserved_query", d.List(&sources.Reserved, validReserved)},
	}...))
	sources.Header = chars.LowerASCII(sources.Header)
	if _, err := cfg.Identity(); err != nil && header.Node != nil {
		d.Refuse(header, err)
	}
	if cfg.Passwords = sources.Schemes.Contains(authz.SchemeBasic); cfg.Passwords && cfg.Users.File == "" {
		d.Report(basic.Line, "%s: passwords need a users file; users.file names none", basic.Name)
	}
	sources.Schemes = sources.Schemes.With(authz.SchemeBasic, cfg.Passwords || len(cfg.BasicKeyUsernames) > 0)
	if sources.Schemes == 0 && sources.Header == "" && sources.Query == "" && sources.Cookie == "" {
		d.Warn(v.Line, "credentials: every place is off, so that no credential is ever found")
	}
}

// identityHeaders reads the header of each attribute. It replaces the default
// entirely.
func (d *decoder) identityHeaders(v strictyaml.Value, cfg *Config) {
	if len(v.Content)/2 > maxIdentityHeaders {
		d.Report(v.Line, "%s: more than %d headers", v.Name, maxIdentityHeaders)
		return
	}
	cfg.IdentityHeaders = map[string]authz.IdentityAttribute{}
	words := map[string]authz.IdentityAttribute{}
	for _, f := range authz.IdentityAttributes() {
		words[string(f)] = f
	}
	var known strictyaml.Fields
	for key := range strictyaml.Pairs(v.Node) {
		known = append(known, strictyaml.Fields{{key.Value, func(v strictyaml.Value) {
			var f authz.IdentityAttribute
			if strictyaml.Choice(d.Decoder, &f, words)(v); f != "" {
				d.identityHeader(v, cfg, key.Value, f)
			}
		}}}...)
	}
	d.Mapping(v, known)
}

// maxIdentityHeaders bounds the headers that are added to each allowed request.
const maxIdentityHeaders = 64

// identityHeader adds one header, if the set is still valid with it.
func (d *decoder) identityHeader(v strictyaml.Value, cfg *Config, name string, f authz.IdentityAttribute) {
	if slices.Contains(connectionHeaders, chars.LowerASCII(name)) {
		d.Report(v.Line, "identity_headers: %s steers the connection and can't carry an identity", name)
		return
	}
	cfg.IdentityHeaders[name] = f
	if _, err := cfg.Identity(); err != nil {
		d.Report(v.Line, "identity_headers: %v", err)
		delete(cfg.IdentityHeaders, name)
	}
}

// connectionHeaders are those that proxies interpret themselves.
var connectionHeaders = []string{
	"connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
}

func validPrefix(prefix string) error { return apikey.ValidatePrefix(prefix) }

func validBasicUsername(name string) error {
	if name == "" || len(name) > 255 || strings.Contains(name, ":") {
		return errors.New("a username is 1 to 255 bytes without a colon")
	}
	return nil
}

func validCredentialHeader(name string) error {
	lower := chars.LowerASCII(name)
	switch {
	case name == "":
		return nil
	case !isWord(name, "!#$%&'*+-.^_`|~"):
		return errors.New("this is not a header name")
	case lower == "authorization" || lower == "cookie" || slices.Contains(connectionHeaders, lower):
		return errors.New("this header has a meaning of its own and can't carry a key")
	}
	return nil
}

func validCookie(name string) error {
	if name != "" && !isWord(name, "!#$%&'*+-.^_`|~") {
		return errors.New("this is not a cookie name")
	}
	return nil
}

// validParameter accepts names that have only one encoding: if a client could
// encode the name differently, the proxy could not remove the parameter.
func validParameter(name string) error {
	if name != "" && !isWord(name, "-._~") {
		return errors.New("a query parameter's name is of letters, digits and - . _ ~")
	}
	return nil
}

func validReserved(name string) error {
	if name == "" {
		return errors.New("a query parameter needs a name")
	}
	return validParameter(name)
}

// isWord reports whether s consists of ASCII letters, digits and the other
// characters given.
func isWord(s, others string) bool {
	for i := range len(s) {
		c := s[i]
		letter := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return s != ""
}
