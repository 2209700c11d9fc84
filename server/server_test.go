package server_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/config"
	"keyward/internal/eventually"
	"keyward/internal/records"
	"keyward/internal/syncbuffer"
	"keyward/server"
	"keyward/store"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// running is a server on unix sockets, with the files it reads.
type running struct {
	t   *testing.T
	dir string
	*backend
	reload   chan struct{}
	stop     func() error
	log      *syncbuffer.Buffer
	conn     *grpc.ClientConn
	authz    authv3.AuthorizationClient
	adminURL *http.Client
	drain    time.Duration // how long it drains; prepare may change it
}

const baseConfig = `
listen: {grpc: "unix://DIR/grpc.sock", http: "", admin: "unix://DIR/admin.sock"}
keys: {file: DIR/keys.jsonl}
log: {level: debug, decisions: all}
`

// start runs a server on the configuration, in which DIR stands for a directory
// of the test's own. prepare may write files there first.
func start(t *testing.T, text string, prepare func(r *running)) *running {
	t.Helper()
	aboutFiles(t) // those of a console are not
	return startIn(t, newBackend(t, socketDir(t)), text, prepare)
}

// startIn is start with the records in the backend.
func startIn(t *testing.T, b *backend, text string, prepare func(r *running)) *running {
	t.Helper()
	r := &running{t: t, dir: b.dir, backend: b, reload: make(chan struct{}), log: &syncbuffer.Buffer{}, drain: time.Millisecond}
	r.configure(r.backend.configure(text))
	prepare(r)
	s, err := server.New(server.Options{
		Load:       func() (*config.Config, error) { return config.Load(r.path("keyward.yaml"), os.LookupEnv) },
		ConfigFile: r.path("keyward.yaml"),
		Logger:     slog.New(slog.NewJSONHandler(r.log, nil)), Version: "test",
		DrainDelay: r.drain,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, r.reload) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	if r.conn, err = grpc.NewClient("unix://"+r.path("grpc.sock"), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.conn.Close() })
	r.authz = authv3.NewAuthorizationClient(r.conn)
	r.adminURL = &http.Client{Transport: &http.Transport{DialContext: dialUnix(r.path("admin.sock"))}}
	if r.db != nil {
		eventually.SucceedsWithin(t, time.Minute, r.copied)
	}
	return r
}

// copied returns why the server does not have the records of the database yet.
func (r *running) copied() error {
	response, err := r.adminURL.Get("http://keyward/readyz")
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %w", response.Status, err)
	}
	return nil
}

// socketDir returns a directory whose path is short enough for the address of a socket.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "keyward-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (r *running) path(name string) string { return filepath.Join(r.dir, name) }

func (r *running) configure(text string) {
	r.write("keyward.yaml", strings.ReplaceAll(text, "DIR", r.dir))
}

func (r *running) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) create(p store.KeyParams) string {
	r.t.Helper()
	p.Name, p.Prefix = "test", "kw_"
	_, secret, err := r.keys(nil).Create(context.Background(), p)
	if err != nil {
		r.t.Fatal(err)
	}
	return secret.Reveal()
}

// ask returns the HTTP status and the reason of a check.
func (r *running) ask(target, key string) (int, string) {
	r.t.Helper()
	return r.askFrom("192.0.2.1", target, key)
}

// askFrom is ask about a request of that peer, with these lines of X-Forwarded-For.
func (r *running) askFrom(peer, target, key string, forwarded ...string) (int, string) {
	r.t.Helper()
	http := &authv3.AttributeContext_HttpRequest{Method: "GET", Path: target, Scheme: "http", HeaderMap: &corev3.HeaderMap{}}
	add := func(name, value string) {
		http.HeaderMap.Headers = append(http.HeaderMap.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte(value)})
	}
	if key != "" {
		add("authorization", "Bearer "+key)
	}
	for _, line := range forwarded {
		add("x-forwarded-for", line)
	}
	source := &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: peer}}}}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // a busy machine answers late
	defer cancel()
	response, err := r.authz.Check(ctx, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: source, Request: &authv3.AttributeContext_Request{Http: http}}}, grpc.WaitForReady(true))
	if err != nil {
		r.t.Fatal(err)
	}
	reason := response.GetDynamicMetadata().GetFields()["reason"].GetStringValue()
	if response.GetOkResponse() != nil {
		return 200, reason
	}
	return int(response.GetDeniedResponse().GetStatus().GetCode()), reason
}

// becomes waits for an answer that follows from a change of a file.
func (r *running) becomes(target, key string, want int) {
	r.t.Helper()
	eventually.Succeeds(r.t, func() error {
		if status, reason := r.ask(target, key); status != want {
			return fmt.Errorf("%s is answered %d (%s), want %d", target, status, reason, want)
		}
		return nil
	})
}

func (r *running) get(path string) (int, string) {
	r.t.Helper()
	response, err := r.adminURL.Get("http://admin" + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func (r *running) health() healthpb.HealthCheckResponse_ServingStatus {
	r.t.Helper()
	response, err := healthpb.NewHealthClient(r.conn).Check(context.Background(), &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil {
		r.t.Fatal(err)
	}
	return response.GetStatus()
}

func TestServes(t *testing.T) {
	var key string
	r := start(t, baseConfig, func(r *running) { key = r.create(store.KeyParams{Paths: []string{"/api"}}) })
	r.becomes("/api/x", key, 200)
	r.becomes("/other", key, 403)
	r.becomes("/api", "", 401)
	r.becomes("/api", "kw_nonsense", 401)
	r.becomes("/api/../x", key, 400)
	eventually.Succeeds(t, func() error {
		if h := r.health(); h != healthpb.HealthCheckResponse_SERVING {
			return fmt.Errorf("health %s", h)
		}
		return nil
	})
	if status, _ := r.get("/healthz"); status != 200 {
		t.Errorf("/healthz %d", status)
	}
	if status, text := r.get("/readyz"); status != 200 {
		t.Errorf("/readyz %d %s", status, text)
	}
	status, metrics := r.get("/metrics")
	for _, want := range []string{
		`keyward_decisions_total{decision="allow",reason="ok",transport="grpc"} 1`,
		`keyward_decisions_total{decision="deny",reason="path_not_allowed",transport="grpc"} 1`,
		`keyward_decisions_total{decision="error",reason="unavailable",transport="grpc"} 0`,
		`keyward_check_duration_seconds_count{transport="grpc"} 5`,
		`keyward_keys{state="active"} 1`, `keyward_cache_hits_total{cache="key"} 1`, `keyward_cache_entries{cache="negative"} 0`,
		`keyward_key_file_reloads_total{result="ok"} 1`, `keyward_key_file_bad_lines_total 0`, `keyward_key_file_rollbacks_total 0`,
		`keyward_users_file_rollbacks_total 0`, `keyward_revocations_file_rollbacks_total 0`, `keyward_key_file_last_success_timestamp_seconds`,
		`keyward_revocation_lag_seconds_count 0`, `keyward_build_info{`,
	} {
		if status != 200 || !strings.Contains(metrics, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	if log := r.log.String(); strings.Contains(log, key) || !strings.Contains(log, `"reason":"path_not_allowed"`) {
		t.Errorf("log: %s", log)
	}
}

// TestNotReadyDeniesEverything: with a file that is not a key file nothing
// gets in, public routes included, until the file is good.
func TestNotReadyDeniesEverything(t *testing.T) {
	r := start(t, baseConfig+`
routes: [{path: /public, auth: none}]
`, func(r *running) { r.write("keys.jsonl", "this is not a key file\n") })
	r.becomes("/public", "", 503)
	r.becomes("/", "kw_x", 503)
	if status, _ := r.get("/readyz"); status != 503 {
		t.Errorf("/readyz %d", status)
	}
	if status, _ := r.get("/healthz"); status != 200 {
		t.Errorf("/healthz %d", status)
	}
	if h := r.health(); h != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health %s", h)
	}
	if err := os.Remove(r.path("keys.jsonl")); err != nil {
		t.Fatal(err)
	}
	key := r.create(store.KeyParams{})
	r.becomes("/public", "", 200)
	r.becomes("/", key, 200)
}

func TestReload(t *testing.T) {
	var key string
	r := start(t, baseConfig, func(r *running) { key = r.create(store.KeyParams{}) })
	r.becomes("/x", key, 200)
	r.configure(baseConfig + `
default: {auth: deny}
routes: [{path: /x, auth: required, scopes: [admin]}]
`)
	r.reload <- struct{}{}
	r.becomes("/y", key, 403)
	if status, reason := r.ask("/x", key); status != 403 || reason != "insufficient_scope" {
		t.Errorf("after the reload: %d %s", status, reason)
	}
	r.configure(baseConfig + "\nnonsense: true\n")
	r.reload <- struct{}{}
	eventually.Succeeds(t, func() error {
		if !strings.Contains(r.log.String(), "configuration not reloaded") {
			return fmt.Errorf("nothing in the log about a bad configuration")
		}
		return nil
	})
	if _, reason := r.ask("/x", key); reason != "insufficient_scope" {
		t.Errorf("after a bad configuration: %s", reason)
	}
	if _, metrics := r.get("/metrics"); !strings.Contains(metrics, `keyward_config_reloads_total{result="error"} 1`) {
		t.Error("the failed reload is not counted")
	}
	// A change of the file alone is noticed too, and a key file that is not there makes nothing worse.
	r.configure(strings.Replace(baseConfig, "keys.jsonl", "elsewhere.jsonl", 1))
	eventually.Succeeds(t, func() error {
		if _, metrics := r.get("/metrics"); !strings.Contains(metrics, `keyward_config_reloads_total{result="error"} 2`) {
			return fmt.Errorf("the changed file was not noticed")
		}
		return nil
	})
	if _, reason := r.ask("/x", key); reason != "insufficient_scope" {
		t.Errorf("after a configuration without keys: %s", reason)
	}
	r.configure(baseConfig)
	r.becomes("/y", key, 200)
}

// TestFileThatIsFollowedNoMore: what the configuration no longer names has no
// time of success, or an alert would call it stale.
func TestFileThatIsFollowedNoMore(t *testing.T) {
	const never = "\nkeyward_users_file_last_success_timestamp_seconds 0\n"
	r := start(t, baseConfig+"\nusers: {file: DIR/users.jsonl}\n", func(r *running) {
		r.create(store.KeyParams{})
		r.user("alice", records.UserPatch{})
	})
	if _, metrics := r.get("/metrics"); strings.Contains(metrics, never) {
		t.Fatal("the file was never read")
	}
	r.configure(baseConfig)
	r.reload <- struct{}{}
	eventually.Succeeds(t, func() error {
		if _, metrics := r.get("/metrics"); !strings.Contains(metrics, never) {
			return fmt.Errorf("there is a time of success yet")
		}
		return nil
	})
}

func TestDrain(t *testing.T) {
	r := start(t, baseConfig, func(r *running) { r.create(store.KeyParams{}) })
	r.becomes("/", "", 401)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.path("grpc.sock")); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestListenerErrors(t *testing.T) {
	dir := t.TempDir()
	occupied := filepath.Join(dir, "file")
	if err := os.WriteFile(occupied, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"unix://" + occupied:                      "not a socket",
		"unix://" + filepath.Join(dir, "no", "x"): "listen.grpc",
		"256.0.0.1:1":                             "listen.grpc",
	} {
		cfg := config.Default()
		cfg.Listen = config.Listen{GRPC: address}
		cfg.Keys.File = ""
		_, err := server.New(server.Options{Load: func() (*config.Config, error) { return cfg, nil }, Logger: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", address, err, want)
		}
	}
}

func dialUnix(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
}
