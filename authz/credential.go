package authz

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

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

// Limits of a credential, in bytes.
const (
	maxCredential = 8192
	maxScheme     = 32
	maxUser       = 255
)

// parseAuthorization parses the value of an Authorization header: a scheme in
// ASCII, one or more spaces, and one token68 (RFC 9110 section 11.4). It
// returns OK, NoCredential for a blank value, or the reason to refuse.
func parseAuthorization(value string) (Credential, Reason) {
	// Almost all values have this form, which takes one pass.
	if token, ok := strings.CutPrefix(value, "Bearer "); ok && len(token) <= maxCredential && isToken68(token) {
		return Credential{Scheme: SchemeBearer, Secret: NewSecret(token)}, OK
	}
	value = strings.Trim(value, " \t")
	if value == "" {
		return Credential{}, NoCredential
	}
	scheme, _, spaced := strings.Cut(value[:min(len(value), maxScheme+1)], " ")
	if !isToken(scheme) || len(scheme) > maxScheme {
		return Credential{}, MalformedCredential
	}
	rest := strings.TrimLeft(value[len(scheme):], " ")
	if len(rest) > maxCredential || !chars.Printable.All(rest) {
		return Credential{}, MalformedCredential
	}
	row := authScheme(scheme)
	switch {
	case !spaced || rest == "":
		return Credential{}, MalformedCredential
	case row == nil:
		return Credential{}, UnsupportedCredential
	}
	c, reason := row.parse(rest)
	if word, _, _ := strings.Cut(rest, " "); reason != OK && authScheme(word) != nil {
		return Credential{}, AmbiguousCredential // two credentials in one value
	}
	return c, reason
}

// UsesBasicAuth reports whether the request has Basic credentials, well formed
// or not. Messages then speak of a user name and a password.
func (r *Request) UsesBasicAuth() bool {
	value, _ := r.Header("authorization")
	scheme, _, _ := strings.Cut(strings.Trim(value, " \t"), " ")
	return chars.EqualASCIIFold(scheme, "basic")
}

func parseBearer(token string) (Credential, Reason) {
	switch {
	case isToken68(token):
		return Credential{Scheme: SchemeBearer, Secret: NewSecret(token)}, OK
	case strings.ContainsAny(token, " ,;"):
		return Credential{}, AmbiguousCredential
	default:
		return Credential{}, MalformedCredential
	}
}

func parseBasic(token string) (Credential, Reason) {
	if strings.ContainsAny(token, ",;") {
		return Credential{}, AmbiguousCredential
	}
	// Strict refuses non-zero trailing bits. CR and LF, which Go's decoder
	// skips, were refused with the other control bytes.
	decoded, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil {
		return Credential{}, MalformedCredential
	}
	user, password, colon := strings.Cut(string(decoded), ":")
	if !colon || user == "" || len(user) > maxUser || !chars.IsPlain(user) || !chars.IsPlain(password) {
		return Credential{}, MalformedCredential
	}
	return Credential{Scheme: SchemeBasic, User: user, Secret: NewSecret(password)}, OK
}

// parseKey parses the value of an API key header or parameter.
func parseKey(value string) (Credential, Reason) {
	value = strings.Trim(value, " \t")
	switch {
	case value == "":
		return Credential{}, NoCredential
	case len(value) > maxCredential || !chars.Printable.All(value):
		return Credential{}, MalformedCredential
	case isToken68(value):
		return Credential{Scheme: SchemeAPIKey, Secret: NewSecret(value)}, OK
	case strings.ContainsAny(value, ",;"):
		return Credential{}, AmbiguousCredential
	default:
		return Credential{}, MalformedCredential
	}
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
		if c := s[i]; !chars.Alphanumeric.Is(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
