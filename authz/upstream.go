package authz

import "slices"

// Overrides returns the headers that every allow removes, in addition to those
// of the Decision. They are the same for each decision, so a transport encodes
// them once.
func (c *Checker) Overrides() []string { return c.cfg.Overrides }

// prepareUpstream fills in the headers that the proxy sets on and removes from
// the forwarded request, and the query parameters that it removes.
func (c *Checker) prepareUpstream(r *Request, d *Decision) {
	if c.cfg.Identity.apply(d.Principal, r) {
		c.setCookies(r, d)
	}
	if !d.Route.ForwardCredentials {
		r.remove = append(r.remove, c.credentialHeaders...)
		d.RemoveQuery = c.cfg.Sources.Query.Present(r.Target)
		if c.cfg.Sources.Protocol != "" {
			c.setProtocols(r)
		}
	}
	d.Set, d.Remove = r.set, r.remove
}

// setCookies leaves the upstream the client's cookies but for Keyward's own, and for
// the credential unless the route forwards it.
func (c *Checker) setCookies(r *Request, d *Decision) {
	cookie := c.cfg.Sources.Cookie
	if d.Route.ForwardCredentials {
		cookie = ""
	}
	rest, found := cutCookies(r, cookie)
	r.replace("cookie", rest, found)
}

// setProtocols leaves the upstream the WebSocket subprotocols that the client
// offers, but for the credential.
func (c *Checker) setProtocols(r *Request) {
	rest, found := cutProtocols(r, c.cfg.Sources.Protocol)
	r.replace(protocolHeader, rest, found)
}

// replace has the proxy set the header to what is left of it, if a part was
// found that the upstream must not get. It removes a header of which nothing is
// left.
func (r *Request) replace(name, rest string, found bool) {
	if found && rest != "" {
		r.set = append(r.set, Header{name, rest})
	} else if found {
		r.remove = append(r.remove, name)
	}
}

// HasAliasedHeader reports whether the request has a header that an upstream
// could take for an identity header. An allow removes it. A proxy that removes
// only headers named in its own configuration must not get an allow.
func (c *Checker) HasAliasedHeader(r *Request) bool {
	return slices.ContainsFunc(r.Headers, func(h Header) bool { return c.cfg.Identity.isAlias(h.Name) })
}
