// Package grammar checks the names that an operator gives to places of a
// request, and to types of tokens: schemes, headers, cookies, query parameters,
// subprotocols, values of typ. An error says what is wrong with the name and what
// to write instead. It decides nothing about requests.
package grammar

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"keyward/chars"
)

// ConnectionHeaders are those that proxies interpret themselves.
var ConnectionHeaders = []string{
	"connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
}

// proofSchemes are schemes of Authorization whose credentials are more than a
// secret by itself: signatures, proofs, exchanges of several messages.
var proofSchemes = []string{"aws4-hmac-sha256", "digest", "dpop", "gnap", "hawk", "hoba", "mutual", "negotiate", "ntlm", "oauth", "scram-sha-1", "scram-sha-256", "signature"}

// TokenScheme accepts schemes that carry a key or a token, and nothing for
// a value without a scheme.
func TokenScheme(name string) error {
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
	case !IsWord(name, chars.TokenMarks) || len(name) > 32:
		return errors.New("want 1 to 32 letters, digits and marks such as -, as ApiKey (a token of RFC 9110 section 5.6.2)")
	}
	return nil
}

// CredentialHeader accepts headers that may carry a credential.
func CredentialHeader(name string) error {
	lower := chars.LowerASCII(name)
	switch {
	case name == "":
		return errors.New("want the name of a header, as X-API-Key; [] is for none")
	case IsWord(strings.TrimRight(name, ": "), chars.TokenMarks) && !IsWord(name, chars.TokenMarks):
		return fmt.Errorf("want the header's name alone: %s", strings.TrimRight(name, ": "))
	case !IsWord(name, chars.TokenMarks):
		return errors.New("this is not a header name; want letters, digits and hyphens, as X-API-Key")
	case lower == "authorization":
		return errors.New("the header Authorization is read for credentials.bearer, credentials.basic and credentials.schemes; `schemes: [\"\"]` is for a key without a scheme")
	case lower == "cookie":
		return errors.New("a cookie is named by credentials.cookie")
	case lower == "sec-websocket-protocol":
		return errors.New("a subprotocol that carries a credential is named by credentials.websocket_protocol")
	case slices.Contains(ConnectionHeaders, lower):
		return errors.New("this header has a meaning of its own and can't carry a key; choose another, such as X-API-Key")
	case strings.Contains(name, "_"):
		return fmt.Errorf("proxies drop or refuse headers with an underscore, and upstreams can't tell %s from %s; have the proxy rename it to %[2]s (docs/proxies.md: A header with an underscore)", name, strings.ReplaceAll(name, "_", "-"))
	}
	return nil
}

// Cookie accepts the name of a cookie, and the empty text for none.
func Cookie(name string) error {
	if name != "" && !IsWord(name, chars.TokenMarks) {
		return errors.New("this is not a cookie name; want one of letters, digits, - and _, as session")
	}
	return nil
}

// QueryParameter accepts names that have only one encoding: if a client could
// encode the name differently, the proxy could not remove the parameter.
func QueryParameter(name string) error {
	switch {
	case name == "":
		return errors.New("want the name of a query parameter, as api_key; [] is for none")
	case strings.HasPrefix(name, "?") || strings.HasPrefix(name, "&") || strings.HasSuffix(name, "="):
		return fmt.Errorf("want the parameter's name alone: %s", strings.Trim(name, "?&="))
	case !IsWord(name, "-._~"):
		return errors.New("a query parameter's name is of letters, digits and - . _ ~")
	}
	return nil
}

// SubprotocolPrefix accepts what a subprotocol can begin with (RFC 6455 section
// 4.1). It ends with a mark, so that no other subprotocol begins so by chance.
func SubprotocolPrefix(prefix string) error {
	switch {
	case prefix == "":
		return nil
	case strings.ContainsAny(prefix, ", "):
		return errors.New("want what one subprotocol begins with, as openai-insecure-api-key.; not a list")
	case !IsWord(prefix, chars.TokenMarks) || len(prefix) > 255:
		return errors.New("want 1 to 255 letters, digits and marks such as . and -, as openai-insecure-api-key. (a token of RFC 9110 section 5.6.2)")
	case IsWord(prefix[len(prefix)-1:], ""):
		return fmt.Errorf("want what the subprotocol has before the key, with the mark at its end; do you mean %q?", prefix+".")
	}
	return nil
}

// IsWord reports whether s consists of ASCII letters, digits and the other
// characters given.
func IsWord(s, others string) bool {
	for i := range len(s) {
		if c := s[i]; !chars.Alphanumeric.Is(c) && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return s != ""
}
