package server_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/authz/overrides"
	"keyward/internal/eventually"
	"keyward/internal/rawcheck"
	"keyward/internal/recordfile"
	"keyward/internal/records"
	"keyward/store"
	"keyward/store/filestore"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// TestConfigurationArrives: each line of a configuration, and what it changes. Without
// the line the answer is the other one.
func TestConfigurationArrives(t *testing.T) {
	bearer := func(r *running) [][2]string {
		return [][2]string{{"authorization", "Bearer " + r.create(store.KeyParams{User: "alice"})}}
	}
	inHeader := func(name, before string) func(*running) [][2]string {
		return func(r *running) [][2]string {
			return [][2]string{{name, before + r.create(store.KeyParams{})}}
		}
	}
	basic := func(pair string) func(*running) [][2]string {
		return func(r *running) [][2]string {
			return [][2]string{{"authorization", "Basic " + base64.StdEncoding.EncodeToString(fmt.Appendf(nil, pair, r.create(store.KeyParams{})))}}
		}
	}
	tests := []struct {
		line    string
		target  string
		headers func(*running) [][2]string
		without string
		with    string
	}{
		{"require_https: true", "/", bearer, "200 ok", "403 https_required"},
		{"paths: {allow: [semicolon]}", "/a;b", bearer, "400 ambiguous_path", "200 ok"},
		{"paths: {allow: [encoded-delimiter]}", "/_matrix/client/v3/directory/room/%23general%3Aexample.org", bearer, "400 ambiguous_path", "200 ok"},
		{"paths: {allow: [encoded-backslash]}", "/files/C%3A%5Ctemp%5Ca.txt", bearer, "400 ambiguous_path", "200 ok"},
		{"paths: {allow: [look-alike]}", "/wiki/%E4%BD%95%EF%BC%9F", bearer, "400 ambiguous_path", "200 ok"},
		{"paths: {allow: [non-utf8]}", "/caf%E9", bearer, "400 ambiguous_path", "200 ok"},
		{"routes: [{path: /admin, scopes: [admin]}]", "/ADMIN/users", bearer, "200 ok", "400 ambiguous_path"},
		{"routes: [{path: /admin, scopes: [admin]}]\npaths: {case: insensitive}", "/ADMIN/users", bearer, "200 ok", "403 insufficient_scope"},
		{"paths: {case: insensitive}", "/docs/x", func(r *running) [][2]string {
			return [][2]string{{"authorization", "Bearer " + r.create(store.KeyParams{Paths: []string{"/Docs"}})}}
		}, "403 path_not_allowed", "200 ok"},
		{"routes: [{path: /, scopes_any: [a, b]}]", "/", func(r *running) [][2]string {
			return [][2]string{{"authorization", "Bearer " + r.create(store.KeyParams{Scopes: &[]string{"c"}})}}
		}, "200 ok", "403 insufficient_scope"},
		{"default: {auth: required, scopes: [c], scopes_any: [a, b]}", "/", func(r *running) [][2]string {
			return [][2]string{{"authorization", "Bearer " + r.create(store.KeyParams{Scopes: &[]string{"c"}})}}
		}, "200 ok", "403 insufficient_scope"},
		{"routes: [{path: '/users/{subject}'}]", "/users/bob/files", bearer, "200 ok", "403 path_not_allowed"},
		{"default: {auth: deny}", "/", bearer, "200 ok", "403 route_denied"},
		{"routes: [{path: /, auth: none}]", "/", func(*running) [][2]string { return nil }, "401 no_credential", "200 anonymous"},
		{"users: {file: DIR/users.jsonl}", "/", bearer, "200 ok", "401 disabled_user"},
		{"credentials: {bearer: false, header: X-Key}", "/", bearer, "200 ok", "401 no_credential"},
		{"credentials: {cookie: session}", "/", func(r *running) [][2]string {
			return [][2]string{{"cookie", "session=" + r.create(store.KeyParams{})}}
		}, "401 no_credential", "200 ok"},
		{"credentials: {schemes: [Token]}", "/", inHeader("authorization", "Token "), "401 unsupported_credential", "200 ok"},
		{"credentials: {schemes: ['']}", "/", inHeader("authorization", ""), "401 malformed_credential", "200 ok"},
		{"credentials: {header: [X-API-Key, api-key]}", "/", inHeader("api-key", "Bearer "), "401 no_credential", "200 ok"},
		{"credentials: {websocket_protocol: key.}", "/", inHeader("sec-websocket-protocol", "chat, key."), "401 no_credential", "200 ok"},
		{"credentials: {query: [code, key]}", "/?key=kw%5fjunk", func(*running) [][2]string { return nil }, "401 no_credential", "401 invalid_token"},
		{"credentials: {basic_key_as_username: true}", "/", basic("%s:"), "401 unsupported_credential", "200 ok"},
		{"credentials: {basic_key_usernames: ['*']}", "/", basic("anyone:%s"), "401 unsupported_credential", "200 ok"},
		{"credentials: {basic_key_usernames: [haplo], basic_charset: iso-8859-1}", "/", func(*running) [][2]string {
			return [][2]string{{"authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("haplo:\xe4"))}}
		}, "401 malformed_credential", "401 invalid_token"},
		{"credentials: {basic_key_usernames: [haplo]}", "/", func(*running) [][2]string {
			return [][2]string{{"authorization", "Basic aGFwbG86MDEyMzQ1Njc4OUFCQ0RFRjAxMjM0NTY3ODlBQkNERUYwMTIzNDU2Nzg5QUI="}}
		}, "401 unsupported_credential", "401 unknown_key"},
	}
	for _, test := range tests {
		name, _, _ := strings.Cut(test.line, ":") // the rest cannot be the name of a directory
		t.Run(name, func(t *testing.T) {
			var headers [][2]string
			prepare := func(r *running) {
				r.create(store.KeyParams{})
				headers = test.headers(r)
				users := recordfile.NewUserFile(filestore.UserFileConfig{Path: r.path("users.jsonl")}, nil)
				if _, err := users.Set(context.Background(), "bob", "", records.UserPatch{}); err != nil {
					t.Fatal(err)
				}
			}
			for text, want := range map[string]string{baseConfig: test.without, baseConfig + test.line: test.with} {
				r := start(t, text, prepare)
				if got := r.raw(rawcheck.Request{Method: "GET", Target: test.target, Headers: headers}); got.String() != want {
					t.Errorf("%s: %s, want %s", test.line, got, want)
				}
			}
		})
	}
}

func TestIdentityAndRemovalsArrive(t *testing.T) {
	var key string
	r := start(t, baseConfig+"\nidentity_headers: {x-who: subject}\ncredentials: {header: X-Key}\n", func(r *running) { key = r.create(store.KeyParams{User: "alice"}) })
	answer := r.raw(rawcheck.Request{Method: "GET", Target: "/", Headers: [][2]string{{"x-key", key}, {"x_who", "root"}}})
	ok := answer.Response.GetOkResponse()
	if len(ok.GetHeaders()) != 1 || ok.GetHeaders()[0].GetHeader().GetKey() != "x-who" || ok.GetHeaders()[0].GetHeader().GetValue() != "alice" {
		t.Errorf("set %v", ok.GetHeaders())
	}
	if got, want := ok.GetHeadersToRemove(), append([]string{"x_who", "authorization", "x-key"}, overrides.Headers()...); !slices.Equal(got, want) {
		t.Errorf("removed %q, want %q", got, want)
	}
}

// TestUpstreamOverridesArrive: by default all are removed of every allow, and a
// setting keeps some or all.
func TestUpstreamOverridesArrive(t *testing.T) {
	for line, kept := range map[string][]string{
		"": {}, "upstream_overrides: remove": {}, "upstream_overrides: pass": overrides.Headers(),
		"upstream_overrides: {keep: [X-Forwarded-Host, x-forwarded-prefix]}": {"x-forwarded-host", "x-forwarded-prefix"},
	} {
		r := start(t, baseConfig+"\nroutes: [{path: /open, auth: none}, {path: /own, auth: none, forward_credentials: true}]\n"+line, func(r *running) { r.create(store.KeyParams{}) })
		for _, target := range []string{"/open", "/own"} {
			removed := r.raw(rawcheck.Request{Method: "POST", Target: target}).Response.GetOkResponse().GetHeadersToRemove()
			for _, name := range overrides.Headers() {
				if slices.Contains(removed, name) == slices.Contains(kept, name) {
					t.Errorf("%s %s: removed %q", line, target, removed)
				}
			}
		}
	}
}

// TestUsersFileThatIsNoGood: not ready, and keys that act for a user get 503; others are judged.
func TestUsersFileThatIsNoGood(t *testing.T) {
	var hers, nobodys string
	r := start(t, baseConfig+"\nusers: {file: DIR/users.jsonl}\n", func(r *running) {
		hers, nobodys = r.create(store.KeyParams{User: "alice"}), r.create(store.KeyParams{})
		r.write("users.jsonl", "no users file\n")
	})
	r.becomes("/", hers, 503)
	r.becomes("/", nobodys, 200)
	if status, text := r.get("/readyz"); status != 503 || !strings.Contains(text, "users") {
		t.Errorf("/readyz %d %s", status, text)
	}
	if h := r.health(); h != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health %s", h)
	}
}

func TestListenersStayWhereTheyAre(t *testing.T) {
	r := start(t, baseConfig, func(r *running) { r.create(store.KeyParams{}) })
	r.becomes("/", "", 401)
	r.configure(strings.Replace(baseConfig, "grpc.sock", "other.sock", 1) + "\ndefault: {auth: none}\n")
	r.reload <- struct{}{}
	eventually.Succeeds(t, func() error {
		if !strings.Contains(r.log.String(), "change only by a restart") {
			return fmt.Errorf("log: %s", r.log)
		}
		return nil
	})
	r.becomes("/", "", 401)
}

// TestWhatIsReadAgain: by SIGHUP the keys too, by a changed configuration that alone.
func TestWhatIsReadAgain(t *testing.T) {
	r := start(t, baseConfig, func(r *running) { r.create(store.KeyParams{}) })
	counts := func(configs, keys int) error {
		_, metrics := r.get("/metrics")
		for name, want := range map[string]int{"config": configs, "key_file": keys} {
			if line := fmt.Sprintf(`keyward_%s_reloads_total{result="ok"} %d`, name, want); !strings.Contains(metrics, line+"\n") {
				return fmt.Errorf("/metrics has no %s", line)
			}
		}
		return nil
	}
	eventually.Succeeds(t, func() error { return counts(0, 1) })
	r.configure(baseConfig + "# changed\n")
	eventually.Succeeds(t, func() error { return counts(1, 1) })
	r.reload <- struct{}{}
	eventually.Succeeds(t, func() error { return counts(2, 2) })
}

func TestDrainingIsSaid(t *testing.T) {
	r := start(t, baseConfig, func(r *running) {
		r.create(store.KeyParams{})
		r.drain = 300 * time.Millisecond
	})
	eventually.Succeeds(t, func() error {
		if status, text := r.get("/readyz"); status != 200 {
			return fmt.Errorf("/readyz %d %s", status, text)
		}
		return nil
	})
	r.drainDelay(t)
}

// drainDelay stops the server and looks at what it says meanwhile.
func (r *running) drainDelay(t *testing.T) {
	t.Helper()
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	eventually.Succeeds(t, func() error {
		if status, text := r.get("/readyz"); status != 503 || !strings.Contains(text, "shutting down") {
			return fmt.Errorf("/readyz %d %s", status, text)
		}
		return nil
	})
	if status, _ := r.ask("/", ""); status != 401 {
		t.Errorf("while it drains a check is answered %d", status)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
