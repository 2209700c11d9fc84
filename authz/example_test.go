package authz_test

import (
	"context"
	"fmt"
	"time"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/policy"
)

// oneToken is a verifier that knows one token.
type oneToken string

func (known oneToken) Verify(_ context.Context, c *authz.Credential, _ time.Time) (*authz.Principal, error) {
	if c.Secret.Reveal() != string(known) {
		return nil, authz.ErrNotMine
	}
	return &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, User: "alice", Paths: urlpath.Any(), UserPaths: urlpath.Any()}, nil
}

// A Checker decides requests by a policy and a verifier. A transport fills in
// the Request from what its proxy sends, and writes the Decision in the form
// that the proxy expects.
func ExampleChecker_Check() {
	pattern, err := urlpath.ParsePattern("/items", urlpath.Rules{})
	if err != nil {
		panic(err)
	}
	rules, err := policy.New([]policy.Rule{{Pattern: pattern, Route: authz.Route{Path: "/items", Auth: authz.AuthRequired}}}, authz.Route{})
	if err != nil {
		panic(err)
	}
	identity, err := authz.NewIdentityHeaders(map[string]authz.IdentityAttribute{"x-auth-subject": authz.AttributeSubject}, []string{"authorization"}, nil)
	if err != nil {
		panic(err)
	}
	checker, err := authz.NewChecker(authz.Config{
		Ready:    func() error { return nil },
		Policy:   rules,
		Sources:  authz.CredentialSources{Schemes: authz.NewSchemeSet(authz.SchemeBearer)},
		Verifier: oneToken("secret"),
		Identity: identity,
		Now:      time.Now, Since: time.Since,
		NewID: func() string { return "1" },
	})
	if err != nil {
		panic(err)
	}

	for _, r := range []authz.Request{
		{Method: "GET", Target: "/items/7", Headers: []authz.Header{{Name: "authorization", Value: "Bearer secret"}}},
		{Method: "GET", Target: "/items/7", Headers: []authz.Header{{Name: "authorization", Value: "Bearer guess"}}},
		{Method: "GET", Target: "/items/7"},
		{Method: "GET", Target: "/items/%2e%2e/admin"},
		{Method: "GET", Target: "/other"},
	} {
		d := checker.Check(context.Background(), &r)
		fmt.Println(d.Allowed(), d.Status(), d.Reason, d.Set)
	}
	// Output:
	// true 200 ok [{x-auth-subject alice}]
	// false 401 invalid_token []
	// false 401 no_credential []
	// false 400 ambiguous_path []
	// false 403 route_denied []
}

// A pattern matches a path and everything below it by entire segments. With a
// leading "=" it matches that path alone, and with a trailing slash only what
// is below it.
func ExampleParsePattern() {
	for _, text := range []string{"/a", "=/a", "/a/"} {
		pattern, err := urlpath.ParsePattern(text, urlpath.Rules{})
		if err != nil {
			panic(err)
		}
		for _, target := range []string{"/a", "/a/b", "/ab"} {
			path, err := urlpath.Parse(target, urlpath.Rules{})
			if err != nil {
				panic(err)
			}
			fmt.Printf("%s matches %s: %t\n", text, target, pattern.Matches(path))
		}
	}
	// Output:
	// /a matches /a: true
	// /a matches /a/b: true
	// /a matches /ab: false
	// =/a matches /a: true
	// =/a matches /a/b: false
	// =/a matches /ab: false
	// /a/ matches /a: false
	// /a/ matches /a/b: true
	// /a/ matches /ab: false
}

// All wanted scopes are required.
func ExampleScopes_Contains() {
	granted, err := authz.ParseScopes([]string{"items:read", "items:write"})
	if err != nil {
		panic(err)
	}
	wanted, err := authz.ParseScopes([]string{"items:read", "admin"})
	if err != nil {
		panic(err)
	}
	fmt.Println(granted.Contains(wanted), wanted)
	// Output:
	// false admin items:read
}
