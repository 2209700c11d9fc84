package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"

	"keyward/e2e/stack"
)

var faulty struct {
	once    sync.Once
	library string
	err     error
}

// faultyModule returns a module that panics in the function that KEYWARD_FAULT names.
func faultyModule(t *testing.T) string {
	t.Helper()
	need(t, "gcc")
	faulty.once.Do(func() {
		dir := filepath.Join(filepath.Dir(programs.keyward), "faults")
		if faulty.err = os.Mkdir(dir, 0o700); faulty.err == nil {
			faulty.library, faulty.err = stack.BuildModule(programs.root, dir, "faults")
		}
	})
	if faulty.err != nil {
		t.Fatal(faulty.err)
	}
	return faulty.library
}

// withFault returns the variables of an Envoy whose module panics in the function.
func withFault(t *testing.T, function string) []string {
	t.Helper()
	return []string{modulePath(faultyModule(t)), "KEYWARD_FAULT=" + function}
}

// TestModulePanics: a panic in the module ends neither Envoy, nor does it let a request
// in.
func TestModulePanics(t *testing.T) {
	t.Run("configure", func(t *testing.T) {
		r := newTrial(t, "")
		r.key("--name", "k")
		r.env = withFault(t, "configure")
		r.refuses("keyward: panic in keyward_configure: injected")
	})
	t.Run("route", func(t *testing.T) {
		r := newTrial(t, "")
		r.key("--name", "k")
		r.env = withFault(t, "route")
		r.change = func(c *stack.EnvoyConfig) { pickRoutes(t, c) }
		r.refuses("keyward: panic in keyward_route: injected")
	})
	t.Run("check, and ext_authz asks", func(t *testing.T) {
		d := startDecides(t, options{proxy: "envoy-module", env: withFault(t, "check")})
		for line, want := range map[string]int{bearer(d.key): 200, bearer(d.revoked): 401, "A: b": 401, d.right: 200, d.wrong: 401} {
			if a, by := d.where("/any", line); a.status != want || by != "beside" {
				t.Errorf("%.40s: %d by %q, want %d by the Keyward beside", line, a.status, by, want)
			}
		}
		d.reports("keyward: panic in keyward_check: injected")
		d.Keyward.Kill()
		d.deniesAll(d.key)
	})
	t.Run("check, alone", func(t *testing.T) {
		d := startDecides(t, options{proxy: "envoy-module-alone", env: withFault(t, "check")})
		d.deniesAll(d.key)
		if a := d.get("/public"); a.header.Get("Cache-Control") != "no-store" || !strings.Contains(a.body, `"reason":"internal"`) {
			t.Errorf("%v %s", a.header, a.body)
		}
		before := d.arrived()
		d.deniesGRPC(codes.Unavailable, d.key)
		if d.arrived() != before {
			t.Error("a gRPC call reached the upstream")
		}
		d.reports("keyward: panic in keyward_check: injected")
	})
	t.Run("close", func(t *testing.T) {
		d := startDecides(t, options{proxy: "envoy-module", env: withFault(t, "close"), follow: true})
		d.replaceListener()
		d.reports("keyward: panic in keyward_close: injected")
		if a, by := d.where("/any", bearer(d.key)); a.status != 200 || by != "module" {
			t.Errorf("after the panic: %d by %q", a.status, by)
		}
		if a, by := d.where("/any", bearer(d.revoked)); a.status != 401 || by != "module" {
			t.Errorf("a revoked key after the panic: %d by %q", a.status, by)
		}
	})
}

// replaceListener makes Envoy replace its listener, and with it the module's filter.
func (s *system) replaceListener() {
	s.t.Helper()
	const file, prefix = "listeners.yaml", "stat_prefix: edge"
	text := readText(s.t, filepath.Join(s.dir, file))
	next := writeFile(s.t, s.dir, "next.yaml", s.replaced(text, prefix, prefix+"2"))
	if err := os.Rename(next, filepath.Join(s.dir, file)); err != nil {
		s.t.Fatal(err)
	}
}

// reports wants a text in Envoy's log, which has the module's.
func (s *system) reports(text string) {
	s.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !strings.Contains(s.Proxy.Log(), text); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Errorf("no %q in the log:\n%s", text, tail(s.Proxy.Log()))
			return
		}
	}
}

// TestModuleWithAnotherABI: Envoy warns of a module of another version, and the verdicts
// are the same.
func TestModuleWithAnotherABI(t *testing.T) {
	text, err := os.ReadFile(moduleLibrary(t))
	if err != nil {
		t.Fatal(err)
	}
	const version = "v0.2.0\x00"
	if n := bytes.Count(text, []byte(version)); n != 1 {
		t.Fatalf("the library has its ABI's version %d times", n)
	}
	library := writeFile(t, t.TempDir(), "libkeyward.so", string(bytes.Replace(text, []byte(version), []byte("v0.1.0\x00"), 1)))
	d := startDecides(t, options{proxy: "envoy-module", env: []string{modulePath(library)}})
	for line, want := range map[string]int{bearer(d.key): 200, bearer(d.revoked): 401, "A: b": 401} {
		if a, by := d.where("/any", line); a.status != want || by != "module" {
			t.Errorf("%.40s: %d by %q, want %d by the module", line, a.status, by, want)
		}
	}
	d.reports("v0.1.0")
	if !strings.Contains(d.Proxy.Log(), "[warning][dynamic_modules]") {
		t.Errorf("Envoy does not warn:\n%s", tail(d.Proxy.Log()))
	}
}

// TestModuleFiles: what the module has loaded stays in force when a file is gone, or when
// keyward.yaml becomes invalid. The log says so.
func TestModuleFiles(t *testing.T) {
	d := startDecides(t, options{proxy: "envoy-module-alone"})
	wants := func(what, line string, status int) {
		t.Helper()
		d.until(what, func() (answer, bool) { a := d.get("/any", line); return a, a.status == status })
	}
	wants("a key", bearer(d.key), 200)
	keys := filepath.Join(d.dir, "keys.jsonl")
	if err := os.Rename(keys, keys+".away"); err != nil {
		t.Fatal(err)
	}
	d.reports(`"file cannot be read: what was last read stays in force","file":"keys.jsonl"`)
	wants("a key whose file is gone", bearer(d.key), 200)
	wants("a revoked key whose file is gone", bearer(d.revoked), 401)
	if err := os.Rename(keys+".away", keys); err != nil {
		t.Fatal(err)
	}
	d.keyward("key", "revoke", "--file", "keys.jsonl", d.idOf(d.key))
	wants("revoked after the file is back", bearer(d.key), 401)

	file := filepath.Join(d.dir, "keyward.yaml")
	good := readText(t, file)
	writeFile(t, d.dir, "keyward.yaml", good+"colour: red\n")
	d.reports("configuration not reloaded; the last good one stays")
	wants("a public route by the last good configuration", "A: b", 401)
	if a := d.get("/public"); a.status != 200 {
		t.Errorf("a public route by the last good configuration: %d", a.status)
	}
	writeFile(t, d.dir, "keyward.yaml", strings.Replace(good, "path: /public, auth: none", "path: /public", 1))
	d.until("closed by the new configuration", func() (answer, bool) { a := d.get("/public"); return a, a.status == 401 })
}

// TestModuleWithoutKeys: a module without the key file leaves everything undecided, public
// routes too, until it is there.
func TestModuleWithoutKeys(t *testing.T) {
	for _, proxy := range inEnvoy {
		t.Run(proxy, func(t *testing.T) {
			d := startDecides(t, options{proxy: proxy, moduleText: func(text string) string { return strings.Replace(text, "keys.jsonl", "later.jsonl", 1) }})
			d.reports(`"file cannot be read: not ready","file":"later.jsonl"`)
			for _, c := range []struct {
				target, line string
				beside       int // by the Keyward beside
			}{{"/any", bearer(d.key), 200}, {"/any", bearer(d.revoked), 401}, {"/any", "A: b", 401}, {"/public", "A: b", 200}} {
				want := c.beside
				if proxy == "envoy-module-alone" {
					want = 503
				}
				before := d.arrived()
				if a := d.get(c.target, c.line); a.status != want || (d.arrived() > before) != (want == 200) {
					t.Errorf("%s %.40s: %d %s, want %d", c.target, c.line, a.status, a.body, want)
				}
			}
			writeFile(t, d.dir, "later.jsonl", readText(t, filepath.Join(d.dir, "keys.jsonl")))
			d.until("decided within Envoy", func() (answer, bool) {
				a, by := d.where("/any", bearer(d.key))
				return a, a.status == 200 && by == "module"
			})
		})
	}
}

// TestModuleDisabledOnRoute: a request on which the module is silent is asked about, and
// what neither checks is the operator's choice.
func TestModuleDisabledOnRoute(t *testing.T) {
	d := startDecides(t, options{proxy: "envoy-module", envoy: func(_ *testing.T, c *stack.EnvoyConfig) {
		all := c.Find("all")
		route := func(path string, filters object) object {
			return object{"match": object{"prefix": path}, "route": object{"cluster": "upstream"}, "typed_per_filter_config": filters}
		}
		unasked := object{"@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute", "disabled": true}
		all["routes"] = append([]any{
			route("/asked", object{"keyward": disabledFilter()}),
			route("/unchecked", object{"keyward": disabledFilter(), "envoy.filters.http.ext_authz": unasked}),
		}, all["routes"].([]any)...)
	}})
	for _, c := range []struct {
		target, line string
		status       int
		by           string
	}{
		{"/asked", bearer(d.key), 200, "beside"},
		{"/asked", "A: b", 401, "beside"},
		{"/asked", bearer(d.revoked), 401, "beside"},
		{"/any", bearer(d.key), 200, "module"},
		{"/unchecked", "A: b", 200, ""},
	} {
		if a, by := d.where(c.target, c.line); a.status != c.status || by != c.by {
			t.Errorf("%s %.40s: %d by %q, want %d by %q", c.target, c.line, a.status, by, c.status, c.by)
		}
	}
	d.Keyward.Kill()
	before := d.arrived()
	for _, line := range []string{bearer(d.key), "A: b", bearer(d.token(jwt.MapClaims{"sub": "alice"}))} {
		if a := d.get("/asked", line); a.status != 503 {
			t.Errorf("%.40s: %d without the Keyward beside, want 503", line, a.status)
		}
	}
	if d.arrived() != before {
		t.Error("a request that nothing checked reached the upstream")
	}
}
