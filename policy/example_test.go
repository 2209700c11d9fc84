package policy_test

import (
	"fmt"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/policy"
)

// The most specific rule applies: here a public page below a path that needs a
// scope. Route finds the rule of a request, and Authorize checks a principal
// against it.
func ExamplePolicy() {
	scopes, err := authz.ParseScopes([]string{"items:write"})
	if err != nil {
		panic(err)
	}
	items, err := urlpath.ParsePattern("/items", urlpath.Rules{})
	if err != nil {
		panic(err)
	}
	help, err := urlpath.ParsePattern("=/items/help", urlpath.Rules{})
	if err != nil {
		panic(err)
	}
	rules, err := policy.New([]policy.Rule{
		{Pattern: items, Route: authz.Route{Name: "items", Auth: authz.AuthRequired, Scopes: scopes}},
		{Pattern: help, Route: authz.Route{Name: "help", Auth: authz.AuthNone}},
	}, authz.Route{}) // for all other requests: the zero Route denies
	if err != nil {
		panic(err)
	}

	alice := &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, User: "alice", Paths: urlpath.Any(), UserPaths: urlpath.Any()}
	for _, target := range []string{"/items/7", "/items/help"} {
		path, err := urlpath.Parse(target, urlpath.Rules{})
		if err != nil {
			panic(err)
		}
		route, reason := rules.Route(&authz.Request{Method: "GET", Target: target}, path)
		fmt.Println(target, route.Name, reason, rules.Authorize(alice, path, route))
	}
	// Output:
	// /items/7 items ok insufficient_scope
	// /items/help help ok ok
}
