package access

import (
	"net/netip"
	"slices"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/store"
)

// No actor hands out more than it has. What a record leaves out means more, never
// less: a bounded actor must say it, and nothing is narrowed silently.

// KeyBeyond returns the member of the key's record by which the key may do more than
// the actor; "" if there is none. normal is the rate of keys without their own, zero
// for no limit, and member whether the actor's user is a member of the key's project.
func (a Actor) KeyBeyond(k *store.KeyRecord, normal authz.Rate, member bool) string {
	return a.reach.beyond(k, normal, member)
}

// UserBeyond returns the member of the user's record by which the user may do more
// than the actor; "" if there is none.
func (a Actor) UserBeyond(u *store.UserRecord) string { return a.reach.beyondUser(u) }

func (r *reach) beyond(k *store.KeyRecord, normal authz.Rate, member bool) string {
	paths, scopes, err := store.CompileAccess(k.Paths, k.OwnScopes())
	sameUser := k.User != "" && k.User == r.user
	switch {
	case r.everything:
		return ""
	case err != nil:
		return "paths"
	case len(Managing(k.OwnScopes())) > 0:
		return "scopes"
	case k.Scopes == nil && (!sameUser || r.ownScopes) || !r.scopes.Contains(scopes):
		return "scopes"
	case len(k.Paths) == 0 && !r.anyPath() && (!sameUser || r.ownPaths) || len(k.Paths) > 0 && !r.includes(paths):
		return "paths"
	case k.Project != "" && k.Project != r.project && (r.project != "" || !member):
		return "project"
	case !r.expires.IsZero() && (k.Expires.IsZero() || k.Expires.After(r.expires)):
		return "expires"
	case !r.coversRate(k.Rate, normal):
		return "rate"
	case !r.coversNetworks(k.CIDRs):
		return "cidrs"
	}
	return ""
}

// coversNetworks reports whether all of the networks are within the actor's. None
// means any address.
func (r *reach) coversNetworks(networks []netip.Prefix) bool {
	if len(r.cidrs) == 0 {
		return true
	}
	within := func(n netip.Prefix) bool {
		return slices.ContainsFunc(r.cidrs, func(own netip.Prefix) bool { return own.Bits() <= n.Bits() && own.Contains(n.Addr()) })
	}
	return len(networks) > 0 && !slices.ContainsFunc(networks, func(n netip.Prefix) bool { return !within(n) })
}

// includes reports whether all paths are within the reach.
func (r *reach) includes(paths urlpath.Set) bool {
	return !slices.ContainsFunc(r.paths, func(s urlpath.Set) bool { return !s.Includes(paths) })
}

// coversRate reports whether a key with that rate is limited as the actor is. Zero
// means unlimited.
func (r *reach) coversRate(own string, normal authz.Rate) bool {
	limit, rate := r.rate, normal
	if limit == (authz.Rate{}) {
		limit = normal
	}
	if own != "" {
		var err error
		if rate, err = authz.ParseRate(own); err != nil {
			return false
		}
	}
	return limit == (authz.Rate{}) || rate != (authz.Rate{}) && rate.AtMost(limit)
}

func (r *reach) beyondUser(u *store.UserRecord) string {
	paths, scopes, err := store.CompileAccess(u.Paths, u.Scopes)
	switch {
	case r.everything:
		return ""
	case err != nil:
		return "paths"
	case len(Managing(u.Scopes)) > 0 || !r.scopes.Contains(scopes):
		return "scopes"
	case len(u.Paths) == 0 && !r.anyPath() || len(u.Paths) > 0 && !r.includes(paths):
		return "paths"
	}
	return ""
}
