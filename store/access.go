package store

import "keyward/authz"

// CompileAccess compiles the paths and scopes of a key or user, for the
// validation of a record and for a request alike. No paths are anywhere; no
// scopes are none.
func CompileAccess(paths, scopes []string) (authz.PathSet, authz.Scopes, error) {
	where := authz.AnyPath()
	if len(paths) > 0 {
		var err error
		if where, err = authz.ParsePathSet(paths); err != nil {
			return authz.PathSet{}, authz.Scopes{}, err
		}
	}
	what, err := authz.ParseScopes(scopes)
	if err != nil {
		return authz.PathSet{}, authz.Scopes{}, err
	}
	return where, what, nil
}
