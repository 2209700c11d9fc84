package extauthz

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"keyward/authz"
)

// asker is a kind of proxy that asks over HTTP: where it says what it asks
// about, and how it wants to be answered.
type asker struct {
	transport authz.Transport
	// path is where it asks; with below, everything below the path as well.
	path  string
	below bool
	// read takes from the request, which fill has filled, what was asked about.
	read func(r *authz.Request) error
	// relays says that it knows no denials but 401 and 403, has them said again
	// (relay.go), and so wants to be told of all others as 403.
	relays bool
	// fixedTarget says that it passes the target on as it came, and fixedHeaders
	// that it removes no headers but those that its configuration names.
	fixedTarget, fixedHeaders bool
	// listed says that it is to be told of all headers to remove, and not only of
	// those that its configuration can't name.
	listed bool
}

// askers are the kinds of proxy that ask over HTTP. None is served at a path of another.
var askers = [...]asker{
	{transport: authz.TransportNginx, path: nginxPath, read: readOriginal, relays: true},
	{transport: authz.TransportForward, path: forwardPath, read: readForwarded, fixedTarget: true, fixedHeaders: true},
	{transport: authz.TransportEnvoyHTTP, path: envoyPath, below: true, read: readEnvoyTarget, fixedTarget: true, listed: true},
}

// askerAt returns the kind of proxy that asks at the path, nil for none.
func askerAt(path string) *asker {
	for i := range askers {
		as := &askers[i]
		if rest, ok := strings.CutPrefix(path, as.path); ok && (rest == "" || as.below && rest[0] == '/') {
			return as
		}
	}
	return nil
}

var (
	errUntrusted = errors.New("asked by a peer that is no trusted proxy")
	errNoTarget  = errors.New("the proxy does not say, once, what it asks about")
)

// ask judges the request that a proxy asks about. The decision is the same as
// over any other way; who may not ask, or does not say about what, is denied.
func (h *Handler) ask(w http.ResponseWriter, hr *http.Request, r *authz.Request, as *asker) {
	trusted := h.fill(r, hr)
	r.Transport, r.FixedTarget = as.transport, as.fixedTarget
	var d *authz.Decision
	if err := as.read(r); !trusted {
		d = h.Checker.Refuse(r, authz.RouteDenied, errUntrusted)
	} else if err != nil {
		d = h.Checker.Refuse(r, authz.RouteDenied, err)
	} else if as.fixedHeaders && h.Checker.HasAliasedHeader(r) {
		d = h.Checker.Refuse(r, authz.AmbiguousHeader, nil)
	} else {
		d = h.Checker.Check(hr.Context(), r)
	}
	if d.Allowed() {
		h.allow(w, r, d, as)
		return
	}
	denial := h.Renderer.Denial(r, d)
	if as.relays {
		denial = h.Renderer.relayed(denial, d)
	}
	denial.write(w)
}

// readOriginal reads what nginx's configuration has it send.
func readOriginal(r *authz.Request) error {
	return readTarget(r, "x-original-method", "x-original-uri", "")
}

// readForwarded reads what Caddy and Traefik send.
func readForwarded(r *authz.Request) error {
	return readTarget(r, "x-forwarded-method", "x-forwarded-uri", "x-forwarded-host")
}

// readTarget takes method, target and host from headers; each must stand there
// once. No name for the host leaves the request's own.
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

// readEnvoyTarget takes the rest of the path, byte for byte, with the query.
func readEnvoyTarget(r *authz.Request) error {
	r.Target = strings.TrimPrefix(r.Target, envoyPath)
	if r.Target == "" || r.Target[0] != '/' {
		return errNoTarget
	}
	return nil
}

// What an allow tells the proxy beside the headers for the upstream.
const (
	uriHeader    = "x-keyward-uri"                  // the target to pass on, without a credential in its query
	removeHeader = "x-envoy-auth-headers-to-remove" // Envoy takes these away; so does our HAProxy
)

// allow says an allow. The answer has all that the upstream may have of what
// we speak about: identity headers, Cookie, and the credential where a route
// forwards it. A proxy puts them in the place of what the client sent under these
// names; one that is not in the answer it removes.
func (h *Handler) allow(w http.ResponseWriter, r *authz.Request, d *authz.Decision, as *asker) {
	allow, header := h.Renderer.Allow(d), w.Header()
	for i := range r.Headers {
		sent := &r.Headers[i]
		if !slices.Contains(h.CredentialHeaders, sent.Name) || slices.Contains(allow.Remove, sent.Name) {
			continue
		}
		if before := header.Get(sent.Name); before != "" && sent.Name == "cookie" {
			// On one line, as RFC 9113 section 8.2.3 joins them: proxies keep one line, or join with a comma.
			header.Set(sent.Name, before+"; "+sent.Value)
		} else {
			header.Add(sent.Name, sent.Value)
		}
	}
	// One piece of memory for the values, as http.Header wants them.
	values := make([]string, 0, len(allow.Set)+2)
	set := func(name, value string) {
		values = append(values, value)
		header[canonicalName(name)] = values[len(values)-1 : len(values) : len(values)]
	}
	for _, identity := range allow.Set {
		set(identity.Name, identity.Value)
	}
	set(uriHeader, withoutParameter(r.Target, allow.RemoveQuery))
	if remove := as.remove(allow.Remove, allow.Overrides); remove != "" {
		set(removeHeader, remove)
	}
	for _, quota := range allow.ResponseHeaders {
		header.Set(quota.Name, quota.Value)
	}
	w.WriteHeader(http.StatusOK)
}

// remove is what the proxy is told to remove.
func (as *asker) remove(names []string, always *Overrides) string {
	if as.listed {
		if always.list != "" {
			names = append(names, always.list)
		}
		return strings.Join(names, ",")
	}
	var odd string
	for _, name := range names {
		if !authz.IsUnambiguousName(name) {
			odd += "," + name
		}
	}
	return strings.TrimPrefix(odd, ",")
}

// canonicalName is http.CanonicalHeaderKey, without a copy for the names that come with nearly every allow.
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

// withoutParameter returns the target without the query's parameters of that
// name; all else stays byte for byte.
func withoutParameter(target, name string) string {
	path, query, found := strings.Cut(target, "?")
	if name == "" || !found {
		return target
	}
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		if n, _, _ := strings.Cut(pair, "="); n != name {
			kept = append(kept, pair)
		}
	}
	if len(kept) == 0 {
		return path
	}
	return path + "?" + strings.Join(kept, "&")
}
