package server_test

import (
	"context"
	"testing"
	"time"

	"keyward/internal/rawcheck"
	"keyward/internal/vectors"
	"keyward/store"
)

func (r *running) raw(request rawcheck.Request) rawcheck.Answer {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	answer, err := rawcheck.Ask(ctx, r.conn, request)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer
}

// TestPathVectorsOverGRPC: each target, as sent, under a key with that restriction.
func TestPathVectorsOverGRPC(t *testing.T) {
	keys := map[string]string{}
	r := start(t, baseConfig, func(r *running) {
		for _, v := range vectors.Paths(t) {
			if keys[v.Prefix] == "" {
				keys[v.Prefix] = r.create(store.KeyParams{Paths: []string{v.Prefix}})
			}
		}
	})
	want := map[string]string{"allow": "200 ok", "deny": "403 path_not_allowed", "deny_ambiguous": "400 ambiguous_path"}
	for _, v := range vectors.Paths(t) {
		got := r.raw(rawcheck.Request{Method: "GET", Target: v.Target, Headers: [][2]string{{"authorization", "Bearer " + keys[v.Prefix]}}})
		if got.String() != want[v.Expect] {
			t.Errorf("%q under %q: %s, want %s (%s)", v.Target, v.Prefix, got, want[v.Expect], v.Why)
		}
	}
}

// TestAuthorizationVectorsOverGRPC: what is well formed is unknown here, and so refused for another reason.
func TestAuthorizationVectorsOverGRPC(t *testing.T) {
	r := start(t, baseConfig+`
credentials: {header: X-API-Key, cookie: session, basic_key_usernames: [haplo]}
`, func(r *running) { r.create(store.KeyParams{}) })
	want := map[string]string{
		"basic": "401 wrong_password", "bearer": "401 invalid_token", "apikey": "401 invalid_token", "cookie": "401 invalid_token",
		"none": "401 no_credential", "deny_malformed": "401 malformed_credential", "deny_too_large": "401 malformed_credential",
		"deny_ambiguous": "401 ambiguous_credential", "deny_unsupported": "401 unsupported_credential",
	}
	for _, v := range vectors.Authorizations(t) {
		got := r.raw(rawcheck.Request{Method: "GET", Target: v.Target, Headers: v.Headers})
		if got.String() != want[v.Expect] {
			t.Errorf("%.80q %s: %s, want %s (%s)", v.Headers, v.Target, got, want[v.Expect], v.Why)
		}
	}
}
