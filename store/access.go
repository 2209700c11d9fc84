package store

import (
	"keyward/authz"
	"keyward/authz/urlpath"
)

// CompileAccess compiles the paths and scopes of a key or user, for the
// validation of a record and for a request alike. No paths are anywhere; no
// scopes are none.
func CompileAccess(paths, scopes []string) (urlpath.Set, authz.Scopes, error) {
	where := urlpath.Any()
	if len(paths) > 0 {
		var err error
		if where, err = urlpath.ParseSet(paths); err != nil {
			return urlpath.Set{}, authz.Scopes{}, err
		}
	}
	what, err := authz.ParseScopes(scopes)
	if err != nil {
		return urlpath.Set{}, authz.Scopes{}, err
	}
	return where, what, nil
}
