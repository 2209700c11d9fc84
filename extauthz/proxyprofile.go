package extauthz

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"keyward/authz"
	"keyward/authz/urlquery"
)

// proxyProfile is a kind of proxy that sends its checks over HTTP. It says
// where the proxy puts the attributes of the request, and which answers it
// understands.
type proxyProfile struct {
	transport authz.Transport
	// path is where the proxy sends its checks; with subpaths, also everything
	// below it.
	path     string
	subpaths bool
	// read takes the attributes of the client's request from r, which fill has
	// filled.
	read func(r *authz.Request) error
	// needsReplay means that the proxy understands only 401 and 403, so other
	// denials are sent as 403 and the real response is fetched by a second
	// request (replay.go).
	needsReplay bool
	// fixedTarget means that the proxy passes the target on unchanged,
	// fixedHeaders that it removes only headers that its configuration names.
	fixedTarget, fixedHeaders bool
	// allRemovals means that the proxy is sent the names of all headers to
	// remove, and not only of those that its configuration cannot name.
	allRemovals bool
}

// proxyProfiles are the kinds of proxy. Their paths do not overlap.
var proxyProfiles = [...]proxyProfile{
	{transport: authz.TransportNginx, path: nginxPath, read: readOriginal, needsReplay: true},
	{transport: authz.TransportForward, path: forwardPath, read: readForwarded, fixedTarget: true, fixedHeaders: true},
	{transport: authz.TransportEnvoyHTTP, path: envoyPath, subpaths: true, read: readEnvoyTarget, fixedTarget: true, allRemovals: true},
}

// profileAt returns the kind of proxy that the path belongs to, nil if there is
// none.
func profileAt(path string) *proxyProfile {
	for i := range proxyProfiles {
		p := &proxyProfiles[i]
		if rest, ok := strings.CutPrefix(path, p.path); ok && (rest == "" || p.subpaths && rest[0] == '/') {
			return p
		}
	}
	return nil
}

var (
	errUntrusted = errors.New("asked by a peer that is not a trusted proxy")
	errNoTarget  = errors.New("the proxy does not say, once, what it asks about")
)

// serveCheck answers one check of a proxy. The decision is the same as over any
// other transport. A peer that is not trusted, or that names no target, is
// denied.
func (h *Handler) serveCheck(w http.ResponseWriter, hr *http.Request, r *authz.Request, p *proxyProfile) {
	trusted := h.fill(r, hr)
	r.Transport, r.FixedTarget = p.transport, p.fixedTarget
	var d *authz.Decision
	if err := p.read(r); !trusted {
		d = h.Checker.Refuse(r, authz.RouteDenied, errUntrusted)
	} else if err != nil {
		d = h.Checker.Refuse(r, authz.RouteDenied, err)
	} else if p.fixedHeaders && h.Checker.HasAliasedHeader(r) {
		d = h.Checker.Refuse(r, authz.AmbiguousHeader, nil)
	} else {
		d = h.Checker.Check(hr.Context(), r)
	}
	if d.Allowed() {
		h.allow(w, r, d, p)
		return
	}
	denial := h.Renderer.Denial(r, d)
	if p.needsReplay {
		denial = h.Renderer.withReplayHeaders(denial, d)
	}
	denial.write(w)
}

// readOriginal reads the headers that nginx's configuration sets.
func readOriginal(r *authz.Request) error {
	return readTarget(r, "x-original-method", "x-original-uri", "")
}

// readForwarded reads the headers that Caddy and Traefik send.
func readForwarded(r *authz.Request) error {
	return readTarget(r, "x-forwarded-method", "x-forwarded-uri", "x-forwarded-host")
}

// readTarget takes the method, target and host from headers, each of which must
// be present once. An empty hostName keeps the request's own host.
func readTarget(r *authz.Request, methodName, targetName, hostName string) error {
	method, methods := r.Header(methodName)
	target, targets := r.Header(targetName)
	if methods != 1 || targets != 1 || method == "" || target == "" {
		return errNoTarget
	}
	r.Method, r.Target = method, target
	if hostName == "" {
		return nil
	}
	host, hosts := r.Header(hostName)
	if hosts != 1 || host == "" {
		return errNoTarget
	}
	r.Host = host
	return nil
}

// readEnvoyTarget takes the path after the prefix, byte for byte, with the
// query.
func readEnvoyTarget(r *authz.Request) error {
	r.Target = strings.TrimPrefix(r.Target, envoyPath)
	if r.Target == "" || r.Target[0] != '/' {
		return errNoTarget
	}
	return nil
}

// The headers of an allow that are meant for the proxy and not for the
// upstream.
const (
	uriHeader    = "x-keyward-uri"                  // the target to pass on, without a credential in its query
	removeHeader = "x-envoy-auth-headers-to-remove" // Envoy removes these, and so does our HAProxy configuration
)

// allow writes the response to an allowed check. It has every header that the
// upstream may get of those that Keyward controls: the identity headers,
// Cookie, Sec-WebSocket-Protocol, and the credential if the route forwards it.
// The proxy replaces what the client sent under these names, and removes a
// header that is not in the response.
func (h *Handler) allow(w http.ResponseWriter, r *authz.Request, d *authz.Decision, p *proxyProfile) {
	allow, header := h.Renderer.Allow(d), w.Header()
	for i := range r.Headers {
		sent := &r.Headers[i]
		if !slices.Contains(h.CredentialHeaders, sent.Name) || slices.Contains(allow.Remove, sent.Name) {
			continue
		}
		if before, between := header.Get(sent.Name), separator(sent.Name); before != "" && between != "" {
			header.Set(sent.Name, before+between+sent.Value)
		} else {
			header.Add(sent.Name, sent.Value)
		}
	}
	// http.Header needs a slice for each value; all of them share one array.
	values := make([]string, 0, len(allow.Set)+2)
	set := func(name, value string) {
		values = append(values, value)
		header[canonicalName(name)] = values[len(values)-1 : len(values) : len(values)]
	}
	for _, identity := range allow.Set {
		set(identity.Name, identity.Value)
	}
	set(uriHeader, urlquery.Without(r.Target, allow.RemoveQuery))
	if remove := p.headersToRemove(allow.Remove, allow.Overrides); remove != "" {
		set(removeHeader, remove)
	}
	for _, quota := range allow.ResponseHeaders {
		header.Set(quota.Name, quota.Value)
	}
	w.WriteHeader(http.StatusOK)
}

// separator returns what joins the lines of a header into one, "" if they must
// stay apart. Proxies keep one line of an answer, or join all with a comma.
func separator(name string) string {
	switch name {
	case "cookie":
		return "; " // RFC 9113 section 8.2.3
	case "sec-websocket-protocol":
		return ", " // RFC 6455 section 11.3.4
	default:
		return ""
	}
}

// headersToRemove returns the value of removeHeader.
func (p *proxyProfile) headersToRemove(names []string, always *Overrides) string {
	if p.allRemovals {
		if always.list != "" {
			names = append(names, always.list)
		}
		return strings.Join(names, ",")
	}
	var list string
	for _, name := range names {
		if !authz.IsUnambiguousName(name) {
			list += "," + name
		}
	}
	return strings.TrimPrefix(list, ",")
}

// canonicalName is http.CanonicalHeaderKey without a copy for the most frequent
// names.
func canonicalName(name string) string {
	switch name {
	case "x-auth-subject":
		return "X-Auth-Subject"
	case "x-auth-key-id":
		return "X-Auth-Key-Id"
	case "x-auth-scopes":
		return "X-Auth-Scopes"
	case "x-auth-method":
		return "X-Auth-Method"
	case "cookie":
		return "Cookie"
	case uriHeader:
		return "X-Keyward-Uri"
	case removeHeader:
		return "X-Envoy-Auth-Headers-To-Remove"
	default:
		return http.CanonicalHeaderKey(name)
	}
}
