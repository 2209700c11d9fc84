package tokensource

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"keyward/authz"
	"keyward/verifier"
	tokenclaims "keyward/verifier/claims"
	"keyward/verifier/strictjson"
)

const (
	maxClaim  = 255  // bytes of one text
	maxValues = 1000 // of an array
)

// parseTokenInfo reads an introspection response (RFC 7662 section 2.2). A
// known member of the wrong type makes the entire response an error. If the
// token is inactive, no other member is read.
func parseTokenInfo(body []byte) (*verifier.TokenInfo, error) {
	members, err := strictjson.Object(body, strictjson.Limits{Depth: 16, Members: 512})
	if err != nil {
		return nil, err
	}
	active, ok := members["active"].(bool)
	if !ok {
		return nil, errors.New("active is not a boolean")
	}
	if !active {
		return &verifier.TokenInfo{}, nil
	}
	c := claims{members: members}
	info := &verifier.TokenInfo{
		Active:  true,
		Subject: c.text("sub"), Username: c.text("username"), ClientID: c.text("client_id"),
		Issuer: c.text("iss"), JTI: c.text("jti"),
		Audience: c.texts("aud"), Scopes: c.scopes("scope"),
		TokenType: c.text("token_type"), Use: c.text("token_use"),
		ExpiresAt: c.time("exp"), IssuedAt: c.time("iat"), NotBefore: c.time("nbf"),
	}
	if info.Use == "" {
		info.Use = c.text("typ")
	}
	_, info.SenderConstrained = members["cnf"]
	if c.err != nil {
		return nil, c.err
	}
	return info, nil
}

// claims reads members by type and keeps the first error. An absent member is
// "", nil or the zero Time.
type claims struct {
	members map[string]any
	err     error
}

func (c *claims) wrong(name, want string) {
	if c.err == nil {
		c.err = fmt.Errorf("%s is not %s", name, want)
	}
}

const wantText = "text of at most 255 bytes without control characters"

func (c *claims) text(name string) string {
	value, there := c.members[name]
	if !there {
		return ""
	}
	text, ok := value.(string)
	if !ok || !isText(text) {
		c.wrong(name, wantText)
		return ""
	}
	return strings.Clone(text) // or the entire response would stay in memory with it
}

// isText reports whether a response may have the text at all. If it may not, the
// entire response is an error, and the token gets a 503. The claims that must be
// names are left to [verifier.Introspection], which refuses the token alone: a
// server may send an empty member, or an odd one that is not used.
func isText(text string) bool {
	return len(text) <= maxClaim && strings.IndexFunc(text, unicode.IsControl) < 0
}

// texts reads one text, or an array of them.
func (c *claims) texts(name string) []string {
	values, ok := c.members[name].([]any)
	if !ok {
		if text := c.text(name); text != "" {
			return []string{text}
		}
		return nil
	}
	if len(values) > maxValues {
		c.wrong(name, "short enough")
		return nil
	}
	texts := make([]string, 0, len(values))
	for _, value := range values {
		text, ok := value.(string)
		if !ok || !isText(text) {
			c.wrong(name, wantText)
			return nil
		}
		texts = append(texts, strings.Clone(text))
	}
	return texts
}

// scopes reads scopes separated by spaces (RFC 6749 section 3.3), or an array
// of scopes, as some servers send.
func (c *claims) scopes(name string) authz.Scopes {
	var names []string
	switch value := c.members[name].(type) {
	case string: // may be longer than a claim: the limit applies to each scope
		names = strings.FieldsFunc(strings.Clone(value), func(r rune) bool { return r == ' ' })
	default:
		names = c.texts(name)
	}
	if len(names) > maxValues {
		c.wrong(name, "short enough")
		return authz.Scopes{}
	}
	scopes, err := authz.ParseScopes(names)
	if err != nil {
		c.wrong(name, "scopes separated by spaces")
	}
	return scopes
}

// time reads a NumericDate (RFC 7519 section 2).
func (c *claims) time(name string) time.Time {
	value, there := c.members[name]
	if !there {
		return time.Time{}
	}
	date, ok := tokenclaims.ParseNumericDate(value)
	if !ok {
		c.wrong(name, "a time in seconds")
		return time.Time{}
	}
	return date
}
