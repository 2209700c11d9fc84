package tokensource

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"keyward/authz"
	"keyward/verifier"
	"keyward/verifier/claims"
	"keyward/verifier/strictjson"
)

const (
	maxClaim  = 255  // bytes of one text
	maxValues = 1000 // of an array
)

// parseTokenInfo reads an introspection response (RFC 7662 section 2.2). A
// known member of the wrong type makes the entire response an error. If the
// token is inactive, no other member is read.
//
// Servers write the same thing in several ways, and those are accepted: null
// for an absent member, a number for an id, digits in a text for a time, time 0
// for no time, a list for scope. Only active is never lenient.
func parseTokenInfo(body []byte) (*verifier.TokenInfo, error) {
	members, err := strictjson.Object(withoutMark(body), strictjson.Limits{Depth: 16, Members: 512})
	if err != nil {
		return nil, notJSON(body, err)
	}
	active, ok := members["active"].(bool)
	if !ok {
		return nil, errors.New("active is not true or false: url must be an introspection endpoint (RFC 7662)")
	}
	if !active {
		return &verifier.TokenInfo{}, nil
	}
	m := memberReader{members: members}
	info := &verifier.TokenInfo{
		Active:  true,
		Subject: m.id("sub"), Username: m.id("username"), ClientID: m.id("client_id"),
		Issuer: m.text("iss"), JTI: m.id("jti"),
		Audience: m.audience("aud"), Scopes: m.scopes("scope"),
		TokenType: m.text("token_type"), Use: m.text("token_use"),
		ExpiresAt: m.time("exp"), IssuedAt: m.time("iat"), NotBefore: m.time("nbf"),
	}
	if info.Use == "" {
		info.Use = m.text("typ")
	}
	_, info.SenderConstrained = m.lookup("cnf")
	if m.err != nil {
		return nil, m.err
	}
	return info, nil
}

// memberReader reads members by type and keeps the first error. An absent member
// is "", nil or the zero Time.
type memberReader struct {
	members map[string]any
	err     error
}

// lookup returns a member. One that is null is absent: many servers write all
// members that they know.
func (m *memberReader) lookup(name string) (value any, there bool) {
	value = m.members[name]
	return value, value != nil
}

func (m *memberReader) wrong(name, want string) {
	if m.err == nil {
		m.err = fmt.Errorf("%s is not %s", name, want)
	}
}

const (
	wantText = "text of at most 255 bytes without control characters"
	wantID   = wantText + ", or a whole number from 0 to 2^53"
)

func (m *memberReader) text(name string) string {
	value, there := m.lookup(name)
	if !there {
		return ""
	}
	text, ok := value.(string)
	if !ok || !isText(text) {
		m.wrong(name, wantText)
		return ""
	}
	return strings.Clone(text) // or the entire response would stay in memory with it
}

// id reads a name that some servers have as a number.
func (m *memberReader) id(name string) string {
	value, there := m.lookup(name)
	if !there {
		return ""
	}
	id, ok := readID(value)
	if !ok {
		m.wrong(name, wantID)
	}
	return id
}

// readID returns the text of an id, or the decimal digits of a number up to 2^53.
func readID(value any) (id string, ok bool) {
	switch value := value.(type) {
	case string:
		if isText(value) {
			return strings.Clone(value), true
		}
	case json.Number:
		return claims.Name(value)
	}
	return "", false
}

// isText reports whether a response may have the text at all. If it may not, the
// entire response is an error, and the token gets a 503. The claims that must be
// names are left to [verifier.Introspection], which refuses the token alone: a
// server may send an empty member, or an odd one that is not used.
func isText(text string) bool {
	return len(text) <= maxClaim && strings.IndexFunc(text, unicode.IsControl) < 0
}

// audience reads one id, or an array of them.
func (m *memberReader) audience(name string) []string {
	values, isList := m.members[name].([]any)
	if !isList {
		if id := m.id(name); id != "" {
			return []string{id}
		}
		return nil
	}
	if len(values) > maxValues {
		m.wrong(name, "short enough")
		return nil
	}
	ids := make([]string, 0, len(values))
	for _, value := range values {
		id, ok := readID(value)
		if !ok {
			m.wrong(name, wantID)
			return nil
		}
		ids = append(ids, id)
	}
	return ids
}

// scopes reads scopes separated by spaces (RFC 6749 section 3.3), or an array
// of scopes, as some servers send. Empty names in the array are left out: some
// languages make one when they split an empty text.
func (m *memberReader) scopes(name string) authz.Scopes {
	const want = "scopes separated by spaces"
	var names []string
	switch value := m.members[name].(type) {
	case nil:
	case string: // may be longer than a claim: the limit applies to each scope
		names = strings.FieldsFunc(strings.Clone(value), func(r rune) bool { return r == ' ' })
	case []any:
		for _, each := range value {
			scope, ok := each.(string)
			if !ok {
				m.wrong(name, want)
			}
			if scope != "" {
				names = append(names, strings.Clone(scope))
			}
		}
	default:
		m.wrong(name, want)
	}
	if len(names) > maxValues {
		m.wrong(name, "short enough")
		return authz.Scopes{}
	}
	scopes, err := authz.ParseScopes(names)
	if err != nil {
		m.wrong(name, want)
	}
	return scopes
}

// maxDateDigits bounds a time in a text: the last second of the year 9999 has
// as many digits.
const maxDateDigits = 12

// time reads a NumericDate (RFC 7519 section 2), or its digits in a text. The
// time 0 means none: servers write it for a token without an end, and no token
// was issued then.
func (m *memberReader) time(name string) time.Time {
	value, there := m.lookup(name)
	if !there {
		return time.Time{}
	}
	if text, ok := value.(string); ok && isDecimal(text) {
		value = json.Number(text)
	}
	date, ok := claims.ParseNumericDate(value)
	if !ok {
		m.wrong(name, "a time in seconds since 1970, before the year 10000 (milliseconds are not)")
		return time.Time{}
	}
	if date.Equal(time.Unix(0, 0)) {
		return time.Time{}
	}
	return date
}

// isDecimal reports whether a text has the digits of a time, as JSON would
// write the number.
func isDecimal(text string) bool {
	n, err := strconv.ParseUint(text, 10, 64)
	return err == nil && len(text) <= maxDateDigits && strconv.FormatUint(n, 10) == text
}
