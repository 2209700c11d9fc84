package authz

import "slices"

// Overrides returns the headers that every allow has removed beside those that
// the Decision names. They are the same each time, so a transport encodes them once.
func (c *Checker) Overrides() []string { return c.cfg.Overrides }

// prepareUpstream fills in the headers and the query parameter that the proxy sets
// on, and removes from, the request that it passes on.
func (c *Checker) prepareUpstream(r *Request, d *Decision) {
	c.cfg.Identity.apply(d.Principal, r)
	if !d.Route.ForwardCredentials {
		r.remove = append(r.remove, c.credentialHeaders...)
		if rest, found := c.cfg.Sources.cutCookie(r); found && rest != "" {
			r.set = append(r.set, Header{"cookie", rest})
		} else if found {
			r.remove = append(r.remove, "cookie")
		}
		if c.cfg.Sources.inQuery(r.Target) {
			d.RemoveQuery = c.cfg.Sources.Query
		}
	}
	d.Set, d.Remove = r.set, r.remove
}

// HasAliasedHeader reports whether the request has a header that an upstream
// could take for an identity header. An allow has it removed; a proxy that
// removes only headers that its configuration names must not get an allow.
func (c *Checker) HasAliasedHeader(r *Request) bool {
	return slices.ContainsFunc(r.Headers, func(h Header) bool { return c.cfg.Identity.isAlias(h.Name) })
}
