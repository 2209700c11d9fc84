package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"keyward/apikey"
	"keyward/authz"
	"keyward/chars"
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
		{"schemes", d.List(&sources.TokenSchemes, validTokenScheme)},
		{"basic_key_usernames", d.List(&sources.BasicKeyUsers, validBasicUsername)},
		{"basic_key_as_username", d.Boolean(&sources.BasicKeyAsUser)},
		{"basic_charset", strictyaml.Choice(d.Decoder, &sources.BasicLatin1, basicCharsets)},
		{"header", func(v strictyaml.Value) { headers = v; d.names(&sources.Headers, validCredentialHeader)(v) }},
		{"query", d.names(&sources.Query.Credential, validParameter)},
		{"cookie", d.Checked(&sources.Cookie, validCookie)},
		{"websocket_protocol", d.Checked(&sources.Protocol, validProtocol)},
		{"reserved_query", d.List(&sources.Query.Reserved, validParameter)},
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
		var name string
		if d.Text(&name)(v); name == "" {
			*to = nil
			return
		}
		d.Checked(&name, check)(v)
		*to = []string{name}
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
		return errors.New(`a username is 1 to 255 bytes without a colon; "*" is any user name, and none`)
	}
	return nil
}

// proofSchemes are schemes of Authorization whose credentials are more than a
// secret by itself: signatures, proofs, exchanges of several messages.
var proofSchemes = []string{"aws4-hmac-sha256", "digest", "dpop", "gnap", "hawk", "hoba", "mutual", "negotiate", "ntlm", "oauth", "scram-sha-1", "scram-sha-256", "signature"}

// validTokenScheme accepts schemes that carry a key or a token, and nothing for
// a value without a scheme.
func validTokenScheme(name string) error {
	lower := chars.LowerASCII(name)
	switch {
	case name == "":
		return nil
	case lower == "bearer" || lower == "basic":
		return fmt.Errorf("%s is a key of its own: credentials.%s", name, lower)
	case slices.Contains(proofSchemes, lower):
		return fmt.Errorf("%s carries a signature or a proof, which is not checked here; a scheme that carries only a key or a token can stand here", name)
	case strings.HasSuffix(name, ":") || strings.Contains(name, " "):
		return fmt.Errorf("this is not a scheme; want a word, as Token is in `Authorization: Token …`")
	case !isWord(name, tokenMarks) || len(name) > 32:
		return errors.New("a scheme is 1 to 32 characters of a token (RFC 9110 section 5.6.2)")
	}
	return nil
}

// tokenMarks are the characters of a token (RFC 9110 section 5.6.2) that are
// neither letters nor digits.
const tokenMarks = "!#$%&'*+-.^_`|~"

func validCredentialHeader(name string) error {
	lower := chars.LowerASCII(name)
	switch {
	case name == "":
		return errors.New("a header needs a name")
	case !isWord(name, tokenMarks):
		return errors.New("this is not a header name")
	case lower == "authorization":
		return errors.New("the header Authorization is read for credentials.bearer, credentials.basic and credentials.schemes; `schemes: [\"\"]` is for a key without a scheme")
	case lower == "cookie":
		return errors.New("a cookie is named by credentials.cookie")
	case lower == "sec-websocket-protocol":
		return errors.New("a subprotocol that carries a credential is named by credentials.websocket_protocol")
	case slices.Contains(connectionHeaders, lower):
		return errors.New("this header has a meaning of its own and can't carry a key")
	case strings.Contains(name, "_"):
		return fmt.Errorf("proxies drop or refuse headers with an underscore, and upstreams can't tell %s from %s; have the proxy rename it to %[2]s (docs/proxies.md: A header with an underscore)", name, strings.ReplaceAll(name, "_", "-"))
	}
	return nil
}

func validCookie(name string) error {
	if name != "" && !isWord(name, tokenMarks) {
		return errors.New("this is not a cookie name")
	}
	return nil
}

// validParameter accepts names that have only one encoding: if a client could
// encode the name differently, the proxy could not remove the parameter.
func validParameter(name string) error {
	switch {
	case name == "":
		return errors.New("a query parameter needs a name")
	case strings.HasPrefix(name, "?") || strings.HasPrefix(name, "&") || strings.HasSuffix(name, "="):
		return fmt.Errorf("want the parameter's name alone: %s", strings.Trim(name, "?&="))
	case !isWord(name, "-._~"):
		return errors.New("a query parameter's name is of letters, digits and - . _ ~")
	}
	return nil
}

// validProtocol accepts what a subprotocol can begin with (RFC 6455 section
// 4.1). It ends with a mark, so that no other subprotocol begins so by chance.
func validProtocol(prefix string) error {
	switch {
	case prefix == "":
		return nil
	case strings.ContainsAny(prefix, ", "):
		return errors.New("want what one subprotocol begins with, as openai-insecure-api-key.; not a list")
	case !isWord(prefix, tokenMarks) || len(prefix) > 255:
		return errors.New("a subprotocol is 1 to 255 characters of a token (RFC 9110 section 5.6.2)")
	case isWord(prefix[len(prefix)-1:], ""):
		return fmt.Errorf("want what the subprotocol has before the key, with the mark at its end; do you mean %q?", prefix+".")
	}
	return nil
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
