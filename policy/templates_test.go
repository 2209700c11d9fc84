package policy_test

import (
	"errors"
	"strings"
	"testing"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/policy"
)

// templateRules is rules, for paths that may have a segment {subject}.
func templateRules(t *testing.T, pathCase urlpath.Case, lines ...string) []policy.Rule {
	t.Helper()
	all := rules(t, lines...)
	for i := range all {
		path, pathRules := all[i].Route.Path, urlpath.Rules{Case: pathCase}
		var err error
		if all[i].Pattern, err = urlpath.ParsePattern(path, pathRules); err != nil {
			t.Fatal(err)
		}
		if urlpath.HasBraces(path) {
			if all[i].Route.Template, err = urlpath.ParseTemplate(path, pathRules); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

// TestTemplateRoutes: literal before template before a shorter prefix, then the
// method.
func TestTemplateRoutes(t *testing.T) {
	p, err := policy.New(templateRules(t, urlpath.CaseRefuse,
		"GET - /users users",
		"- - /users/{subject} own",
		"GET - =/users/{subject} own-get",
		"- - /users/me me",
		"GET - /users/{subject}/files files",
		"PUT - /users/{subject}/files files-put",
		"- - /users/alice/x alice-x",
		"- api.example.com /users/{subject} host-own",
		"- - /dir/{subject}/ dir",
	), authz.Route{Name: "fallback", Auth: authz.AuthRequired})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ method, host, target, want string }{
		{"GET", "", "/users", "users"},
		{"POST", "", "/users", "method_not_allowed"},
		{"GET", "", "/users/", "users"},
		{"GET", "", "/users/me", "me"},
		{"POST", "", "/users/me/x", "me"},
		{"GET", "", "/users/bob", "own-get"},
		{"HEAD", "", "/users/bob", "own-get"},
		{"POST", "", "/users/bob", "method_not_allowed"}, // not the prefix of the same text
		{"POST", "", "/users/bob/", "own"},
		{"GET", "", "/users/bob/x", "own"},
		{"GET", "", "/users/bob/files", "files"},
		{"GET", "", "/users/bob/files/1", "files"},
		{"PUT", "", "/users/bob/files/1", "files-put"},
		{"DELETE", "", "/users/bob/files/1", "method_not_allowed"},
		{"GET", "", "/users/bob/filesystem", "own"},
		{"GET", "", "/users/alice/x", "alice-x"},
		{"GET", "", "/users/alice/files", "files"},
		{"GET", "", "/users/me/files", "files"}, // longer than /users/me, and only me's
		{"POST", "api.example.com", "/users/me", "host-own"},
		{"GET", "", "/dir/bob", "fallback"},
		{"GET", "", "/dir/bob/x", "dir"},
		{"GET", "", "/users/ME", "ambiguous_path"},
		{"GET", "", "/users/Bob/x", "own"},
		{"GET", "", "/Users/bob", "ambiguous_path"},
		{"GET", "", "/users/me.", "ambiguous_path"},
	} {
		if got := which(t, p, &authz.Request{Method: test.method, Host: test.host, Target: test.target}); got != test.want {
			t.Errorf("%s %s%s: %s, want %s", test.method, test.host, test.target, got, test.want)
		}
	}
}

// TestTemplateIsTheSubjects: whatever finds the route, the policy compares the
// segment with the subject.
func TestTemplateIsTheSubjects(t *testing.T) {
	p, err := policy.New(templateRules(t, urlpath.CaseRefuse, "- - /users/{subject} own"), authz.Route{Auth: authz.AuthDeny})
	if err != nil {
		t.Fatal(err)
	}
	principal := func(user, key string) *authz.Principal {
		return &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, User: user, KeyID: key, Paths: urlpath.Any(), UserPaths: urlpath.Any()}
	}
	client := principal("", "")
	client.AuthMethod, client.ClientID = authz.AuthMethodOAuth, "alice"
	for _, test := range []struct {
		principal *authz.Principal
		name      string
		target    string
		want      authz.Reason
	}{
		{principal("alice", "k_1"), "", "/users/alice/x", authz.OK},
		{principal("alice", "k_1"), "", "/users/bob", authz.PathNotAllowed},
		{principal("alice", "k_1"), "", "/users/k_1", authz.PathNotAllowed},
		{principal("", "k_1"), "", "/users/k_1", authz.OK},
		{principal("", "k_1ysFtk5yl4Lh"), "", "/users/k_1ysFtk5yl4Lh", authz.OK},
		{principal("", "k_1ysFtk5yl4Lh"), "", "/users/k_1ysftk5yl4lh", authz.PathNotAllowed},
		{principal("Alice", "k_1"), "", "/users/Alice", authz.PathNotAllowed},
		{principal("Alice", ""), "", "/users/Alice", authz.PathNotAllowed}, // alice's to an upstream that ignores case
		{principal("alice", ""), "", "/users/Alice", authz.PathNotAllowed},
		{client, "", "/users/alice", authz.PathNotAllowed},
		{principal("alice", ""), "own", "/users/alice", authz.OK},
		{principal("alice", ""), "own", "/users/bob", authz.PathNotAllowed},
		{principal("alice", ""), "own", "/elsewhere/alice", authz.PathNotAllowed},
		{principal("alice", ""), "own", "/users", authz.PathNotAllowed},
	} {
		path := mustPath(t, test.target)
		route, reason := p.Route(&authz.Request{Method: "GET", Target: test.target, RouteName: test.name}, path)
		if reason == authz.OK {
			reason = p.Authorize(test.principal, path, route)
		}
		if reason != test.want {
			t.Errorf("%q for %q by the name %q: %s, want %s", test.target, test.principal.Subject(), test.name, reason, test.want)
		}
	}
}

func TestConflictingTemplates(t *testing.T) {
	for _, lines := range [][]string{
		{"- - /users/{subject} x", "- - /users/{subject} y"},
		{"- - /a/{subject} x", "- - /{subject}/b y"},
		{"GET - /a/{subject} x", "PUT - /{subject}/b y"},
		{"- - =/a/{subject} x", "- - /{subject}/b y"},
		{"- - /a/{subject}/ x", "- - /{subject}/b y"},
		{"- - /a/{subject} x", "- - /A/{subject} y"},
		{"- a.example.com /a/{subject} x", "- A.example.com /a/{subject} y"},
	} {
		_, err := policy.New(templateRules(t, urlpath.CaseRefuse, lines...), authz.Route{})
		var rule *policy.RuleError
		if !errors.As(err, &rule) || rule.Rule != 1 || !strings.Contains(err.Error(), "cannot be told apart from route x") {
			t.Errorf("%v: %v, want an error about the second", lines, err)
		}
	}
	for _, lines := range [][]string{
		{"- - /users/{subject} x", "- - =/users/{subject} y"},
		{"- - /users/{subject} x", "- - /users/{subject}/ y"},
		{"- - /users/{subject} x", "- - /users/me y"},
		{"- - /users/{subject} x", "- - /users/{subject}/b y"},
		{"- - /a/{subject}/c x", "- - /{subject}/b y"},
		{"GET - /users/{subject} x", "PUT - /users/{subject} y"},
		{"- a.example.com /a/{subject} x", "- *.example.com /{subject}/b y"},
		{"- - /users/{subject} x", "- - /users y"},
	} {
		if _, err := policy.New(templateRules(t, urlpath.CaseRefuse, lines...), authz.Route{}); err != nil {
			t.Errorf("%v: %v", lines, err)
		}
	}
	for mode, ok := range map[authz.AuthMode]bool{authz.AuthNone: false, authz.AuthOptional: false, authz.AuthRequired: true, authz.AuthDeny: true} {
		open := templateRules(t, urlpath.CaseRefuse, "- - /users/{subject} x")
		open[0].Route.Auth = mode
		if _, err := policy.New(open, authz.Route{}); (err == nil) != ok {
			t.Errorf("with auth %d: %v", mode, err)
		}
	}
}

// TestScopesAny: one of the scopes is enough, beside all of the others.
func TestScopesAny(t *testing.T) {
	p, err := policy.New(nil, authz.Route{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ has, all, any, want string }{
		{"", "", "", "ok"},
		{"a", "", "a b", "ok"},
		{"b x", "", "a b", "ok"},
		{"", "", "a", "insufficient_scope"},
		{"x", "", "a b", "insufficient_scope"},
		{"ab", "", "a b", "insufficient_scope"},
		{"a r", "r", "a b", "ok"},
		{"a", "r", "a b", "insufficient_scope"},
		{"r", "r", "a b", "insufficient_scope"},
		{"r", "r", "", "ok"},
	} {
		principal := &authz.Principal{AuthMethod: authz.AuthMethodJWT, Paths: urlpath.Any(), UserPaths: urlpath.Any(), Scopes: scopes(t, strings.Fields(test.has)...)}
		route := &authz.Route{Auth: authz.AuthRequired, Scopes: scopes(t, strings.Fields(test.all)...), ScopesAny: scopes(t, strings.Fields(test.any)...)}
		if got := p.Authorize(principal, mustPath(t, "/"), route).String(); got != test.want {
			t.Errorf("%q at scopes %q, scopes_any %q: %s, want %s", test.has, test.all, test.any, got, test.want)
		}
	}
}
