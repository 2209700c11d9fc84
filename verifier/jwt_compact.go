package verifier

import (
	"encoding/base64"
	"strings"

	"keyward/chars"
	"keyward/verifier/claims"
	"keyward/verifier/strictjson"
)

// Limits of a token, in bytes and members. That of the token itself is
// JWTIssuer.MaxBytes.
const (
	maxHeader  = 4096 // decoded
	maxMembers = 128  // of the header, and of the claims
	maxDepth   = 16
	maxKeyID   = 255
)

var tokenLimits = strictjson.Limits{Depth: maxDepth, Members: maxMembers}

// signedToken is a token in the compact serialization (RFC 7515 section 7.1),
// parsed in outline and not verified. The nested parts of its header and claims
// are parsed once the signature is verified: see strict.
type signedToken struct {
	header    joseHeader
	claims    map[string]any // the payload in outline
	input     string         // what was signed
	signature []byte

	rawHeader, rawPayload []byte
}

// joseHeader is the part of a header that says how to verify the token. jku,
// x5u, jwk and x5c are never read: a token does not choose its own key.
type joseHeader struct {
	algorithm string
	kid       string
	hasKid    bool
	typ       string // see claims.MediaType; "": none
}

var causeForm = &Cause{RuleForm, "three segments of base64url without padding, the header at most 4096 bytes", "another form"}

func causeJSON(rule Rule, err error) *Cause {
	return &Cause{Rule: rule, Want: "strict JSON: " + err.Error()}
}

// parseCompact parses a token in outline.
func parseCompact(text string) (signedToken, *Cause) {
	s, cause := parseSegments(text)
	if cause != nil {
		return signedToken{}, cause
	}
	var err error
	if s.claims, err = strictjson.Outline(s.rawPayload, tokenLimits); err != nil {
		return signedToken{}, causeJSON(RulePayload, err)
	}
	return s, nil
}

// parseSegments decodes the three base64url segments, and parses the header.
// golang-jwt's parser is not used, since it would accept line breaks in a
// segment, duplicate members and text that is not valid UTF-8.
func parseSegments(text string) (signedToken, *Cause) {
	header, rest, _ := strings.Cut(text, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	// Go's strict decoder refuses every other character except line breaks, so
	// it also refuses a third dot.
	if header == "" || payload == "" || signature == "" || strings.ContainsAny(text, "\r\n") {
		return signedToken{}, causeForm
	}
	encoding := base64.RawURLEncoding.Strict()
	decoded := make([]byte, 0, encoding.DecodedLen(len(text)))
	var ends [3]int
	for i, segment := range [...]string{header, payload, signature} {
		var err error
		if decoded, err = encoding.AppendDecode(decoded, []byte(segment)); err != nil {
			return signedToken{}, causeForm
		}
		ends[i] = len(decoded)
	}
	if ends[0] > maxHeader {
		return signedToken{}, causeForm
	}
	s := signedToken{
		input: text[:len(header)+1+len(payload)], signature: decoded[ends[1]:],
		rawHeader: decoded[:ends[0]], rawPayload: decoded[ends[0]:ends[1]],
	}
	var cause *Cause
	s.header, cause = parseHeader(s.rawHeader)
	return s, cause
}

// strict parses all claims and the entire header: a nested value in either must
// not have different meanings for different readers.
func (s *signedToken) strict() (map[string]any, *Cause) {
	if _, err := strictjson.Object(s.rawHeader, tokenLimits); err != nil {
		return nil, causeJSON(RuleHeader, err)
	}
	members, err := strictjson.Object(s.rawPayload, tokenLimits)
	if err != nil {
		return nil, causeJSON(RulePayload, err)
	}
	return members, nil
}

// parseHeader parses a header and refuses what would change the meaning of the
// rest: extensions, another encoding, compression, nesting.
func parseHeader(data []byte) (joseHeader, *Cause) {
	members, err := strictjson.Outline(data, tokenLimits)
	if err != nil {
		return joseHeader{}, causeJSON(RuleHeader, err)
	}
	if cause := checkExtensions(members); cause != nil {
		return joseHeader{}, cause
	}
	var h joseHeader
	if h.algorithm, _ = members["alg"].(string); h.algorithm == "" {
		return joseHeader{}, &Cause{RuleAlg, "the name of an algorithm", jsonType(members, "alg")}
	}
	if typ, set := members["typ"]; set {
		name, _ := typ.(string)
		if h.typ = claims.MediaType(name); h.typ == "" {
			return joseHeader{}, &Cause{RuleTyp, "the name of a type, or none", jsonType(members, "typ")}
		}
	}
	if _, h.hasKid = members["kid"]; h.hasKid {
		h.kid, _ = members["kid"].(string)
		if h.kid == "" || len(h.kid) > maxKeyID {
			return joseHeader{}, &Cause{RuleKid, "a text of 1 to 255 bytes", jsonType(members, "kid")}
		}
	}
	return h, nil
}

// checkExtensions refuses a header of anything but a plain JWS: no extension is
// supported (RFC 7515 section 4.1.11), and the payload is base64url,
// uncompressed, and not itself a token (RFC 7519 section 5.2).
func checkExtensions(members map[string]any) *Cause {
	if _, set := members["crit"]; set {
		return &Cause{RuleCrit, "none", jsonType(members, "crit")}
	}
	if _, set := members["zip"]; set {
		return &Cause{RuleZip, "none", jsonType(members, "zip")}
	}
	if b64, set := members["b64"]; set && b64 != true {
		return &Cause{RuleB64, "none, or true", jsonType(members, "b64")}
	}
	cty, set := members["cty"]
	if name, isText := cty.(string); set && (!isText || strings.Contains(chars.LowerASCII(name), "jwt")) {
		return &Cause{RuleCty, "none, or a type that is not a token", jsonType(members, "cty")}
	}
	return nil
}
