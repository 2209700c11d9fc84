package authz

import "slices"

// Overrides returns the headers that every allow removes, in addition to those
// of the Decision. They are the same for each decision, so a transport encodes
// them once.
func (c *Checker) Overrides() []string { return c.cfg.Overrides }

// prepareUpstream fills in the headers that the proxy sets on and removes from
// the forwarded request, and the query parameter that it removes.
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
// could take for an identity header. An allow removes it. A proxy that removes
// only headers named in its own configuration must not get an allow.
func (c *Checker) HasAliasedHeader(r *Request) bool {
	return slices.ContainsFunc(r.Headers, func(h Header) bool { return c.cfg.Identity.isAlias(h.Name) })
}
