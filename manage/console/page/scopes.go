package page

import (
	"slices"
	"strings"

	"keyward/config"
	"keyward/manage/access"
)

// OfferedScope is a scope that a form offers.
type OfferedScope struct {
	Name, Description string
	Chosen            bool
}

// Scopes are those that a form offers: of the API, and of Keyward itself.
type Scopes struct {
	API, Managing []OfferedScope
}

// managing are the scopes of Keyward itself that a user may have.
var managing = []config.NamedScope{
	{Name: access.ScopeRead, Description: "Read everything, including the audit log, but no secrets"},
	{Name: access.ScopeKeys, Description: "Create, change and revoke the keys of any user"},
	{Name: access.ScopeUsers, Description: "Create, change and disable users"},
	{Name: access.ScopeAdmin, Description: "Everything"},
}

// OfferedScopes are the scopes that the configuration names, with those that the form has
// chosen; an administrator may grant those of Keyward itself.
func (r *Request) OfferedScopes(f *Form) Scopes {
	settings := r.Settings()
	named := slices.Clone(settings.Scopes)
	for _, scope := range settings.RouteScopes {
		if !slices.ContainsFunc(named, func(s config.NamedScope) bool { return s.Name == scope }) {
			named = append(named, config.NamedScope{Name: scope})
		}
	}
	var offered Scopes
	for _, s := range named {
		if len(access.Managing([]string{s.Name})) == 0 {
			offered.API = append(offered.API, OfferedScope{s.Name, s.Description, f.Is("scope", s.Name)})
		}
	}
	if r.Actor.Unbounded() {
		for _, s := range managing {
			offered.Managing = append(offered.Managing, OfferedScope{s.Name, s.Description, f.Is("scope", s.Name)})
		}
	}
	return offered
}

// ChosenScopes are the scopes that the form chooses or names in its field "other", each
// once.
func (r *Request) ChosenScopes() []string {
	scopes := []string{}
	for _, scope := range append(slices.Clone(r.Sent["scope"]), strings.Fields(r.Sent.Get("other"))...) {
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// ChooseScopes puts a record's scopes into a form: those that are not offered are in the
// field "other".
func (r *Request) ChooseScopes(f *Form, scopes []string) {
	f.Values["scope"] = scopes
	offered := r.OfferedScopes(f)
	var others []string
	for _, scope := range scopes {
		is := func(o OfferedScope) bool { return o.Name == scope }
		if !slices.ContainsFunc(offered.API, is) && !slices.ContainsFunc(offered.Managing, is) {
			others = append(others, scope)
		}
	}
	f.Values.Set("other", strings.Join(others, " "))
}

// Lines are the lines of a text that have something, without the space around it.
func Lines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}
