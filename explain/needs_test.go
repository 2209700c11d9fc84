package explain

import (
	"reflect"
	"testing"

	"keyward/authz"
	"keyward/authz/urlpath"
)

func TestNeeds(t *testing.T) {
	scopes, err := authz.ParseScopes([]string{"b", "a"})
	if err != nil {
		t.Fatal(err)
	}
	own, err := urlpath.ParseTemplate("/users/{subject}", urlpath.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		route *authz.Route
		want  *Needs
	}{
		"no route":       {nil, nil},
		"the zero route": {&authz.Route{}, &Needs{Auth: "deny", Credentials: []string{}, Scopes: []string{}}},
		"a strict route": {
			&authz.Route{Auth: authz.AuthRequired, AcceptAuth: []authz.AuthMethod{authz.AuthMethodJWT}, Scopes: scopes, Project: "blog"},
			&Needs{Auth: "required", Credentials: []string{"jwt"}, Scopes: []string{"a", "b"}, Project: "blog"},
		},
		"one of two scopes": {&authz.Route{Auth: authz.AuthRequired, ScopesAny: scopes}, &Needs{Auth: "required", Credentials: []string{}, Scopes: []string{}, ScopesAny: []string{"a", "b"}}},
		"the subject's own": {&authz.Route{Auth: authz.AuthRequired, Path: "/users/{subject}", Template: own}, &Needs{Auth: "required", Credentials: []string{}, Scopes: []string{}, Path: "/users/{subject}"}},
		"an open route":     {&authz.Route{Auth: authz.AuthNone}, &Needs{Auth: "none", Credentials: []string{}, Scopes: []string{}}},
		"an optional route": {&authz.Route{Auth: authz.AuthOptional}, &Needs{Auth: "optional", Credentials: []string{}, Scopes: []string{}}},
		"an unknown mode":   {&authz.Route{Auth: 200}, &Needs{Auth: "deny", Credentials: []string{}, Scopes: []string{}}},
	} {
		if got := (&Verdict{route: c.route}).Needs(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v", what, got)
		}
	}
}
