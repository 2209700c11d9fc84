package authz

import (
	"encoding/base64"
	"strings"

	"keyward/authz/urlquery"
	"keyward/chars"
)

// OwnCookiePrefix is what the names of Keyward's own cookies begin with: those of the
// sessions of its console. No upstream gets them.
const OwnCookiePrefix = "__Host-keyward-"

// CredentialSources says where a request may carry a credential. Each place
// carries whatever Bearer does: an API key, a JWT, an opaque token. The zero
// value reads nothing.
type CredentialSources struct {
	Schemes SchemeSet // accepted in Authorization
	// TokenSchemes are further schemes of Authorization, which carry what Bearer
	// does; "" is a value without a scheme.
	TokenSchemes []string
	// BasicKeyUsers are the user names whose Basic password is an API key or a
	// token; AnyUser is every one, and none.
	BasicKeyUsers []string
	// BasicKeyAsUser means that a Basic user name without a password is an API key
	// or a token.
	BasicKeyAsUser bool
	// BasicLatin1 means that Basic credentials that are not valid UTF-8 are read
	// as ISO-8859-1.
	BasicLatin1 bool

	Headers []string // names, in lower case; MaxNames at most
	Cookie  string   // name of the cookie with a Bearer token; "" for none
	Session string   // name of the cookie with a session of the console; "" for none
	// Protocol is what an entry of Sec-WebSocket-Protocol begins with before a
	// credential; "" for none. After encodedProtocol it is base64url.
	Protocol string
	Query    urlquery.Names // of query parameters

	MaxBytes int // bound of a credential; 0 is 8192
}

// AnyUser stands for all user names in CredentialSources.BasicKeyUsers.
const AnyUser = "*"

// MaxNames bounds each list of names in CredentialSources.
const MaxNames = urlquery.MaxNames

// ReadsAuthorization reports whether Authorization may carry a credential. If
// not, it is left to the upstream.
func (s *CredentialSources) ReadsAuthorization() bool {
	return s.Schemes != 0 || len(s.TokenSchemes) > 0
}

// KeysInBasic reports whether Basic credentials may have an API key.
func (s *CredentialSources) KeysInBasic() bool { return s.BasicKeyAsUser || len(s.BasicKeyUsers) > 0 }

// read finds the request's credential and parses it into r. It refuses a
// request with more than one, even if they are valid or equal (RFC 6750 section
// 2: one method only).
func (s *CredentialSources) read(r *Request) Reason {
	found := s.find(r)
	switch {
	case found.count > 1 || found.doubled != 0:
		return AmbiguousCredential
	case found.count == 0:
		return NoCredential
	case found.reserved > 0:
		return AmbiguousCredential
	}
	c, reason := s.parse(found.in, found.value)
	if reason == OK {
		r.credential = c
	}
	return reason
}

// find returns what looks like a credential in the request.
func (s *CredentialSources) find(r *Request) (found candidates) {
	for i := range r.Headers {
		switch h := &r.Headers[i]; h.Name {
		case "authorization":
			if s.ReadsAuthorization() {
				found.add(inAuthorization, h.Value)
			}
		case "cookie":
			if s.Cookie != "" {
				found.addCookies(inCookie, h.Value, s.Cookie)
			}
			if s.Session != "" {
				found.addCookies(inSession, h.Value, s.Session)
			}
		case protocolHeader:
			if s.Protocol != "" {
				found.addProtocols(h.Value, s.Protocol)
			}
		default:
			for n, name := range s.Headers {
				if h.Name == name {
					found.add(inHeader+place(n), h.Value)
				}
			}
		}
	}
	if _, query, ok := strings.Cut(r.Target, "?"); ok {
		found.addQuery(s.Query.Read(query))
	}
	return found
}

// place is where a request can carry a credential. Each of the headers has its
// own place, from inHeader on.
type place uint8

const (
	inAuthorization place = iota
	inCookie
	inSession
	inProtocol
	inQuery
	inHeader
)

// parse parses the value of a place.
func (s *CredentialSources) parse(in place, value string) (Credential, Reason) {
	switch in {
	case inAuthorization:
		return s.parseAuthorization(value)
	case inCookie:
		return s.parseCookie(value)
	case inSession:
		return s.parseSession(value)
	case inProtocol:
		return s.parseProtocol(value)
	case inQuery:
		return s.parseParameter(value)
	default:
		return s.parseHeader(value)
	}
}

// candidates counts what looks like a credential, before any of it is parsed.
type candidates struct {
	seen     uint32 // bits of the places that are there, blank ones too
	valued   uint32 // of those with a value
	doubled  uint32 // of those that are there twice, or that servers could read differently
	count    int
	value    string
	in       place // place of value
	reserved int
}

// add records a value in a place that may carry a credential. A blank value
// does not count as a credential, but two values of one place are ambiguous
// even if one is blank: upstreams and proxies differ in which of the two they
// use, and some join them.
func (c *candidates) add(in place, value string) {
	c.doubled |= c.seen & (1 << in)
	c.seen |= 1 << in
	if isBlank(value) {
		return
	}
	c.valued |= 1 << in
	c.count++
	c.value, c.in = value, in
}

// addQuery records what the query has. A reserved parameter that occurs twice
// counts as a credential each time.
func (c *candidates) addQuery(found urlquery.Found) {
	if found.Ambiguous {
		c.doubled |= 1 << inQuery
	}
	if found.Count > 0 {
		c.valued |= 1 << inQuery
		c.count += found.Count
		c.value, c.in = found.Value, inQuery
	}
	if found.Reserved > 1 {
		c.count += found.Reserved
	}
	c.reserved = found.Reserved
}

// addCookies records the pairs of a Cookie line (RFC 6265 section 4.2.1) that
// have the name.
func (c *candidates) addCookies(in place, line, name string) {
	for pair := range strings.SplitSeq(line, ";") {
		if value, ok := cookieValue(pair, name); ok {
			c.add(in, value)
		}
	}
}

func cookieValue(pair, name string) (string, bool) {
	n, value, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
	return value, ok && strings.TrimRight(n, " \t") == name
}

// protocolHeader lists the subprotocols that a WebSocket client offers (RFC 6455
// section 11.3.4). Browsers can set no other header of a handshake, so their
// credentials are in it.
const protocolHeader = "sec-websocket-protocol"

// encodedProtocol is what a prefix begins with if a token in base64url follows
// it, since a subprotocol cannot have the "/" and "=" of a token68
// (kubernetes/kubernetes#47740).
const encodedProtocol = "base64url."

// addProtocols records the entries of a line of subprotocols that begin with the
// prefix. Servers differ in how they read an entry that is not a token (RFC 6455
// section 4.1), such as "chat;key.SECRET", so it is ambiguous.
func (c *candidates) addProtocols(line, prefix string) {
	for entry := range strings.SplitSeq(line, ",") {
		entry = strings.Trim(entry, " \t")
		if value, ok := strings.CutPrefix(entry, prefix); ok {
			c.add(inProtocol, value)
		} else if entry != "" && !isToken(entry) {
			c.doubled |= 1 << inProtocol
		}
	}
}

func (s *CredentialSources) parseProtocol(value string) (Credential, Reason) {
	if strings.HasPrefix(s.Protocol, encodedProtocol) {
		decoded, err := base64.RawURLEncoding.Strict().DecodeString(value)
		if err != nil || len(decoded) == 0 {
			return Credential{}, MalformedCredential
		}
		value = string(decoded)
	}
	return s.parseToken(value, SchemeBare)
}

// cutProtocols returns the request's subprotocols without those that begin with
// the prefix, or are not tokens, and whether there were any of these.
func cutProtocols(r *Request, prefix string) (rest string, found bool) {
	var kept []string
	for i := range r.Headers {
		if r.Headers[i].Name != protocolHeader {
			continue
		}
		for entry := range strings.SplitSeq(r.Headers[i].Value, ",") {
			entry = strings.Trim(entry, " \t")
			switch {
			case entry == "":
			case strings.HasPrefix(entry, prefix) || !isToken(entry):
				found = true
			default:
				kept = append(kept, entry)
			}
		}
	}
	return strings.Join(kept, ", "), found
}

// credentialHeaders returns the headers that may carry a credential, and nothing
// that the upstream needs: not cookies or WebSocket subprotocols, of which only
// one is a credential.
func (s *CredentialSources) credentialHeaders() []string {
	if s.ReadsAuthorization() {
		return append([]string{"authorization"}, s.Headers...)
	}
	return s.Headers
}

// cutCookies returns the request's cookies without those of that name, "" for none, and
// without Keyward's own, and whether there were any of these. It also drops pairs that
// are not legal text, since no proxy could set them.
func cutCookies(r *Request, name string) (rest string, found bool) {
	if name == "" && !hasOwnCookie(r) {
		return "", false
	}
	var kept []string
	for i := range r.Headers {
		if r.Headers[i].Name != "cookie" {
			continue
		}
		for pair := range strings.SplitSeq(r.Headers[i].Value, ";") {
			pair = strings.Trim(pair, " \t")
			_, credential := cookieValue(pair, name)
			if name != "" && credential || strings.HasPrefix(pair, OwnCookiePrefix) {
				found = true
			} else if pair != "" && chars.IsPlain(pair) {
				kept = append(kept, pair)
			}
		}
	}
	return strings.Join(kept, "; "), found
}

// hasOwnCookie reports whether the request may have a cookie of Keyward's own.
func hasOwnCookie(r *Request) bool {
	for i := range r.Headers {
		if r.Headers[i].Name == "cookie" && strings.Contains(r.Headers[i].Value, OwnCookiePrefix) {
			return true
		}
	}
	return false
}
