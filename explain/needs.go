package explain

import "keyward/authz"

// Needs is what a request must have to be allowed on a route.
type Needs struct {
	// Auth is deny, none, optional or required, as in the configuration. With
	// deny nothing that follows is of use.
	Auth string `json:"auth"`
	// Credentials are the kinds of credential, of which one is needed; empty for any.
	Credentials []string `json:"credentials"`
	Scopes      []string `json:"scopes"`               // all of them
	ScopesAny   []string `json:"scopes_any,omitempty"` // one of them
	Project     string   `json:"project,omitempty"`
	// Path is the route's path, if it has a segment that must be the caller's
	// subject.
	Path string `json:"path,omitempty"`
}

// Needs returns what the route of the request needs. It is nil if there is no
// route.
func (v *Verdict) Needs() *Needs {
	if v.route == nil {
		return nil
	}
	n := &Needs{Auth: authName(v.route.Auth), Credentials: []string{}, Scopes: []string{}, Project: v.route.Project}
	for _, m := range v.route.AcceptAuth {
		n.Credentials = append(n.Credentials, m.String())
	}
	n.Scopes = append(n.Scopes, v.route.Scopes.Names()...)
	n.ScopesAny = v.route.ScopesAny.Names()
	if v.route.Template != nil {
		n.Path = v.route.Path
	}
	return n
}

func authName(m authz.AuthMode) string {
	switch m {
	case authz.AuthNone:
		return "none"
	case authz.AuthOptional:
		return "optional"
	case authz.AuthRequired:
		return "required"
	default:
		return "deny"
	}
}
