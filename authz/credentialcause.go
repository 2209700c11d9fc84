package authz

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"keyward/chars"
)

// The causes of a refused credential, for the operator. They name the setting
// that would accept it, and quote nothing of it.
var (
	errAuthorizationScheme = errors.New("the scheme of Authorization is not enabled: credentials.bearer, credentials.basic and credentials.schemes enable one")
	errNoScheme            = errors.New(`the value of Authorization has no scheme; credentials.schemes: [""] accepts a value without one`)
	errNotUTF8             = errors.New("the Basic credentials are not valid UTF-8; credentials.basic_charset: iso-8859-1 accepts Latin-1")
	errNoUser              = errors.New(`the Basic credentials have no user name; credentials.basic_key_usernames: ["*"] accepts a key as their password`)
	errQuotes              = errors.New("the credential has quotes around it")
	errNotToken68          = errors.New("the credential has a character that no key or token has (RFC 9110 token68)")
	errFixedTarget         = errors.New("a credential is in the query, and this proxy cannot remove it")
	errTwoInOne            = errors.New("the value has more than one credential, or has a comma or a semicolon in it")
	errReserved            = errors.New("a parameter of credentials.reserved_query is in the query, beside a credential or twice")
	errEncoded             = errors.New("a query parameter that carries a credential is there twice, or in a spelling that the proxy cannot remove")
)

// cause returns why the request's credential was refused, nil if the reason says
// all. It reads the request again: most requests do not get here.
func (s *CredentialSources) cause(r *Request, reason Reason) error {
	switch reason {
	case UnsupportedCredential:
		return errAuthorizationScheme
	case MalformedCredential:
		value := s.find(r).value
		if len(value[strings.LastIndexByte(value, ' ')+1:]) > s.maxBytes() {
			return fmt.Errorf("the credential is longer than %d bytes; max_token_bytes of an issuer allows longer tokens", s.maxBytes())
		}
		return s.malformed(r)
	case AmbiguousCredential:
		return s.ambiguous(r)
	default:
		return nil
	}
}

// malformed returns what is wrong with the only credential of the request.
func (s *CredentialSources) malformed(r *Request) error {
	value, lines := r.Header("authorization")
	if lines == 0 || isBlank(value) || !s.ReadsAuthorization() {
		return errNotToken68
	}
	scheme, rest, spaced := strings.Cut(strings.Trim(value, " \t"), " ")
	switch {
	case !spaced && authScheme(scheme) == nil:
		return errNoScheme
	case strings.ContainsAny(value, `"'`):
		return errQuotes
	case chars.EqualASCIIFold(scheme, "basic"):
		return basicCause(rest)
	default:
		return errNotToken68
	}
}

func basicCause(token string) error {
	decoded, err := base64.StdEncoding.DecodeString(strings.Trim(token, " "))
	switch {
	case err != nil:
		return errNotToken68
	case !utf8.Valid(decoded):
		return errNotUTF8
	case len(decoded) > 0 && decoded[0] == ':':
		return errNoUser
	default:
		return nil
	}
}

// ambiguous names the places that have a credential.
func (s *CredentialSources) ambiguous(r *Request) error {
	found := s.find(r)
	names := append([]string{"Authorization", "the cookie", "the session's cookie", "Sec-WebSocket-Protocol", "the query"}, s.Headers...)
	var places []string
	for in, name := range names {
		if found.seen&(1<<in) != 0 {
			places = append(places, name)
		}
	}
	switch {
	case len(places) > 1:
		return errors.New("a credential in each of several places: " + strings.Join(places, ", "))
	case found.reserved > 0:
		return errReserved
	case found.ambiguous && found.seen&(1<<inQuery) != 0:
		return errEncoded
	case found.ambiguous:
		return errors.New("a credential is given twice in " + strings.Join(places, ""))
	default:
		return errTwoInOne
	}
}
