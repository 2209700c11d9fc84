package e2e

import (
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"keyward/apikey"
	"keyward/authz"
	"keyward/e2e/stack"
	"keyward/internal/prove"
	"keyward/internal/recordfile"
	"keyward/store"
	"keyward/store/filestore"
)

// What the module must hold at saturation.
const (
	soakInForce = 10 * time.Millisecond // of a revocation
	soakTail    = 5 * time.Millisecond  // p99.9, with garbage collections
)

const (
	soakUser        = "alice"
	soakPassword    = "correct horse"
	soakTokenSecret = "ssssssssssssssssssssssssssssssssssssssssssssssss"
)

const soakConfig = `
users: {file: users.jsonl}
credentials: {basic: true}
jwt: [{name: login, issuer: us, algorithms: [HS256], hmac_secret_file: jwt-secret}]
revocations: {file: revocations.jsonl}
routes:
- {name: reports, path: /d/reports, scopes: ["reports:read"]}
- {name: closed, path: /d/closed, auth: deny}
- {name: public, path: /d/public, auth: none}
- {name: picked, path: =/nowhere, scopes: ["reports:read"]}
`

// soak is a run with all that may happen to an Envoy with the module.
type soak struct {
	*system
	envoys  *soakEnvoys
	config  string // keyward.yaml
	keys    *recordfile.KeyFile
	good    []soakKey
	narrow  soakKey // without a scope
	gone    soakKey // revoked
	unknown string

	ending  chan struct{} // closed when the churn is to end
	paused  sync.RWMutex  // is locked while the churn pauses
	churn   sync.WaitGroup
	mu      sync.Mutex
	counts  map[string]int
	failed  map[string]int
	revoked []revokedKey
	// When the key file was replaced for the last time. While that is under way
	// it is in the future.
	replaced time.Time
	decided  soakDecided
}

type soakKey struct{ id, secret string }

func (s *soak) count(what string) { s.mu.Lock(); s.counts[what]++; s.mu.Unlock() }

// fail counts what must not happen, and reports the first errors.
func (s *soak) fail(what string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed[what]++; s.failed[what] <= 3 {
		s.t.Errorf("%s: %s: %v", time.Now().Format(time.TimeOnly), what, err)
	}
}

// TestModuleSoak keeps one worker of Envoy at saturation for ten minutes, in
// `make test` for some twenty seconds, while its filter, its listener,
// Keyward's configuration and the keys change and clients reset connections. No
// answer may be wrong, a revocation is in force at once, and neither memory nor
// the time of the slowest answers may grow.
func TestModuleSoak(t *testing.T) {
	s := startSoak(t)
	rounds, flood, window := prove.Size(2, 10), prove.Size(6*time.Second, time.Minute), prove.Size(2*time.Second, 6*time.Second)
	s.compareCalm(window)
	before := s.gauges()
	s.startChurn(prove.Size(1500*time.Millisecond, 6*time.Second))
	s.startRevocations(prove.Size(200*time.Millisecond, 500*time.Millisecond))
	resident := s.watchResident()

	var atSaturation, others soakAnswers
	var with, without, churned windows
	for round := range rounds {
		before := workerTimeOf(s.Proxy)
		a, b := s.flood(flood)
		cpu := workerTimeOf(s.Proxy).since(before)
		atSaturation.add(a)
		others.add(b)
		s.readDecided()
		rate := int(a.rate() * 0.6)
		churned.add(s.paced(s.Proxy, s.envoys.edgeAddress(), rate, window, s.goodOnly()))
		s.paused.Lock()
		with.add(s.paced(s.Proxy, s.envoys.edgeAddress(), rate, window, s.goodOnly()))
		without.add(s.paced(s.envoys.aloneProcess, s.envoys.aloneAddress(), rate, window, s.goodAlone()))
		s.paused.Unlock()
		t.Logf("round %d: at saturation %.0f/s, and %.0f/s through the listener that is replaced (the worker ran %v and waited %v of %v); at %d/s %s; Envoy alone %s; during the churn %s; resident %d MiB",
			round+1, a.rate(), b.rate(), cpu.ran.Round(time.Millisecond), cpu.waited.Round(time.Millisecond), flood, rate, with.last(), without.last(), churned.last(), s.resident()>>20)
	}
	close(s.ending)
	s.churn.Wait()
	s.checkAnswers(map[string]*soakAnswers{
		"at saturation": &atSaturation, "through the listener that is replaced": &others,
		"at a given rate": with.all(), "at a given rate, during the churn": churned.all(), "through Envoy alone": without.all(),
	}, others.reconnect)
	s.checkRevocations()
	s.checkTimes(with, without, window)
	s.checkResident(*resident)
	s.checkEnvoy(before)
}

func startSoak(t *testing.T) *soak {
	t.Helper()
	need(t, "Envoy")
	s := &soak{system: newSystem(t, options{config: soakConfig}), ending: make(chan struct{}), counts: map[string]int{}, failed: map[string]int{}, decided: soakDecided{by: map[string]float64{}}}
	t.Setenv(stack.ModulePath, filepath.Dir(moduleLibrary(t)))
	s.writeRecords()
	var err error
	for range 3 {
		var ports, more stack.Ports
		if ports, err = stack.FreePorts(); err == nil {
			more, err = stack.FreePorts()
		}
		if err != nil {
			t.Fatal(err)
		}
		s.envoys = &soakEnvoys{own: t.TempDir(), other: more.GRPC, alone: more, moduleAdmin: stack.Address(more.HTTP)}
		s.config = s.configText(ports)
		file := s.writeConfig(ports)
		writeFile(t, s.dir, "other.yaml", s.config)
		s.Stack, err = stack.Start(t.Context(), stack.Config{
			Dir: s.dir, Keyward: programs.keyward, Ports: ports, KeywardConfig: file, Proxy: s.envoys, Upstream: soakUpstream,
		})
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), "already in use") {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Keyward.Kill() // it would drain for a second
		s.Stop()
		if t.Failed() {
			t.Logf("keyward's log:\n%s", tail(s.Keyward.Log()))
			t.Logf("Envoy's log:\n%s", tail(s.Proxy.Log()))
		}
	})
	s.envoys.startAlone(t)
	return s
}

// writeRecords makes the keys, the user and the secret of the tokens.
func (s *soak) writeRecords() {
	s.t.Helper()
	hasher := apikey.NewHasher(authz.Secret{})
	s.keys = recordfile.NewKeyFile(filestore.KeyFileConfig{Path: filepath.Join(s.dir, "keys.jsonl"), Hasher: hasher})
	create := func(scopes ...string) soakKey {
		r, secret, err := s.keys.Create(s.t.Context(), store.KeyParams{Name: "a key", Prefix: "kw_", Scopes: &scopes})
		if err != nil {
			s.t.Fatal(err)
		}
		return soakKey{r.ID, secret.Reveal()}
	}
	for range 200 {
		s.good = append(s.good, create("reports:read"))
	}
	s.narrow, s.gone = create(), create("reports:read")
	if _, err := s.keys.Revoke(s.t.Context(), s.gone.id, ""); err != nil {
		s.t.Fatal(err)
	}
	unknown, err := apikey.Generate(rand.Reader, "kw_", apikey.FormatKeyward)
	if err != nil {
		s.t.Fatal(err)
	}
	s.unknown = unknown.Reveal()
	s.user(soakUser, soakPassword)
	writeFile(s.t, s.dir, "jwt-secret", soakTokenSecret)
	writeFile(s.t, s.dir, "revocations.jsonl", "")
}

// questions returns requests of all kinds, each as often as it is to be sent.
func (s *soak) questions() (all []*soakQuestion) {
	often := func(n int, q *soakQuestion) {
		for range n {
			all = append(all, q)
		}
	}
	for _, k := range s.good {
		q := newSoakQuestion("a good key", "/d/reports?page=2", "Bearer "+k.secret, "200", k.id)
		often(3, q)
		all = append(all, newSoakQuestion("a good key, by the route's name", "/d/picked/1", "Bearer "+k.secret, "200", k.id))
		reset := *q
		reset.reset = true
		if len(all)%2 == 0 {
			all = append(all, &reset)
		}
	}
	often(len(all)/20, newSoakQuestion("an unknown key", "/d/reports", "Bearer "+s.unknown, "401", "unknown_key"))
	often(len(all)/20, newSoakQuestion("a revoked key", "/d/reports", "Bearer "+s.gone.secret, "401", "revoked_key"))
	often(len(all)/20, newSoakQuestion("a key without the scope", "/d/reports", "Bearer "+s.narrow.secret, "403", "insufficient_scope"))
	often(len(all)/20, newSoakQuestion("a key without the scope, by the route's name", "/d/picked", "Bearer "+s.narrow.secret, "403", "insufficient_scope"))
	often(len(all)/20, newSoakQuestion("no key", "/d/open", "", "401", "no_credential"))
	often(len(all)/20, newSoakQuestion("a good key where all is denied", "/d/closed", "Bearer "+s.good[0].secret, "403", "route_denied"))
	often(len(all)/20, newSoakQuestion("a public path", "/d/public", "", "200", ""))
	return all
}

func anyOf(all []*soakQuestion) func() *soakQuestion {
	return func() *soakQuestion { return all[mathrand.IntN(len(all))] }
}

// goodOnly and goodAlone return the requests whose times are compared.
func (s *soak) goodOnly() (all []*soakQuestion) {
	for _, k := range s.good {
		all = append(all, newSoakQuestion("a good key", "/d/reports?page=2", "Bearer "+k.secret, "200", k.id))
	}
	return all
}

func (s *soak) goodAlone() (all []*soakQuestion) {
	for _, k := range s.good {
		all = append(all, newSoakQuestion("a good key", "/d/reports?page=2", "Bearer "+k.secret, "200", ""))
	}
	return all
}

// flood keeps Envoy at saturation through both listeners.
func (s *soak) flood(span time.Duration) (edge, other *soakAnswers) {
	stop := make(chan struct{})
	questions := s.questions()
	var both sync.WaitGroup
	both.Go(func() {
		edge = soakLoad{address: s.envoys.edgeAddress(), conns: 3, streams: 32, pick: anyOf(questions), stop: stop}.run()
	})
	both.Go(func() {
		other = soakLoad{address: s.envoys.otherAddress(), conns: 1, streams: 16, pick: anyOf(questions), stop: stop}.run()
	})
	time.Sleep(span)
	close(stop)
	both.Wait()
	return edge, other
}

// compareCalm measures the rates at saturation before anything disturbs Envoy.
func (s *soak) compareCalm(span time.Duration) {
	s.t.Helper()
	rates := map[string]float64{}
	for _, of := range []struct {
		name, address string
		questions     []*soakQuestion
	}{{"alone", s.envoys.aloneAddress(), s.goodAlone()}, {"module", s.envoys.edgeAddress(), s.goodOnly()}} {
		stop := make(chan struct{})
		time.AfterFunc(span, func() { close(stop) })
		a := soakLoad{address: of.address, conns: 4, streams: 32, pick: anyOf(of.questions), stop: stop}.run()
		if rates[of.name] = a.rate(); len(a.wrong) > 0 {
			s.t.Errorf("before the churn, %s: %v", of.name, a.problems())
		}
	}
	s.t.Logf("before the churn, at saturation: %.0f/s with the module, %.0f/s through Envoy alone", rates["module"], rates["alone"])
}

// paced measures the times of answers at a given rate.
func (s *soak) paced(envoy *stack.Process, address string, rate int, span time.Duration, questions []*soakQuestion) *soakAnswers {
	stop := make(chan struct{})
	time.AfterFunc(span, func() { close(stop) })
	before := workerTimeOf(envoy)
	a := soakLoad{address: address, conns: 4, streams: 90, rate: rate, pick: anyOf(questions), stop: stop}.run()
	a.cpu = workerTimeOf(envoy).since(before)
	return a
}

// workerTime is how long the worker of an Envoy ran, and how long it waited for
// a processor that other programs had.
type workerTime struct{ ran, waited time.Duration }

func (w workerTime) since(before workerTime) workerTime {
	return workerTime{w.ran - before.ran, w.waited - before.waited}
}

// workerTimeOf returns the times since the worker's start.
func workerTimeOf(envoy *stack.Process) (w workerTime) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", envoy.PID()))
	for _, task := range tasks {
		if name, _ := os.ReadFile(filepath.Join(task, "comm")); strings.HasPrefix(string(name), "wrk:") {
			text, _ := os.ReadFile(filepath.Join(task, "schedstat"))
			var t workerTime
			_, _ = fmt.Sscan(string(text), &t.ran, &t.waited)
			if t.ran > w.ran { // threads that Go starts from the worker have its name too
				w = t
			}
		}
	}
	return w
}

// windows are the answers at a given rate, by round.
type windows []*soakAnswers

func (w *windows) add(a *soakAnswers) { *w = append(*w, a) }

// all returns the answers of all rounds together.
func (w windows) all() *soakAnswers {
	all := &soakAnswers{}
	for _, a := range w {
		all.add(a)
	}
	return all
}

func (w windows) last() string {
	a := w[len(w)-1]
	return fmt.Sprintf("p50 %v, p99 %v, p99.9 %v (the worker ran %v and waited %v)", a.percentile(50), a.percentile(99), a.percentile(99.9),
		a.cpu.ran.Round(time.Millisecond), a.cpu.waited.Round(time.Millisecond))
}

// tail returns the median of the rounds' p99.9.
func (w windows) tail() time.Duration {
	var tails lags
	for _, a := range w {
		tails = append(tails, a.percentile(99.9))
	}
	return tails.percentile(50)
}

func (a *soakAnswers) rate() float64 { return float64(a.right) / a.took.Seconds() }

// soakSettle is how long after a replacement of the key file a revocation may
// be late: a file that was replaced is read once it has not changed for 50 ms,
// or after 200 ms (store/journal). A revocation changes it.
const soakSettle = time.Second

// compact replaces the key file.
func (s *soak) compact(int) error {
	replaced := func(at time.Time) { s.mu.Lock(); s.replaced = at; s.mu.Unlock() }
	replaced(time.Now().Add(time.Hour))
	defer func() { replaced(time.Now()) }()
	return s.keywardError("key", "compact", "--file", "keys.jsonl")
}

// startRevocations revokes a key at each interval.
func (s *soak) startRevocations(interval time.Duration) {
	s.t.Helper()
	conn, err := grpc.NewClient(stack.Address(s.Ports().GRPC), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	s.every(interval, "key revoked", func(int) error {
		r, err := s.revokeOne(conn)
		if err == nil {
			s.mu.Lock()
			r.replaced = time.Since(s.replaced) < soakSettle
			s.revoked = append(s.revoked, r)
			s.mu.Unlock()
		}
		return err
	})
}

func (s *soak) keywardError(args ...string) error {
	if out, err := s.command(args...).CombinedOutput(); err != nil {
		return fmt.Errorf("keyward %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
