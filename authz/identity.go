package authz

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Field is a fact about a principal that an identity header can carry.
type Field string

// The fields.
const (
	FieldSubject   Field = "subject"
	FieldClientID  Field = "client_id"
	FieldKeyID     Field = "key_id"
	FieldKeyName   Field = "key_name"
	FieldProject   Field = "project"
	FieldScopes    Field = "scopes"
	FieldMethod    Field = "method"
	FieldIssuer    Field = "issuer"
	FieldExpiresAt Field = "expires_at"
)

// Fields lists them all.
func Fields() []Field {
	return []Field{FieldSubject, FieldClientID, FieldKeyID, FieldKeyName, FieldProject, FieldScopes, FieldMethod, FieldIssuer, FieldExpiresAt}
}

// Identity is the set of headers that tell the upstream who asks. What a
// client sends under one of these names, or under one that an upstream could
// take for it, never gets through.
type Identity struct {
	headers   []identityHeader
	protected map[string]bool // collapsed names of identity headers, credential carriers and overrides
}

type identityHeader struct {
	name  string
	field Field
}

// NewIdentity takes the names, in any case, and what each carries. The
// carriers and the overrides are headers whose aliases must not get through either.
func NewIdentity(fields map[string]Field, carriers, overrides []string) (*Identity, error) {
	id := &Identity{protected: map[string]bool{}}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !IsPlainName(name) {
			return nil, fmt.Errorf("header %q: letters, digits and hyphens only, or upstreams could take it for another", name)
		}
		if !slices.Contains(Fields(), fields[name]) {
			return nil, fmt.Errorf("header %s: %q is none of %v", name, fields[name], Fields())
		}
		collapsed := collapse(name)
		if id.protected[collapsed] {
			return nil, fmt.Errorf("header %s: an upstream could take it for another one of the list", name)
		}
		id.protected[collapsed] = true
		id.headers = append(id.headers, identityHeader{LowerASCII(name), fields[name]})
	}
	for _, name := range carriers {
		if !IsPlainName(name) {
			return nil, fmt.Errorf("header %q: letters, digits and hyphens only, or upstreams could take another for it", name)
		}
		if id.protected[collapse(name)] {
			return nil, fmt.Errorf("header %s carries a credential and can't carry an identity", name)
		}
	}
	for _, name := range carriers {
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

// apply fills in what to set for the principal and what to remove: every
// identity header it has no value for, and every alias the client sent.
func (id *Identity) apply(p *Principal, r *Request) {
	for _, h := range id.headers {
		if value := p.field(h.field); value != "" {
			r.set = append(r.set, Header{h.name, value})
		} else {
			r.remove = append(r.remove, h.name)
		}
	}
	for i := range r.Headers {
		if name := r.Headers[i].Name; id.isAlias(name) {
			r.remove = append(r.remove, name)
		}
	}
}

// isAlias tells of a name, in lower case, that an upstream could take for one of ours.
func (id *Identity) isAlias(name string) bool {
	return folded.any(name) && id.protected[collapse(name)]
}

// collapse maps names that an upstream may not tell apart to one: CGI and its
// heirs make every character that is no letter or digit an underscore
// (CVE-2026-54763: "_" for "-"; CVE-2026-88011: "." too).
func collapse(name string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case 'A' <= c && c <= 'Z':
			return c + 'a' - 'A'
		case c >= utf8.RuneSelf || folded.is(byte(c)):
			return '-'
		default:
			return c
		}
	}, name)
}

// IsPlainName tells whether a header name, in any case, is the only one that collapses to it.
func IsPlainName(name string) bool {
	return name != "" && !folded.any(LowerASCII(name))
}

// field returns the fact as a header value, "" where there is none.
func (p *Principal) field(f Field) string {
	switch f {
	case FieldSubject:
		return headerValue(p.Subject())
	case FieldClientID:
		return headerValue(p.ClientID)
	case FieldKeyID:
		return headerValue(p.KeyID)
	case FieldKeyName:
		return headerValue(p.KeyName)
	case FieldProject:
		return headerValue(p.Project)
	case FieldScopes:
		return p.Scopes.String()
	case FieldMethod:
		return p.AuthMethod.String()
	case FieldIssuer:
		return headerValue(p.Issuer)
	case FieldExpiresAt:
		if p.ExpiresAt.IsZero() {
			return ""
		}
		return p.ExpiresAt.UTC().Format(time.RFC3339)
	default:
		return ""
	}
}

// headerValue percent-encodes what is not visible ASCII, the comma, which
// joins values, and the percent sign, so that an upstream can decode it. A raw
// control byte would make Envoy answer 500 and others split the header.
func headerValue(s string) string {
	if headerSafe.all(s) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if headerSafe.is(s[i]) {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}
