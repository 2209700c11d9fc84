package config

import (
	"errors"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"keyward/apikey"
	"keyward/authz"
	"keyward/chars"
	"keyward/config/grammar"
	"keyward/config/strictyaml"
)

// credentials reads which parts of a request may carry a credential.
func (d *decoder) credentials(v strictyaml.Value, cfg *Config) {
	sources := &cfg.Sources
	d.Mapping(v, append(d.schemes(sources), strictyaml.Fields{
		{"schemes", func(v strictyaml.Value) {
			d.List(&sources.TokenSchemes, grammar.TokenScheme)(v)
			d.reportTwice(v, sources.TokenSchemes, chars.LowerASCII)
			d.reportMany(v, sources.TokenSchemes)
		}},
		{"basic_key_usernames", d.List(&sources.BasicKeyUsers, validBasicUsername)},
		{"basic_key_as_username", d.Boolean(&sources.BasicKeyAsUser)},
		{"basic_charset", strictyaml.Choice(d.Decoder, &sources.BasicLatin1, basicCharsets)},
		{"header", d.names(&sources.Headers, "a header", grammar.CredentialHeader, chars.LowerASCII)},
		{"query", d.names(&sources.Query.Credential, "a parameter", grammar.QueryParameter, asWritten)},
		{"cookie", d.Checked(&sources.Cookie, grammar.Cookie)},
		{"websocket_protocol", d.Checked(&sources.Protocol, grammar.SubprotocolPrefix)},
		{"reserved_query", d.List(&sources.Query.Reserved, grammar.QueryParameter)},
	}...))
	for i, name := range sources.Headers {
		sources.Headers[i] = chars.LowerASCII(name)
	}
	if _, err := cfg.Identity(); err != nil && len(sources.Headers) > 0 {
		d.Report(lineOf(v.Node, "header"), "credentials.header: %v", err)
	}
	cfg.Passwords = sources.Schemes.Contains(authz.SchemeBasic)
	if cfg.Passwords && cfg.Users.File == "" {
		d.Report(lineOf(v.Node, "basic"), "credentials.basic: passwords need a users file; users.file names none")
	}
	sources.Schemes = sources.Schemes.With(authz.SchemeBasic, cfg.Passwords || sources.KeysInBasic())
	d.checkSources(v, cfg)
}

// schemes are the keys that enable a scheme of Authorization.
func (d *decoder) schemes(sources *authz.CredentialSources) (known strictyaml.Fields) {
	for _, scheme := range authz.CredentialSchemes() {
		if scheme.AuthScheme == "" {
			continue
		}
		known = append(known, strictyaml.Fields{{scheme.AuthScheme, func(v strictyaml.Value) {
			enabled := sources.Schemes.Contains(scheme.Scheme)
			d.Boolean(&enabled)(v)
			sources.Schemes = sources.Schemes.With(scheme.Scheme, enabled)
		}}}...)
	}
	return known
}

// basicCharsets are the values of basic_charset: whether Basic may be Latin-1.
var basicCharsets = map[string]bool{"utf-8": false, "iso-8859-1": true}

// checkSources reports settings that exclude each other, or have no effect.
func (d *decoder) checkSources(v strictyaml.Value, cfg *Config) {
	s := &cfg.Sources
	if cfg.Passwords && slices.Contains(s.BasicKeyUsers, authz.AnyUser) {
		d.Report(lineOf(v.Node, "basic_key_usernames"), "credentials.basic_key_usernames: with %q every password is a key, so that no user can log in with basic: true; name the user names whose password is a key", authz.AnyUser)
	}
	if s.BasicLatin1 && !s.Schemes.Contains(authz.SchemeBasic) {
		d.Report(lineOf(v.Node, "basic_charset"), "credentials.basic_charset: Basic is off, so this has no effect; set basic, basic_key_usernames or basic_key_as_username")
	}
	if !s.ReadsAuthorization() && len(s.Headers) == 0 && len(s.Query.Credential) == 0 && s.Cookie == "" && s.Protocol == "" {
		d.Warn(v.Line, "credentials: every place is off, so that no credential is ever found")
	}
}

// names reads a name, or a list of them; the empty text is none.
func (d *decoder) names(to *[]string, what string, check func(string) error, form func(string) string) strictyaml.Field {
	read := d.oneOrMore(to, what, check, form)
	return func(v strictyaml.Value) {
		if v.Kind == yaml.ScalarNode && v.ShortTag() == "!!str" && v.Value == "" {
			*to = nil
			return
		}
		read(v)
		d.reportMany(v, *to)
	}
}

// reportMany reports a list for which every request would be searched too long.
func (d *decoder) reportMany(v strictyaml.Value, names []string) {
	if len(names) > authz.MaxNames {
		d.Report(v.Line, "%s: more than %d names; every request is searched for each", v.Name, authz.MaxNames)
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
	if slices.Contains(grammar.ConnectionHeaders, chars.LowerASCII(name)) {
		d.Report(v.Line, "identity_headers: %s steers the connection and can't carry an identity", name)
		return
	}
	cfg.IdentityHeaders[name] = f
	if _, err := cfg.Identity(); err != nil {
		d.Report(v.Line, "identity_headers: %v", err)
		delete(cfg.IdentityHeaders, name)
	}
}

func validPrefix(prefix string) error { return apikey.ValidatePrefix(prefix) }

func validBasicUsername(name string) error {
	if name == "" || len(name) > 255 || strings.Contains(name, ":") {
		return errors.New(`a username is 1 to 255 bytes without a colon; "*" is any user name, and none`)
	}
	return nil
}
