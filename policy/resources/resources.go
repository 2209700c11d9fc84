// Package resources says which OAuth 2.0 protected resources the routes of an
// API make up (RFC 9728), and what the metadata document of each contains. It
// does no I/O and decides about no request.
package resources

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"keyward/authz"
	"keyward/policy"
)

// wellKnown is the path of the root's document, and what precedes the path of
// every other resource (RFC 9728 section 3.1).
const wellKnown = "/.well-known/oauth-protected-resource"

// API is what all protected resources of an API have in common. The zero API
// has no resources.
type API struct {
	URL                  string   // the origin that clients use, https://api.example.com; "": no resources
	AuthorizationServers []string // issuer identifiers (RFC 8414 section 2)
	Name                 string   // for people; "" is none
	Documentation        string   // a URL for developers; "" is none
}

// Documents are the metadata documents as JSON (RFC 9728 section 3.2), by the
// path of their URL.
type Documents map[string][]byte

// metadata has the members of a document (RFC 9728 section 2). A list without
// elements is left out, as section 3.2 requires.
type metadata struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers,omitempty"`
	Scopes               []string `json:"scopes_supported,omitempty"`
	BearerMethods        []string `json:"bearer_methods_supported"`
	Name                 string   `json:"resource_name,omitempty"`
	Documentation        string   `json:"resource_documentation,omitempty"`
}

// Describe finds the resource that each route is part of, sets the route's
// ResourceMetadata, and returns the documents.
//
// A rule with Resource is a resource of its own, together with all routes that
// its pattern covers; the innermost one counts. All other routes, and the
// default route, are the root resource. A route is part of none if it does not
// accept tokens, or not at the host of the URL. A resource without routes has
// no document.
func (a *API) Describe(rules []policy.Rule, defaultRoute *authz.Route) Documents {
	if a.URL == "" {
		return nil
	}
	own := slices.DeleteFunc(slices.Clone(rules), func(rule policy.Rule) bool { return !rule.Resource })
	scopes := map[string][]string{}
	join := func(route *authz.Route, resource string) {
		if acceptsTokens(route) {
			route.ResourceMetadata = a.URL + wellKnown + resource
			scopes[resource] = append(scopes[resource], route.NamedScopes().Names()...)
		}
	}
	for i := range rules {
		if rule := &rules[i]; rule.AppliesTo(a.host()) {
			join(&rule.Route, innermost(own, rule))
		}
	}
	join(defaultRoute, "")
	documents := Documents{}
	for resource, names := range scopes {
		documents[wellKnown+resource] = a.document(resource, names)
	}
	if root := documents[wellKnown]; root != nil {
		documents[wellKnown+"/"] = root // clients that do not remove the slash of https://api.example.com/
	}
	return documents
}

// Identifiers are those of the resources that have a document, in order.
func (a *API) Identifiers(documents Documents) []string {
	var all []string
	for path := range documents {
		all = append(all, a.URL+strings.TrimPrefix(path, wellKnown))
	}
	slices.Sort(all)
	return all
}

// Problem returns why the rule cannot be a resource of its own; nil if it can.
func (a *API) Problem(rule *policy.Rule) error {
	switch {
	case a.URL == "":
		return errors.New("resource_metadata.url is needed: the URL that clients use")
	case !acceptsTokens(&rule.Route):
		return errors.New("the route accepts neither jwt nor oauth, so that no client needs its metadata")
	case !rule.AppliesTo(a.host()):
		return errors.New("hosts do not include that of resource_metadata.url")
	case rule.Route.Template != nil:
		return errors.New("a resource is one URL, and a path with {subject} has many; set it on a route above")
	case strings.ContainsAny(rule.Route.Path, "\"<>[]^`{|}"):
		return errors.New("a resource is a URL (RFC 3986): write other characters of its path as %XX")
	}
	return nil
}

// host returns the host of the URL, with its port.
func (a *API) host() string {
	_, host, _ := strings.Cut(a.URL, "://")
	return host
}

// innermost returns the path of the resource that a rule is part of: that of
// the rule with the longest pattern, of those with Resource, that covers it; ""
// for the root.
func innermost(own []policy.Rule, rule *policy.Rule) string {
	resource, longest := "", -1
	for i := range own {
		if length := len(own[i].Pattern.Path()); length > longest && own[i].Pattern.Covers(rule.Pattern) {
			// As the operator wrote it: clients compare it byte for byte.
			resource, longest = strings.TrimPrefix(own[i].Route.Path, "="), length
		}
	}
	if resource == "/" {
		return ""
	}
	return resource
}

// acceptsTokens reports whether a client can use an OAuth token on the route.
func acceptsTokens(route *authz.Route) bool {
	if route.Auth != authz.AuthRequired && route.Auth != authz.AuthOptional {
		return false
	}
	return len(route.AcceptAuth) == 0 || slices.Contains(route.AcceptAuth, authz.AuthMethodJWT) || slices.Contains(route.AcceptAuth, authz.AuthMethodOAuth)
}

func (a *API) document(resource string, scopes []string) []byte {
	slices.Sort(scopes)
	document, err := json.Marshal(metadata{
		Resource: a.URL + resource, AuthorizationServers: a.AuthorizationServers, Scopes: slices.Compact(scopes),
		BearerMethods: []string{"header"}, Name: a.Name, Documentation: a.Documentation,
	})
	if err != nil {
		panic(err) // texts and lists of texts can be written
	}
	return document
}
