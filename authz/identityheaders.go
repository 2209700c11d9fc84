package authz

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"keyward/chars"
)

// IdentityAttribute is a property of a principal that an identity header can
// carry.
type IdentityAttribute string

// The attributes.
const (
	AttributeSubject    IdentityAttribute = "subject"
	AttributeClientID   IdentityAttribute = "client_id"
	AttributeKeyID      IdentityAttribute = "key_id"
	AttributeKeyName    IdentityAttribute = "key_name"
	AttributeProject    IdentityAttribute = "project"
	AttributeScopes     IdentityAttribute = "scopes"
	AttributeAuthMethod IdentityAttribute = "method"
	AttributeIssuer     IdentityAttribute = "issuer"
	AttributeExpiresAt  IdentityAttribute = "expires_at"
)

// IdentityAttributes lists all attributes.
func IdentityAttributes() []IdentityAttribute {
	return []IdentityAttribute{AttributeSubject, AttributeClientID, AttributeKeyID, AttributeKeyName, AttributeProject, AttributeScopes, AttributeAuthMethod, AttributeIssuer, AttributeExpiresAt}
}

// IdentityHeaders are the headers that tell the upstream who the principal is.
// A header that a client sends under one of these names, or under a name that
// an upstream could take for one, never reaches the upstream.
type IdentityHeaders struct {
	headers   []identityHeader
	protected map[string]bool // collapsed names of identity headers, credential headers and overrides
}

type identityHeader struct {
	name      string
	attribute IdentityAttribute
}

// NewIdentityHeaders takes the names, in any case, and the attribute that each
// carries. The credential headers and the overrides are headers whose aliases
// must not reach the upstream either. The error names the offending header.
func NewIdentityHeaders(attributes map[string]IdentityAttribute, credentialHeaders, overrides []string) (*IdentityHeaders, error) {
	id := &IdentityHeaders{protected: map[string]bool{}}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if !IsUnambiguousName(name) {
			return nil, fmt.Errorf("header %q: letters, digits and hyphens only, or upstreams could take it for another", name)
		}
		if !slices.Contains(IdentityAttributes(), attributes[name]) {
			return nil, fmt.Errorf("header %s: %q is none of %v", name, attributes[name], IdentityAttributes())
		}
		collapsed := collapse(name)
		if id.protected[collapsed] {
			return nil, fmt.Errorf("header %s: an upstream could take it for another one of the list", name)
		}
		id.protected[collapsed] = true
		id.headers = append(id.headers, identityHeader{chars.LowerASCII(name), attributes[name]})
	}
	for _, name := range credentialHeaders {
		if !IsUnambiguousName(name) {
			return nil, fmt.Errorf("header %q: letters, digits and hyphens only, or upstreams could take another for it", name)
		}
		if id.protected[collapse(name)] {
			return nil, fmt.Errorf("header %s carries a credential and can't carry an identity; choose another header for one of them", name)
		}
	}
	for _, name := range credentialHeaders {
		id.protected[collapse(name)] = true
	}
	for _, name := range overrides {
		if id.protected[collapse(name)] {
			return nil, fmt.Errorf("header %s can carry neither credential nor identity: upstreams take a request's method or target from it (see upstream_overrides)", name)
		}
	}
	for _, name := range overrides {
		id.protected[collapse(name)] = true
	}
	return id, nil
}

// apply fills in the headers to set for the principal and those to remove:
// every identity header without a value, and every alias that the client sent. It
// reports whether the client sent cookies: one pass over the headers finds both.
func (id *IdentityHeaders) apply(p *Principal, r *Request) (cookies bool) {
	for _, h := range id.headers {
		if value := p.attribute(h.attribute); value != "" {
			r.set = append(r.set, Header{h.name, value})
		} else {
			r.remove = append(r.remove, h.name)
		}
	}
	for i := range r.Headers {
		switch name := r.Headers[i].Name; {
		case name == "cookie":
			cookies = true
		case id.isAlias(name):
			r.remove = append(r.remove, name)
		}
	}
	return cookies
}

// isAlias reports whether an upstream could take a name, in lower case, for a
// protected one.
func (id *IdentityHeaders) isAlias(name string) bool {
	return chars.AliasChars.Any(name) && id.protected[collapse(name)]
}

// collapse maps names that an upstream may confuse to one name. CGI-style
// upstreams turn every character that is not a letter or digit into an
// underscore (CVE-2026-54763: "_" for "-"; CVE-2026-88011: "." too).
func collapse(name string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case 'A' <= c && c <= 'Z':
			return c + 'a' - 'A'
		case c >= utf8.RuneSelf || chars.AliasChars.Is(byte(c)):
			return '-'
		default:
			return c
		}
	}, name)
}

// IsUnambiguousName reports whether a header name, in any case, is the only one
// that collapses to it.
func IsUnambiguousName(name string) bool {
	return name != "" && !chars.AliasChars.Any(chars.LowerASCII(name))
}

// attribute returns the attribute as a header value, "" if there is none.
func (p *Principal) attribute(f IdentityAttribute) string {
	switch f {
	case AttributeSubject:
		return headerValue(p.Subject())
	case AttributeClientID:
		return headerValue(p.ClientID)
	case AttributeKeyID:
		return headerValue(p.KeyID)
	case AttributeKeyName:
		return headerValue(p.KeyName)
	case AttributeProject:
		return headerValue(p.Project)
	case AttributeScopes:
		return p.Scopes.String()
	case AttributeAuthMethod:
		return p.AuthMethod.String()
	case AttributeIssuer:
		return headerValue(p.Issuer)
	case AttributeExpiresAt:
		if p.ExpiresAt.IsZero() {
			return ""
		}
		return p.ExpiresAt.UTC().Format(time.RFC3339)
	default:
		return ""
	}
}

// headerValue percent-encodes everything but visible ASCII, and also the comma,
// which joins values, and the percent sign, so that an upstream can decode the
// value. A raw control byte would make Envoy answer 500, and others split the
// header.
func headerValue(s string) string {
	if chars.HeaderSafe.All(s) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if chars.HeaderSafe.Is(s[i]) {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}
