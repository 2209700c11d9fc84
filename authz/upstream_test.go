package authz

import (
	"slices"
	"testing"

	"keyward/authz/overrides"
	"keyward/chars"
)

// TestUpstreamOverrides: each name appears once, in the form in which names are
// compared, and proxies set none of them for the upstream.
func TestUpstreamOverrides(t *testing.T) {
	names := overrides.Headers()
	for i, name := range names {
		if name != chars.LowerASCII(name) || !IsUnambiguousName(name) || slices.Contains(names[:i], name) {
			t.Errorf("%q", name)
		}
	}
	for _, kept := range []string{"host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "x-real-ip", "x-request-id", "authorization", "cookie"} {
		if slices.Contains(names, kept) {
			t.Errorf("%s is removed", kept)
		}
	}
}

// TestAliasesOfOverrides: a header that an upstream could take for an override
// is removed, like one that it could take for an identity header.
func TestAliasesOfOverrides(t *testing.T) {
	id, err := NewIdentityHeaders(map[string]IdentityAttribute{"x-auth-subject": AttributeSubject}, []string{"authorization"}, overrides.Headers())
	if err != nil {
		t.Fatal(err)
	}
	sent := []string{"x_http_method_override", "x.original.url", "script_name", "path_info", "x-http-method-override", "x_request_id", "x_forwarded_for"}
	r := Request{}
	for _, name := range sent {
		r.Headers = append(r.Headers, Header{name, "DELETE"})
	}
	id.apply(&Principal{}, &r)
	if want := append([]string{"x-auth-subject"}, sent[:4]...); !slices.Equal(r.remove, want) {
		t.Errorf("removed %q, want %q", r.remove, want)
	}
	for _, field := range []map[string]IdentityAttribute{{"X-Forwarded-Host": AttributeSubject}, {"x-http-method": AttributeAuthMethod}} {
		if _, err := NewIdentityHeaders(field, nil, overrides.Headers()); err == nil {
			t.Errorf("%v: accepted as an identity header, but it is removed", field)
		}
	}
	if _, err := NewIdentityHeaders(nil, []string{"x-original-url"}, overrides.Headers()); err == nil {
		t.Error("x-original-url is accepted as a credential header, but it is removed")
	}
	if _, err := NewIdentityHeaders(map[string]IdentityAttribute{"x-forwarded-host": AttributeSubject}, nil, nil); err != nil {
		t.Error(err)
	}
}
