package engine_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/engine"
	"keyward/internal/eventually"

	"github.com/prometheus/client_golang/prometheus"
)

func TestMaxAgeArrives(t *testing.T) {
	r := prepare(t, strings.Replace(baseConfig, "keys.jsonl}", "keys.jsonl, max_age: 1s}", 1))
	r.create()
	r.start(engine.Options{})
	key := r.create()
	r.becomes("/", key, authz.OK)
	r.becomes("/", key, authz.ExpiredKey)
}

// TestExpiryIsAnnounced: to the client of a key that ends soon, and to its operators.
func TestExpiryIsAnnounced(t *testing.T) {
	r := prepare(t, strings.Replace(baseConfig, "keys.jsonl}", "keys.jsonl, max_age: 13d, expiry_header: true}", 1))
	key := r.create()
	registry := prometheus.NewRegistry()
	r.start(engine.Options{Registerer: registry})
	announced := func() int {
		handler := r.Current().Handler()
		request := authz.Request{Method: "GET", Target: "/", Headers: []authz.Header{{Name: "authorization", Value: "Bearer " + key}}}
		d := handler.Checker.Check(t.Context(), &request)
		return len(handler.Renderer.Allow(d).ResponseHeaders)
	}
	if announced() != 1 {
		t.Error("the client is not told")
	}
	eventually.Succeeds(t, func() error {
		families, err := registry.Gather()
		if err != nil {
			return err
		}
		counted := 0.0
		for _, family := range families {
			if family.GetName() == "keyward_key_expiry_reminders_total" {
				for _, m := range family.GetMetric() {
					counted += m.GetCounter().GetValue()
				}
			}
		}
		if counted != 1 {
			return fmt.Errorf("%v reminders counted", counted)
		}
		if !strings.Contains(r.log.String(), `"msg":"a key expires soon"`) {
			return errors.New("no reminder")
		}
		return nil
	})
	r.configure(strings.Replace(baseConfig, "keys.jsonl}", "keys.jsonl, max_age: 13d}", 1))
	if err := r.Reload(); err != nil || announced() != 0 {
		t.Errorf("announced without expiry_header (%v)", err)
	}
}

func TestNoKeyFileIsNoKeys(t *testing.T) {
	r := prepare(t, strings.Replace(baseConfig, "DIR/keys.jsonl", `""`, 1))
	key := r.create()
	r.start(engine.Options{})
	if reason := r.ask("/", key); reason != authz.UnknownKey {
		t.Errorf("%s", reason)
	}
	if err := r.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
}

func TestLoggedDecisions(t *testing.T) {
	for setting, want := range map[string][2]bool{"all": {true, true}, "denied": {false, true}, "none": {false, false}} {
		r := prepare(t, strings.Replace(baseConfig, "decisions: all", "decisions: "+setting, 1))
		key := r.create()
		r.start(engine.Options{})
		r.becomes("/allowed", key, authz.OK)
		r.becomes("/denied", "", authz.NoCredential)
		for i, path := range []string{"/allowed", "/denied"} {
			if logged := strings.Contains(r.log.String(), `"path":"`+path); logged != want[i] {
				t.Errorf("decisions: %s: %s is logged: %v", setting, path, logged)
			}
		}
	}
}

// TestHalfAConfigurationIsNotPutInForce: a file is loaded once it has been left alone.
func TestHalfAConfigurationIsNotPutInForce(t *testing.T) {
	strict := baseConfig + "\ndefault: {auth: deny}\n"
	r := prepare(t, strict)
	r.create()
	r.start(engine.Options{})
	r.becomes("/", "", authz.RouteDenied)
	for i := range 12 { // a writer that never rests for as long as the engine waits
		r.configure(baseConfig + strings.Repeat("#", i+1) + "\n")
		if reason := r.ask("/", ""); reason != authz.RouteDenied {
			t.Fatalf("a half-written configuration is in force: %s", reason)
		}
		time.Sleep(100 * time.Millisecond)
	}
	r.configure(strict + "\nrequire_https: true\n")
	eventually.Succeeds(t, func() error {
		if reason := r.ask("/", ""); reason != authz.HTTPSRequired {
			return fmt.Errorf("the finished configuration is not in force: %s", reason)
		}
		return nil
	})
}

// TestKeyFileOfAnotherConfiguration: a reload that names other files reads those,
// and leaves the old ones alone.
func TestKeyFileOfAnotherConfiguration(t *testing.T) {
	r := prepare(t, baseConfig)
	key := r.create()
	r.start(engine.Options{})
	r.becomes("/", key, authz.OK)
	text, err := os.ReadFile(r.path("keys.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(string(text), "\n")
	if err := os.WriteFile(r.path("others.jsonl"), []byte(header+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.configure(strings.Replace(baseConfig, "keys.jsonl", "others.jsonl", 1))
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	r.becomes("/", key, authz.UnknownKey)
}
