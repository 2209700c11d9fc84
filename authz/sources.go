package authz

import (
	"strings"

	"keyward/authz/urlpath"
	"keyward/chars"
)

// OwnCookiePrefix is what the names of Keyward's own cookies begin with: those of the
// sessions of its console. No upstream gets them.
const OwnCookiePrefix = "__Host-keyward-"

// CredentialSources says where a request may carry a credential. The zero value
// reads only Authorization and accepts no scheme.
type CredentialSources struct {
	Schemes SchemeSet // accepted in Authorization
	Header  string    // name of the API key header, lower case; "" for none
	Cookie  string    // name of the cookie with a Bearer token; "" for none
	Session string    // name of the cookie with a session of the console; "" for none
	Query   string    // name of the query parameter; "" for none

	// Reserved are query parameters that do not carry a credential. If one
	// comes along with a credential, or twice, it is unclear which one the
	// upstream would use.
	Reserved []string

	MaxBytes int // of a credential; 0: 8192
}

// read finds the request's credential and parses it into r. It refuses a
// request with more than one, even if they are valid or equal (RFC 6750 section
// 2: one method only).
func (s *CredentialSources) read(r *Request) Reason {
	found := candidates{}
	for i := range r.Headers {
		switch h := &r.Headers[i]; h.Name {
		case "authorization":
			found.add(inAuthorization, h.Value, parseAuthorization)
		case "cookie":
			if s.Cookie != "" {
				found.addCookies(h.Value, s.Cookie, parseCookie)
			}
			if s.Session != "" {
				found.addCookies(h.Value, s.Session, parseSession)
			}
		default:
			if h.Name == s.Header && s.Header != "" {
				found.add(inHeader, h.Value, parseKey)
			}
		}
	}
	if _, query, ok := strings.Cut(r.Target, "?"); ok {
		s.readQuery(query, &found)
	}
	switch {
	case found.count > 1 || found.ambiguous:
		return AmbiguousCredential
	case found.count == 0:
		return NoCredential
	case found.reserved > 0:
		return AmbiguousCredential
	}
	c, reason := found.parse(found.value)
	if reason != OK {
		return reason
	}
	if found.in == inAuthorization && !s.Schemes.Contains(c.Scheme) {
		return UnsupportedCredential
	}
	r.credential = c
	return OK
}

// place is where a request can carry a credential.
type place uint8

const (
	inAuthorization place = iota
	inHeader
	inCookie
	inQuery
	placeCount
)

// candidates counts what looks like a credential, before any of it is parsed.
type candidates struct {
	seen      [placeCount]bool
	count     int
	value     string
	parse     func(string) (Credential, Reason)
	in        place // place of value
	reserved  int
	ambiguous bool
}

// add records a value in a place that may carry a credential. A blank value
// does not count as a credential, but two values of one place are ambiguous
// even if one is blank: upstreams and proxies differ in which of the two they
// use, and some join them.
func (c *candidates) add(in place, value string, parse func(string) (Credential, Reason)) {
	c.ambiguous = c.ambiguous || c.seen[in]
	c.seen[in] = true
	if isBlank(value) {
		return
	}
	c.count++
	c.value, c.parse, c.in = value, parse, in
}

// addCookies records the pairs of a Cookie line (RFC 6265 section 4.2.1) that
// have the name.
func (c *candidates) addCookies(line, name string, parse func(string) (Credential, Reason)) {
	for pair := range strings.SplitSeq(line, ";") {
		if value, ok := cookieValue(pair, name); ok {
			c.add(inCookie, value, parse)
		}
	}
}

func cookieValue(pair, name string) (string, bool) {
	n, value, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
	return value, ok && strings.TrimRight(n, " \t") == name
}

func parseCookie(value string) (Credential, Reason) {
	if len(value) > maxCredential || !chars.Printable.All(value) {
		return Credential{}, MalformedCredential
	}
	return parseBearer(value)
}

// parseSession parses the value of a session's cookie, which is never a key or a
// token: each verifier sees its own scheme.
func parseSession(value string) (Credential, Reason) {
	c, reason := parseCookie(value)
	if reason == OK {
		c.Scheme = SchemeSession
	}
	return c, reason
}

// readQuery records credential and reserved parameters. Only some servers
// recognize a name that is encoded or separated by a semicolon, and the proxy
// could not remove it. Such a request is refused.
func (s *CredentialSources) readQuery(query string, found *candidates) {
	reserved := 0
	for more := true; more; {
		var pair string
		pair, query, more = strings.Cut(query, "&")
		name, value, _ := strings.Cut(pair, "=")
		switch {
		case s.Query != "" && name == s.Query && !strings.Contains(value, ";"):
			found.add(inQuery, value, parseKey)
		case s.isReserved(name) && !strings.Contains(value, ";"):
			reserved++
		case chars.EncodedForms.Any(pair):
			s.readEncodedParams(pair, found, &reserved)
		}
	}
	if reserved > 1 {
		found.count += reserved
	}
	found.reserved = reserved
}

func (s *CredentialSources) readEncodedParams(pair string, found *candidates, reserved *int) {
	for part := range strings.SplitSeq(pair, ";") {
		name, _, _ := strings.Cut(part, "=")
		name = strings.Trim(urlpath.DecodeOnce(name), " +")
		if s.Query != "" && name == s.Query {
			found.count++
			found.ambiguous = true
		} else if s.isReserved(name) {
			*reserved++
		}
	}
}

// encodedInQuery reports whether the target has the credential's query
// parameter in a spelling that no proxy can remove.
func (s *CredentialSources) encodedInQuery(target string) bool {
	_, query, _ := strings.Cut(target, "?")
	if s.Query == "" || !chars.EncodedForms.Any(query) {
		return false
	}
	var found candidates
	s.readQuery(query, &found)
	return found.ambiguous
}

func (s *CredentialSources) isReserved(name string) bool {
	for _, r := range s.Reserved {
		if name == r && name != s.Query {
			return true
		}
	}
	return false
}

// credentialHeaders returns the headers that may carry a credential. The cookie
// header is not included, since only one of its pairs is a credential.
func (s *CredentialSources) credentialHeaders() []string {
	if s.Header != "" {
		return []string{"authorization", s.Header}
	}
	return []string{"authorization"}
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

// inQuery reports whether the target has the credential's query parameter.
func (s *CredentialSources) inQuery(target string) bool {
	if s.Query == "" {
		return false
	}
	_, query, _ := strings.Cut(target, "?")
	for pair := range strings.SplitSeq(query, "&") {
		if name, _, _ := strings.Cut(pair, "="); name == s.Query {
			return true
		}
	}
	return false
}
