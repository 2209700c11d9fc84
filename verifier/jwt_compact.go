package verifier

import (
	"encoding/base64"
	"strings"

	"keyward/authz"
	"keyward/strictjson"
)

// Limits of a token, in bytes and members.
const (
	maxJWT     = 8192
	maxHeader  = 4096 // decoded
	maxMembers = 128  // of the header, and of the claims
	maxDepth   = 16
	maxKeyID   = 255
)

// signedToken is a token in the compact serialization (RFC 7515 section 7.1), read but not believed.
type signedToken struct {
	header    joseHeader
	input     string // what was signed
	payload   []byte
	signature []byte
}

// joseHeader is what of a header says how to verify the token. jku, x5u, jwk
// and x5c are never read: a token does not say where its own key is.
type joseHeader struct {
	algorithm   string
	kid         string
	hasKid      bool
	accessToken bool // typ says at+jwt (RFC 9068 section 2.1)
}

// parseCompact reads three segments of base64url and the header in the first.
// golang-jwt's parser is not used for it: it would take line breaks in a
// segment, members named twice and text that is no UTF-8.
func parseCompact(text string) (signedToken, bool) {
	header, rest, _ := strings.Cut(text, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	// Go's strict decoder refuses all that is foreign but line breaks, and a third dot with it.
	if header == "" || payload == "" || signature == "" || strings.ContainsAny(text, "\r\n") {
		return signedToken{}, false
	}
	encoding := base64.RawURLEncoding.Strict()
	decoded := make([]byte, 0, encoding.DecodedLen(len(text)))
	var ends [3]int
	for i, segment := range [...]string{header, payload, signature} {
		var err error
		if decoded, err = encoding.AppendDecode(decoded, []byte(segment)); err != nil {
			return signedToken{}, false
		}
		ends[i] = len(decoded)
	}
	if ends[0] > maxHeader {
		return signedToken{}, false
	}
	parsed, ok := parseHeader(decoded[:ends[0]])
	return signedToken{
		header: parsed, input: text[:len(header)+1+len(payload)],
		payload: decoded[ends[0]:ends[1]], signature: decoded[ends[1]:],
	}, ok
}

// parseHeader reads a header and refuses what would change the meaning of the
// rest: extensions, another encoding, compression, nesting, another type.
func parseHeader(data []byte) (joseHeader, bool) {
	members, err := strictjson.Object(data, strictjson.Limits{Depth: maxDepth, Members: maxMembers})
	if err != nil {
		return joseHeader{}, false
	}
	_, crit := members["crit"] // no extension is understood here (RFC 7515 section 4.1.11)
	_, zip := members["zip"]
	if b64, set := members["b64"]; crit || zip || set && b64 != true || nests(members) {
		return joseHeader{}, false
	}
	var h joseHeader
	if h.algorithm, _ = members["alg"].(string); h.algorithm == "" {
		return joseHeader{}, false
	}
	if typ, set := members["typ"]; set {
		name, _ := typ.(string)
		switch authz.LowerASCII(name) {
		case "jwt":
		case "at+jwt", "application/at+jwt":
			h.accessToken = true
		default:
			return joseHeader{}, false // made for another purpose (RFC 8725 section 3.11)
		}
	}
	var kid any
	if kid, h.hasKid = members["kid"]; h.hasKid {
		h.kid, _ = kid.(string)
		if h.kid == "" || len(h.kid) > maxKeyID {
			return joseHeader{}, false
		}
	}
	return h, true
}

// nests tells whether cty says that the payload is a token itself (RFC 7519 section 5.2).
func nests(members map[string]any) bool {
	cty, set := members["cty"]
	name, isText := cty.(string)
	return set && (!isText || strings.Contains(authz.LowerASCII(name), "jwt"))
}
