package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"keyward/apikey"
	"keyward/authz"
	"keyward/config"
	"keyward/internal/otlpreceiver"
	"keyward/internal/race"
	"keyward/internal/recordfile"
	"keyward/store"
	"keyward/store/filestore"
	"keyward/store/importer"
)

// The configuration that the cost of a check is measured by: a route with a
// path and two scopes, metrics, usage and a decision log of denials.
const measuredConfig = `
listen: {grpc: "unix://%[1]s/grpc.sock", http: "", admin: ""}
keys: {file: %[1]s/keys.jsonl}
routes: [{path: /api/v1, auth: required, scopes: ["items:read", "items:write"]}]
log: {decisions: denied}
`

// A limit that is counted and never reached.
const measuredLimits = `
rate_limits: {api_key: 999999999/s}
`

// Tracing to a collector at an address, for checks within a trace that is recorded.
const measuredTracing = `
tracing: {endpoint: "http://%s"}
`

// measured is the checker, with its keys, of an engine by measuredConfig and what
// more of it is given.
func measured(b testing.TB, keys int, more string) (*authz.Checker, []string) {
	cfg, secrets := measuredBy(b, keys, more)
	return checkerOf(b, Options{Config: cfg}), secrets
}

// unobserved is the checker of the same in a dry run.
func unobserved(b testing.TB, keys int) (*authz.Checker, []string) {
	cfg, secrets := measuredBy(b, keys, "")
	return checkerOf(b, Options{Config: cfg, DryRun: true}), secrets
}

// checkerOf starts an engine and waits until it is ready.
func checkerOf(b testing.TB, opts Options) *authz.Checker {
	e := started(b, opts)
	for e.Ready() != nil {
	}
	return e.Current().Checker()
}

// started starts an engine that the test's end closes.
func started(t testing.TB, opts Options) *Engine {
	t.Helper()
	e, err := Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// measuredBy is measuredConfig and more of it, and the keys of its file.
func measuredBy(b testing.TB, keys int, more string) (*config.Config, []string) {
	dir := b.TempDir()
	hasher := apikey.NewHasher(authz.Secret{})
	journal := recordfile.NewKeyFile(filestore.KeyFileConfig{Path: filepath.Join(dir, "keys.jsonl"), Hasher: hasher})
	secrets := make([]string, keys)
	for i := range secrets {
		secret, err := apikey.Generate(rand.Reader, "kw_", apikey.FormatKeyward)
		if err != nil {
			b.Fatal(err)
		}
		secrets[i] = secret.Reveal()
	}
	given, err := importer.KeyFormat{}.Read(strings.NewReader(strings.Join(secrets, "\n")+"\n"), store.KeyParams{
		Name: "measured key", User: "load-test", Prefix: "kw_", Scopes: &[]string{"items:read", "items:write"}, Paths: []string{"/api/v1"},
	}, hasher)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := journal.Import(b.Context(), given); err != nil {
		b.Fatal(err)
	}
	cfg, err := config.Parse("measured", fmt.Appendf(nil, measuredConfig+more, dir), func(string) (string, bool) { return "", false })
	if err != nil {
		b.Fatal(err)
	}
	return cfg, secrets
}

const noSuchKey = "Bearer 00000000000000000000000000000000"

// ask fills in what Envoy sends for an ordinary call.
func ask(r *authz.Request, authorization string) {
	r.Transport, r.Method, r.Scheme, r.Host = authz.TransportGRPC, "GET", "https", "api.example.com"
	r.Target, r.Peer = "/api/v1/items/4711?fields=name", "10.1.2.3"
	r.Headers = append(r.Headers, authz.Header{Name: "authorization", Value: authorization},
		authz.Header{Name: "user-agent", Value: "curl/8.5.0"}, authz.Header{Name: "accept", Value: "*/*"},
		authz.Header{Name: "x-request-id", Value: "c5ad4f5e-8c3e-4b1c-9f0a-2d1f0f7f7a55"}, authz.Header{Name: "x-forwarded-proto", Value: "https"})
}

// BenchmarkCheck is the checker alone, from the request that a transport has
// filled in to the decision, with all that observes it but for "the decision
// alone"; some 40 ns of each are to fill the request in and to empty it.
func BenchmarkCheck(b *testing.B) {
	checker, secrets := measured(b, 1000, "")
	alone, alones := unobserved(b, 1000)
	limited, others := measured(b, 1000, measuredLimits)
	receiver := otlpreceiver.Start(b)
	traced, traceds := measured(b, 1000, fmt.Sprintf(measuredTracing, receiver.Address))
	known := func(secrets []string) func() string {
		for i, s := range secrets {
			secrets[i] = "Bearer " + s
		}
		return func() string { return secrets[mathrand.IntN(len(secrets))] }
	}
	for _, c := range []struct {
		name    string
		checker *authz.Checker
		pick    func() string
		parent  string // of the call
	}{
		{"known", checker, known(secrets), ""}, // tracing is off, and nothing of it there
		{"known, the decision alone", alone, known(alones), ""},
		{"known and counted", limited, known(others), ""}, // at most 1.15 times known
		{"known, tracing on, not sampled", traced, known(traceds), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"},
		{"known and traced", traced, func() string { return traceds[mathrand.IntN(len(traceds))] }, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		{"junk", checker, func() string { return "Bearer kw_0123456789" }, ""},
		{"no such key", checker, func() string { return noSuchKey }, ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var r authz.Request
			for b.Loop() {
				ask(&r, c.pick())
				r.TraceParent = c.parent
				c.checker.Check(context.Background(), &r)
				r.Reset()
			}
		})
	}
}

// BenchmarkCheckParallel is for a mutex profile (-cpu 2 -mutexprofile FILE):
// nothing that all checks share should show in it.
func BenchmarkCheckParallel(b *testing.B) {
	checker, secrets := measured(b, 1000, measuredLimits)
	for i, s := range secrets {
		secrets[i] = "Bearer " + s
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var r authz.Request
		for pb.Next() {
			ask(&r, secrets[mathrand.IntN(len(secrets))])
			checker.Check(context.Background(), &r)
			r.Reset()
		}
	})
}

// TestCheckAllocations: a known key's check makes no garbage, with all that observes it.
func TestCheckAllocations(t *testing.T) {
	if race.Detector {
		t.Skip("sync.Pool forgets on purpose")
	}
	checker, secrets := measured(t, 10, "")
	var r authz.Request
	value := "Bearer " + secrets[0]
	check := func() {
		ask(&r, value)
		if d := checker.Check(context.Background(), &r); !d.Allowed() {
			t.Fatal(d.Reason)
		}
		r.Reset()
	}
	for range 100 { // until there is room for as many outcomes as are kept
		check()
	}
	if n := testing.AllocsPerRun(1000, check); n > 0 {
		t.Errorf("%v allocations per check, want none", n)
	}
}

// TestTracingOffIsNotThere: without an endpoint no observer is added for tracing,
// and no call's metadata is looked at.
func TestTracingOffIsNotThere(t *testing.T) {
	observers := map[bool]int{}
	for text, on := range map[string]bool{"": false, "tracing: {endpoint: \"\"}": false, "tracing: {endpoint: \"http://127.0.0.1:1\"}": true} {
		cfg, err := config.Parse("f", fmt.Appendf(nil, measuredConfig+text, t.TempDir()), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		current := started(t, Options{Config: cfg}).Current()
		if n := len(current.observers()); observers[on] != 0 && observers[on] != n {
			t.Errorf("%q: %d observers", text, n)
		} else {
			observers[on] = n
		}
		if current.Handler().Traced != on {
			t.Errorf("%q: traced is %v", text, !on)
		}
	}
	if observers[true] != observers[false]+1 {
		t.Errorf("%d observers with tracing, %d without", observers[true], observers[false])
	}
}
