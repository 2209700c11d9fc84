package protocol

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"keyward/manage/oauth"
	"keyward/manage/state"
)

// takeRedirectURI sets where the answer goes, and reports whether that is registered: to the
// letter, but for the port on the machine of the user (RFC 8252 section 7.3). Without one in
// the request it is the only one that is registered. What else the library would take for
// something else is changed into what it refuses.
func (x *exchange) takeRedirectURI() bool {
	sent, registered := x.form.Get("redirect_uri"), x.client.RedirectURIs
	x.visit.authorization = &oauth.Authorization{Code: state.AuthorizationCode{RedirectURI: sent}}
	if sent == "" && !x.form.Has("redirect_uri") && len(registered) == 1 {
		sent = registered[0]
		x.form.Set("redirect_uri", sent)
	}
	if !slices.ContainsFunc(registered, func(uri string) bool { return sent == uri || sameButPort(sent, uri) }) {
		return false
	}
	u, err := url.Parse(sent)
	if err != nil {
		return false
	}
	x.redirectURI = u.String()
	if x.form.Has("code_challenge") && x.form.Get("code_challenge_method") != "S256" {
		x.form.Set("code_challenge_method", "plain") // which it is without a method (RFC 7636 section 4.3)
	}
	x.takeResponse()
	return true
}

// takeResponse takes from the request how it wants the answer, other than as a code in the
// query. The library would give its refusal in the form that is refused.
func (x *exchange) takeResponse() {
	if kind := x.form.Get("response_type"); kind != "" && kind != "code" {
		x.form.Set("response_type", "code")
		x.visit.refused = goidc.NewError("unsupported_response_type", "the response type is code")
	}
	if mode := x.form.Get("response_mode"); mode != "" && mode != "query" {
		x.form.Del("response_mode")
		x.visit.refused = goidc.NewError(goidc.ErrorCodeInvalidRequest, "the response mode is query")
	}
	// What may be ignored, and is not to be an error (OpenID Connect Core section 15.1).
	x.form.Del("display")
	x.form.Del("acr_values")
}

// sameButPort reports whether a URI is one of the user's machine that is registered with
// another port, or with none.
func sameButPort(sent, registered string) bool {
	a, port := withoutPort(sent)
	b, _ := withoutPort(registered)
	return a != "" && a == b && (port == "" || validPort(port))
}

// withoutPort returns the URI without its port, and that; "" for a URI that is not one of
// http://127.0.0.1 or http://[::1].
func withoutPort(uri string) (rest, port string) {
	for _, host := range []string{"http://127.0.0.1", "http://[::1]"} {
		after, is := strings.CutPrefix(uri, host)
		if !is || after != "" && !strings.ContainsAny(after[:1], ":/?") {
			continue
		}
		if after, is = strings.CutPrefix(after, ":"); is {
			end := strings.IndexAny(after, "/?")
			if end < 0 {
				end = len(after)
			}
			port, after = after[:end], after[end:]
		}
		return host + after, port
	}
	return "", ""
}

func validPort(port string) bool {
	_, err := netip.ParseAddrPort(net.JoinHostPort("127.0.0.1", port))
	return err == nil && port[0] != '0'
}
