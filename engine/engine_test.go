package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/config"
	"keyward/engine"
	"keyward/internal/eventually"
	"keyward/internal/recordfile"
	"keyward/internal/syncbuffer"
	"keyward/store"
	"keyward/store/filestore"

	"github.com/prometheus/client_golang/prometheus"
)

// running is an engine with the files that it reads. Nothing listens.
type running struct {
	*engine.Engine
	t       *testing.T
	dir     string
	journal *recordfile.KeyFile
	log     *syncbuffer.Buffer
}

const baseConfig = `
keys: {file: DIR/keys.jsonl}
log: {level: debug, decisions: all}
`

// prepare makes the files, in which DIR stands for the test's directory.
func prepare(t *testing.T, text string) *running {
	t.Helper()
	r := &running{t: t, dir: t.TempDir(), log: &syncbuffer.Buffer{}}
	r.journal = recordfile.NewKeyFile(filestore.KeyFileConfig{Path: r.path("keys.jsonl"), Hasher: apikey.NewHasher(authz.Secret{})})
	r.configure(text)
	return r
}

// start starts an engine on the files, with what more of Options the test wants.
func (r *running) start(opts engine.Options) {
	r.t.Helper()
	opts.Source = engine.NewSource(r.path("keyward.yaml"), func() (*config.Config, error) {
		return config.Load(r.path("keyward.yaml"), os.LookupEnv)
	})
	opts.Logger = slog.New(slog.NewJSONHandler(r.log, nil))
	var err error
	if opts.Config, err = opts.Source.Load(); err != nil {
		r.t.Fatal(err)
	}
	if r.Engine, err = engine.Start(opts); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := r.Close(); err != nil {
			r.t.Errorf("close: %v", err)
		}
	})
}

func (r *running) path(name string) string { return filepath.Join(r.dir, name) }

func (r *running) configure(text string) {
	r.t.Helper()
	if err := os.WriteFile(r.path("keyward.yaml"), []byte(strings.ReplaceAll(text, "DIR", r.dir)), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) create() string {
	r.t.Helper()
	_, secret, err := r.journal.Create(context.Background(), store.KeyParams{Name: "test", Prefix: "kw_"})
	if err != nil {
		r.t.Fatal(err)
	}
	return secret.Reveal()
}

// ask returns the reason of a check of a key.
func (r *running) ask(target, key string) authz.Reason {
	request := authz.Request{Method: "GET", Target: target, Scheme: "http", Peer: "192.0.2.1"}
	if key != "" {
		request.Headers = []authz.Header{{Name: "authorization", Value: "Bearer " + key}}
	}
	return r.Current().Checker().Check(r.t.Context(), &request).Reason
}

// becomes waits for a decision that follows from a change of a file.
func (r *running) becomes(target, key string, want authz.Reason) {
	r.t.Helper()
	eventually.Succeeds(r.t, func() error {
		if reason := r.ask(target, key); reason != want {
			return fmt.Errorf("%s is answered %s, want %s", target, reason, want)
		}
		return nil
	})
}

// observer counts the decisions that it receives.
type observer struct{ told atomic.Int64 }

// Observe implements authz.Observer.
func (o *observer) Observe(*authz.Request, *authz.Decision) { o.told.Add(1) }

// TestEngine: one is started, asked, reloaded and closed, and nothing listens.
func TestEngine(t *testing.T) {
	r := prepare(t, baseConfig)
	key := r.create()
	told, registry := new(observer), prometheus.NewRegistry()
	r.start(engine.Options{Observers: []authz.Observer{told}, Registerer: registry})
	r.becomes("/api", key, authz.OK)
	if reason := r.ask("/api", "kw_nonsense"); reason != authz.InvalidToken {
		t.Errorf("junk: %s", reason)
	}
	if told.told.Load() < 2 || !strings.Contains(r.log.String(), `"invalid_token"`) {
		t.Errorf("%d decisions observed; log %s", told.told.Load(), r.log)
	}
	before := r.Current()
	r.configure(baseConfig + "routes: [{path: /open, auth: none}]\ndefault: {auth: required, scopes: [admin]}\n")
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if r.Current() == before {
		t.Error("a reload left what was in force")
	}
	r.becomes("/open", "", authz.Anonymous)
	if caches := r.Caches(); caches[0].Name != "key" || caches[0].Hits+caches[0].Misses == 0 {
		t.Errorf("the reload forgot verified keys: %+v", caches)
	}
	if families, err := registry.Gather(); err != nil || !strings.Contains(fmt.Sprint(families), "keyward_config_reloads_total") {
		t.Errorf("the registry has no reloads: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := r.Reload(); err == nil {
		t.Error("reloaded after Close")
	}
}

// TestChangedFileIsReloaded, without a call.
func TestChangedFileIsReloaded(t *testing.T) {
	r := prepare(t, baseConfig)
	r.create()
	r.start(engine.Options{})
	r.becomes("/open", "", authz.NoCredential)
	r.configure(baseConfig + "routes: [{path: /open, auth: none}]\n")
	r.becomes("/open", "", authz.Anonymous)
}

// TestReloadThatIsRefused leaves what is in force.
func TestReloadThatIsRefused(t *testing.T) {
	r := prepare(t, baseConfig)
	key := r.create()
	refused := errors.New("only by a restart")
	r.start(engine.Options{AcceptReload: func(_, fresh *config.Config) error {
		if len(fresh.Routes) > 0 {
			return refused
		}
		return nil
	}})
	r.becomes("/", key, authz.OK)
	before := r.Current()
	for _, text := range []string{
		baseConfig + "routes: [{path: /open, auth: none}]\n",
		"nonsense: true\n",
		"keys: {file: DIR/none.jsonl}\n",
		"keys: {file: DIR/keys.jsonl, pepper_file: DIR/none}\n",
	} {
		r.configure(text)
		if err := r.Reload(); err == nil {
			t.Errorf("reloaded to %s", text)
		}
		if r.Current() != before || r.ask("/", key) != authz.OK {
			t.Errorf("what was in force is no longer, after %s", text)
		}
	}
	r.configure(baseConfig)
	if err := r.Reload(); err != nil {
		t.Error(err)
	}
}

// TestLevelFollowsTheConfiguration, at the start and at a reload.
func TestLevelFollowsTheConfiguration(t *testing.T) {
	r := prepare(t, baseConfig)
	level := new(slog.LevelVar)
	r.start(engine.Options{LogLevel: level})
	if level.Level() != slog.LevelDebug {
		t.Errorf("level %s", level)
	}
	r.configure("keys: {file: DIR/keys.jsonl}\nlog: {level: error}\n")
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if level.Level() != slog.LevelError {
		t.Errorf("level %s", level)
	}
}

// TestStartThatFails: the error is returned, what was opened is closed, and the
// metrics are not left in the registry. A closed engine leaves none there either.
func TestStartThatFails(t *testing.T) {
	registry := prometheus.NewRegistry()
	for _, text := range []string{
		"keys: {file: DIR/keys.jsonl, pepper_file: DIR/none}\n",
		"keys: {file: DIR/keys.jsonl}\nintrospection: [{name: a, url: \"https://example.com/\", client_id: a, client_secret_file: DIR/none}]\n",
	} {
		r := prepare(t, text)
		cfg, err := config.Load(r.path("keyward.yaml"), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := engine.Start(engine.Options{Config: cfg, Registerer: registry}); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v for %s", err, text)
		}
	}
	for range 2 {
		r := prepare(t, baseConfig)
		r.start(engine.Options{Registerer: registry})
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDryRunCountsNothing: what `keyward check` judges by is asked as often as one likes.
func TestDryRunCountsNothing(t *testing.T) {
	r := prepare(t, "keys: {file: DIR/keys.jsonl}\nrate_limits: {anonymous: 1/d, failed: 1/d}\nroutes: [{path: /public, auth: none, rate: 1/d}]\n")
	r.create()
	told := new(observer)
	r.start(engine.Options{DryRun: true, Observers: []authz.Observer{told}, DenialObserver: func(time.Time) authz.Observer { return told }})
	for range 3 {
		public := &authz.Request{Method: "GET", Target: "/public", Scheme: "http", Peer: "192.0.2.1"}
		if d := r.Current().Checker().Check(t.Context(), public); d.Reason != authz.Anonymous || d.Quota != (authz.Quota{}) {
			t.Errorf("%s with %+v", d.Reason, d.Quota)
		}
		if reason := r.ask("/", "kw_nonsense"); reason != authz.InvalidToken {
			t.Errorf("a guess: %s", reason)
		}
	}
	if n := told.told.Load(); n != 0 {
		t.Errorf("%d decisions observed", n)
	}
}
