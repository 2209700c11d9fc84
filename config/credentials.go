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
	var basic, headers strictyaml.Value
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
		{"schemes", d.List(&sources.TokenSchemes, grammar.TokenScheme)},
		{"basic_key_usernames", d.List(&sources.BasicKeyUsers, validBasicUsername)},
		{"basic_key_as_username", d.Boolean(&sources.BasicKeyAsUser)},
		{"basic_charset", strictyaml.Choice(d.Decoder, &sources.BasicLatin1, basicCharsets)},
		{"header", func(v strictyaml.Value) { headers = v; d.names(&sources.Headers, grammar.CredentialHeader)(v) }},
		{"query", d.names(&sources.Query.Credential, grammar.QueryParameter)},
		{"cookie", d.Checked(&sources.Cookie, grammar.Cookie)},
		{"websocket_protocol", d.Checked(&sources.Protocol, grammar.SubprotocolPrefix)},
		{"reserved_query", d.List(&sources.Query.Reserved, grammar.QueryParameter)},
	}...))
	for i, name := range sources.Headers {
		sources.Headers[i] = chars.LowerASCII(name)
	}
	if _, err := cfg.Identity(); err != nil && headers.Node != nil {
		d.Refuse(headers, err)
	}
	cfg.Passwords = sources.Schemes.Contains(authz.SchemeBasic)
	if cfg.Passwords && cfg.Users.File == "" {
		d.Report(basic.Line, "%s: passwords need a users file; users.file names none", basic.Name)
	}
	sources.Schemes = sources.Schemes.With(authz.SchemeBasic, cfg.Passwords || sources.KeysInBasic())
	d.checkSources(v, cfg)
}

// basicCharsets are the values of basic_charset: whether Basic may be Latin-1.
var basicCharsets = map[string]bool{"utf-8": false, "iso-8859-1": true}

// checkSources reports settings that exclude each other, or have no effect.
func (d *decoder) checkSources(v strictyaml.Value, cfg *Config) {
	s := &cfg.Sources
	if cfg.Passwords && slices.Contains(s.BasicKeyUsers, authz.AnyUser) {
		d.Report(v.Line, "credentials.basic_key_usernames: with %q every password is a key, so that no user can log in with basic: true; name the user names whose password is a key", authz.AnyUser)
	}
	if s.BasicLatin1 && !s.Schemes.Contains(authz.SchemeBasic) {
		d.Report(v.Line, "credentials.basic_charset: Basic is off, so this has no effect; set basic, basic_key_usernames or basic_key_as_username")
	}
	for _, names := range []struct {
		key  string
		list []string
	}{{"schemes", s.TokenSchemes}, {"header", s.Headers}, {"query", s.Query.Credential}} {
		if again := repeated(names.list); again != "" {
			d.Report(v.Line, "credentials.%s: %q is in the list twice", names.key, again)
		}
		if len(names.list) > authz.MaxNames {
			d.Report(v.Line, "credentials.%s: more than %d names; every request is searched for each", names.key, authz.MaxNames)
		}
	}
	if !s.ReadsAuthorization() && len(s.Headers) == 0 && len(s.Query.Credential) == 0 && s.Cookie == "" && s.Protocol == "" {
		d.Warn(v.Line, "credentials: every place is off, so that no credential is ever found")
	}
}

// repeated returns the first name that is in the list twice, in any case, or "".
func repeated(names []string) string {
	for i, name := range names {
		if name != "" && slices.ContainsFunc(names[:i], func(before string) bool { return chars.EqualASCIIFold(before, name) }) {
			return name
		}
	}
	return ""
}

// names reads a name, or a list of them; the empty text is none.
func (d *decoder) names(to *[]string, check func(string) error) strictyaml.Field {
	return func(v strictyaml.Value) {
		if v.Kind == yaml.SequenceNode {
			d.List(to, check)(v)
			*to = slices.DeleteFunc(*to, func(name string) bool { return name == "" }) // which were refused
			return
		}
		*to = nil
		text, checked := "", ""
		if d.Text(&text)(v); text == "" {
			return
		}
		if d.Checked(&checked, check)(v); checked != "" {
			*to = []string{checked}
		}
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
