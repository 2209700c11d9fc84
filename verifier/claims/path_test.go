package claims_test

import (
	"reflect"
	"strings"
	"testing"

	"keyward/verifier/claims"
	"keyward/verifier/strictjson"
)

const document = `{
	"sub": "alice", "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "web"}}, "realm_access": {"roles": ["a", "b"]},
	"a/b": 1, "m~n": 2, "": 3, "a.b": "exact", "a": {"b": "nested", "": 4}, "null": null, "https://x.example/roles": ["r"], "01": {"0": "zero"}
}`

// TestPath has what each path finds. The pointers are those of RFC 6901, section
// 5, as far as they make sense here.
func TestPath(t *testing.T) {
	limits := strictjson.Limits{Depth: 16, Members: 128}
	full, err := strictjson.Object([]byte(document), limits)
	if err != nil {
		t.Fatal(err)
	}
	outline, err := strictjson.Outline([]byte(document), limits)
	if err != nil {
		t.Fatal(err)
	}
	type absent struct{}
	for path, want := range map[string]any{
		"sub": "alice", "/sub": "alice", "missing": absent{}, "/missing": absent{}, "null": nil, "/null": nil,
		"/kubernetes.io/namespace": "shop", "/kubernetes.io/serviceaccount/name": "web", "kubernetes.io.namespace": absent{}, "/kubernetes.io/missing": absent{},
		"realm_access.roles": []any{"a", "b"}, "/realm_access/roles": []any{"a", "b"}, "/realm_access/roles/1": "b",
		"/realm_access/roles/2": absent{}, "/realm_access/roles/01": absent{}, "/realm_access/roles/-": absent{}, "/realm_access/roles/+1": absent{}, "realm_access.roles.1": nil,
		"/a~1b": "1", "/m~0n": "2", "a/b": "1", "a.b": "exact", "/a/b": "nested", "/a.b": "exact", "/01/0": "zero",
		"/sub/x": nil, "sub.x": nil, "/null/x": nil, "https://x.example/roles": []any{"r"}, "/https:~1~1x.example~1roles": []any{"r"},
	} {
		p, err := claims.ParsePath(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		for kind, members := range map[string]map[string]any{"full": full, "outline": outline} {
			got, present := p.Lookup(members)
			if _, unparsed := got.(strictjson.Nested); unparsed && kind == "outline" {
				continue
			}
			if number, ok := got.(interface{ String() string }); ok {
				got = number.String()
			}
			if _, none := want.(absent); none == present || present && !reflect.DeepEqual(got, want) {
				t.Errorf("%s in %s: %v, %v; want %v", path, kind, got, present, want)
			}
		}
	}
}

// TestOutlineIsNotDecided: what an outline does not have may still be there.
func TestOutlineIsNotDecided(t *testing.T) {
	outline, err := strictjson.Outline([]byte(document), strictjson.Limits{Depth: 16, Members: 128})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/kubernetes.io/namespace", "/kubernetes.io/missing", "realm_access.roles", "realm_access", "/a/b"} {
		p, err := claims.ParsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, present := p.Lookup(outline); got != (strictjson.Nested{}) || !present {
			t.Errorf("%s: %v, %v", path, got, present)
		}
	}
}

func TestBadPaths(t *testing.T) {
	for path, want := range map[string]string{
		"": "1 to 255 bytes", strings.Repeat("a", 256): "1 to 255 bytes", "/": "no empty part", "/a/": "no empty part", "/a//b": "no empty part", "//a": "no empty part",
		"/a~": "followed by 0 or 1", "/a~2b": "followed by 0 or 1", "/~~0": "followed by 0 or 1", "#/a/b": "without the #", "$.a.b": "JSONPath", "$['a']": "JSONPath",
	} {
		if _, err := claims.ParsePath(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// TestIs: a pointer to a member of the claims themselves is that member.
func TestIs(t *testing.T) {
	for path, want := range map[string]bool{"sub": true, "/sub": true, "/a/sub": false, "a.sub": false, "subs": false} {
		p, err := claims.ParsePath(path)
		if err != nil || p.Is("sub") != want {
			t.Errorf("%s: %v, %v", path, p.Is("sub"), err)
		}
	}
}
