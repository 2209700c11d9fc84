package authz

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"keyward/authz/urlpath"
	"keyward/chars"
)

// Credential is what a request presents to be authenticated, parsed but not
// verified.
type Credential struct {
	Scheme CredentialScheme
	User   string     // with SchemeBasic
	Secret Secret     // token, password or key
	Client RawAddress // where it came from, for limits on guessing

	// request is set by Bind. A Credential and a Reason are returned in nine
	// registers, which is the maximum: another word would slow down every
	// check.
	request *Request
}

// Target is what a request is for: the method, and the target URI (RFC 9110
// section 7.1) without its query. A sender-constrained credential is bound to
// both (RFC 9449: htm and htu).
type Target struct{ Method, Scheme, Host, Path string }

// Bind binds the credential to the request that presents it.
func (c *Credential) Bind(r *Request) {
	c.request, c.Client = r, r.Client()
}

// Scratch returns memory in which a verifier may build a principal for this
// request alone. It returns nil before Bind. The memory is valid until the
// request is reset.
func (c *Credential) Scratch() *Principal {
	if c.request == nil {
		return nil
	}
	return &c.request.principal
}

// Target returns what the credential was presented for. It returns the zero
// Target before Bind.
func (c *Credential) Target() Target {
	r := c.request
	if r == nil {
		return Target{}
	}
	return Target{r.Method, r.Scheme, r.Host, r.PathAsSent()}
}

// Limits of a credential, in bytes. CredentialSources.MaxBytes may raise the
// first.
const (
	maxCredential = 8192
	maxScheme     = 32
	maxUser       = 255
)

// maxBytes returns the bound of a credential.
func (s *CredentialSources) maxBytes() int { return max(s.MaxBytes, maxCredential) }

// parseAuthorization parses the value of an Authorization header: a scheme in
// ASCII, one or more spaces, and one token68 (RFC 9110 section 11.4). It
// returns OK, NoCredential for a blank value, or the reason to refuse.
func (s *CredentialSources) parseAuthorization(value string) (Credential, Reason) {
	// Almost all values have this form, which takes one pass.
	if token, ok := strings.CutPrefix(value, "Bearer "); ok && s.Schemes.Contains(SchemeBearer) && len(token) <= maxCredential && isToken68(token) {
		return Credential{Scheme: SchemeBearer, Secret: NewSecret(token)}, OK
	}
	value = strings.Trim(value, " \t")
	if value == "" {
		return Credential{}, NoCredential
	}
	scheme, _, spaced := strings.Cut(value[:min(len(value), maxScheme+1)], " ")
	if !spaced && s.acceptsNoScheme() && authScheme(value) == nil && !s.isTokenScheme(value) {
		return s.parseToken(value, SchemeBearer)
	}
	if !isToken(scheme) || len(scheme) > maxScheme {
		return Credential{}, MalformedCredential
	}
	rest := strings.TrimLeft(value[len(scheme):], " ")
	if len(rest) > s.maxBytes() || !chars.Printable.All(rest) {
		return Credential{}, MalformedCredential
	}
	row := authScheme(scheme)
	if row == nil && s.isTokenScheme(scheme) {
		row = &credentialSchemes[SchemeBearer]
	}
	switch {
	case !spaced || rest == "":
		return Credential{}, MalformedCredential
	case row == nil:
		return Credential{}, UnsupportedCredential
	}
	c, reason := row.parse(s, rest)
	word, _, _ := strings.Cut(rest, " ")
	switch {
	case reason != OK && (authScheme(word) != nil || s.isTokenScheme(word)):
		return Credential{}, AmbiguousCredential // two credentials in one value
	case reason == OK && !s.Schemes.Contains(row.Scheme) && !s.isTokenScheme(scheme):
		return Credential{}, UnsupportedCredential
	}
	return c, reason
}

// isTokenScheme reports whether the name, in any case, is one of TokenSchemes.
func (s *CredentialSources) isTokenScheme(name string) bool {
	return name != "" && slices.ContainsFunc(s.TokenSchemes, func(own string) bool { return chars.EqualASCIIFold(name, own) })
}

// acceptsNoScheme reports whether Authorization may have a value without a scheme.
func (s *CredentialSources) acceptsNoScheme() bool { return slices.Contains(s.TokenSchemes, "") }

// UsesBasicAuth reports whether the request has Basic credentials, well formed
// or not. Messages then speak of a user name and a password.
func (r *Request) UsesBasicAuth() bool {
	value, _ := r.Header("authorization")
	scheme, _, _ := strings.Cut(strings.Trim(value, " \t"), " ")
	return chars.EqualASCIIFold(scheme, "basic")
}

func (s *CredentialSources) parseBearer(token string) (Credential, Reason) {
	switch {
	case isToken68(token):
		return Credential{Scheme: SchemeBearer, Secret: NewSecret(token)}, OK
	case strings.ContainsAny(token, " ,;"):
		return Credential{}, AmbiguousCredential
	default:
		return Credential{}, MalformedCredential
	}
}

func (s *CredentialSources) parseBasic(token string) (Credential, Reason) {
	if strings.ContainsAny(token, ",;") {
		return Credential{}, AmbiguousCredential
	}
	// Strict refuses non-zero trailing bits. CR and LF, which Go's decoder
	// skips, were refused with the other control bytes.
	decoded, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil {
		return Credential{}, MalformedCredential
	}
	if s.BasicLatin1 && !utf8.Valid(decoded) {
		decoded = fromLatin1(decoded)
	}
	user, password, colon := strings.Cut(string(decoded), ":")
	if !colon || !chars.IsPlain(user) || !chars.IsPlain(password) {
		return Credential{}, MalformedCredential
	}
	switch {
	case s.BasicKeyAsUser && user != "" && (password == "" || password == noPassword):
		return Credential{Scheme: SchemeBare, Secret: NewSecret(user)}, OK
	case slices.Contains(s.BasicKeyUsers, user), slices.Contains(s.BasicKeyUsers, AnyUser):
		if password == "" {
			return Credential{}, MalformedCredential
		}
		return Credential{Scheme: SchemeBare, Secret: NewSecret(password)}, OK
	case user == "" || len(user) > maxUser:
		return Credential{}, MalformedCredential
	}
	return Credential{Scheme: SchemeBasic, User: user, Secret: NewSecret(password)}, OK
}

// noPassword is what GitHub's clients send as the password of a user name that
// is a token.
const noPassword = "x-oauth-basic"

// fromLatin1 returns a text of ISO-8859-1 as UTF-8.
func fromLatin1(text []byte) []byte {
	converted := make([]byte, 0, 2*len(text))
	for _, b := range text {
		converted = utf8.AppendRune(converted, rune(b))
	}
	return converted
}

// parseToken parses an API key or a token that stands by itself.
func (s *CredentialSources) parseToken(value string, scheme CredentialScheme) (Credential, Reason) {
	switch {
	case value == "":
		return Credential{}, NoCredential
	case len(value) > s.maxBytes() || !chars.Printable.All(value):
		return Credential{}, MalformedCredential
	case isToken68(value):
		return Credential{Scheme: scheme, Secret: NewSecret(value)}, OK
	case strings.ContainsAny(value, ",;"):
		return Credential{}, AmbiguousCredential
	default:
		return Credential{}, MalformedCredential
	}
}

// parseHeader parses the value of a header of its own. Some clients write the
// scheme there too.
func (s *CredentialSources) parseHeader(value string) (Credential, Reason) {
	value = strings.Trim(value, " \t")
	if scheme, rest, spaced := strings.Cut(value, " "); spaced && chars.EqualASCIIFold(scheme, "bearer") {
		value = strings.TrimLeft(rest, " ")
	}
	return s.parseToken(value, SchemeBare)
}

// parseParameter parses the value of a query parameter, which clients may send
// encoded. The "+" stands for itself: keys in base64 have it, and none has a
// space.
func (s *CredentialSources) parseParameter(value string) (Credential, Reason) {
	if strings.Contains(value, "%") {
		if value = urlpath.DecodeOnce(value); isBlank(value) {
			return Credential{}, MalformedCredential
		}
		return s.parseToken(value, SchemeBare)
	}
	return s.parseToken(strings.Trim(value, " \t"), SchemeBare)
}

func (s *CredentialSources) parseCookie(value string) (Credential, Reason) {
	if len(value) > s.maxBytes() || !chars.Printable.All(value) {
		return Credential{}, MalformedCredential
	}
	return s.parseBearer(value)
}

// parseSession parses the value of a session's cookie, which is never a key or a
// token: each verifier sees its own scheme.
func (s *CredentialSources) parseSession(value string) (Credential, Reason) {
	c, reason := s.parseCookie(value)
	if reason == OK {
		c.Scheme = SchemeSession
	}
	return c, reason
}

// CheckKey returns an error if no request can carry the text as an API key, in
// any place. inBasic means that the key may also be the password of Basic
// credentials, which allows other characters. The error does not quote the
// text.
func CheckKey(key string, inBasic bool) error {
	const user = "k:" // the shortest possible prefix of a password
	switch {
	case key == "":
		return errors.New("it is empty")
	case len(key) > maxCredential || inBasic && !isToken68(key) && base64.StdEncoding.EncodedLen(len(user)+len(key)) > maxCredential:
		return fmt.Errorf("it is longer than a request can carry: %d bytes", maxCredential)
	case isToken68(key) || inBasic && chars.IsPlain(key):
		return nil
	case strings.ContainsAny(key, " \t"):
		return errors.New("it has a space or a tab")
	case strings.ContainsFunc(key, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return errors.New("it has a control character")
	case !chars.Printable.All(key):
		return errors.New("it has a character that is not ASCII")
	case strings.ContainsAny(key, ",;"):
		return errors.New("it has a comma or a semicolon, as a row of a table has")
	default:
		return errors.New("it has a character other than A-Z, a-z, 0-9, - . _ ~ + / and = at the end (RFC 9110 token68)")
	}
}

// isBlank reports whether the value consists of spaces and tabs only.
func isBlank(value string) bool {
	for i := range len(value) {
		if value[i] != ' ' && value[i] != '\t' {
			return false
		}
	}
	return true
}

// isToken68 reports whether s matches the token68 rule of RFC 9110 section
// 11.2.
func isToken68(s string) bool {
	end := len(s)
	for end > 0 && s[end-1] == '=' {
		end--
	}
	return end > 0 && chars.Token68.All(s[:end])
}

// isToken reports whether s matches the token rule of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; !chars.Alphanumeric.Is(c) && strings.IndexByte(chars.TokenMarks, c) < 0 {
			return false
		}
	}
	return s != ""
}
