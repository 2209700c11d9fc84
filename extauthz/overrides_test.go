package extauthz

import (
	"slices"
	"strings"
	"testing"

	"keyward/authz"
	"keyward/authz/overrides"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"
)

// TestOverridesOverGRPC checks that every allow removes the overrides. A
// denial, which goes to no upstream, removes none.
func TestOverridesOverGRPC(t *testing.T) {
	renderer := testRenderer
	renderer.Overrides = NewOverrides(overrides.Headers())
	for _, d := range []*authz.Decision{
		{Reason: authz.OK, Remove: []string{"x_auth_subject", "authorization"}},
		{Reason: authz.OK},
		{Reason: authz.Anonymous},
		{Reason: authz.RouteDenied},
	} {
		response := new(authv3.CheckResponse)
		if err := proto.Unmarshal(renderer.appendCheckResponse(nil, &authz.Request{}, d), response); err != nil {
			t.Fatal(err)
		}
		var want []string
		if d.Allowed() {
			want = slices.Concat(d.Remove, overrides.Headers())
		}
		if got := response.GetOkResponse().GetHeadersToRemove(); !slices.Equal(got, want) {
			t.Errorf("%s: removed %q, want %q", d.Reason, got, want)
		}
	}
}

// TestOverridesOverHTTP checks that a response to Envoy names all overrides,
// and one to nginx none, because its configuration has them.
func TestOverridesOverHTTP(t *testing.T) {
	for _, auth := range []authz.AuthMode{authz.AuthNone, authz.AuthRequired} {
		handler := newTestHandler(t, &recordingPolicy{route: authz.Route{Auth: auth, ForwardCredentials: true}})
		handler.Renderer.Overrides = NewOverrides(overrides.Headers())
		w := sendCheck(handler, "POST", "/authz/envoy/x", "127.0.0.1:1", "Authorization", "Bearer good")
		removed := strings.Split(w.Header().Get("X-Envoy-Auth-Headers-To-Remove"), ",")
		for _, name := range append(overrides.Headers(), "x-auth-project") {
			if !slices.Contains(removed, name) {
				t.Errorf("%d: %s is not removed", w.Code, name)
			}
		}
		if slices.Contains(removed, "") || slices.Contains(removed, "authorization") {
			t.Errorf("removed %q", removed)
		}
		w = sendCheck(handler, "GET", "/authz/nginx", "127.0.0.1:1", "Authorization", "Bearer good", "X-Original-Method", "POST", "X-Original-URI", "/x")
		if got := w.Header().Get("X-Envoy-Auth-Headers-To-Remove"); w.Code != 200 || got != "" {
			t.Errorf("nginx: %d, overrides %q", w.Code, got)
		}
	}
}
