package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyward/bench/credential"
	"keyward/bench/loadgen"
	"keyward/e2e/stack"
	"keyward/internal/prove"
)

// loadedIssuer is a Keyward with an issuer on one core, and everything else on the other.
type loadedIssuer struct {
	*managed
	client *http.Client
	base   string
}

// rightUsers are those who log in beside others who guess.
const rightUsers = 20

func startLoadedIssuer(t *testing.T) *loadedIssuer {
	t.Helper()
	l := &loadedIssuer{managed: newManaged(t, `revocations: {file: revocations.jsonl}
issuer: {url: "http://127.0.0.1:9195", audience: api}
client_address: {trusted_hops: 0}
trusted_proxies: ["127.0.0.0/8"]
log: {level: info, decisions: denied}`)}
	l.base = "http://" + stack.Address(l.ports.Issuer)
	l.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}, Timeout: 10 * time.Second}
	path := filepath.Join(l.dir, "keyward.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	listen := fmt.Sprintf("console: %q", l.address)
	changed := strings.Replace(string(text), listen, fmt.Sprintf("%s, issuer: %q", listen, stack.Address(l.ports.Issuer)), 1)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	l.admin = l.administrator("root")
	for n := range rightUsers {
		l.password(fmt.Sprint("user-", n), rightPassword(n))
	}
	l.startOnOneCore()
	t.Cleanup(func() { l.process.Stop() })
	return l
}

func rightPassword(n int) string { return fmt.Sprint("correct horse of ", n) }

// password gives a user a password by the command, which reads it.
func (l *loadedIssuer) password(name, password string) {
	l.t.Helper()
	cmd := exec.Command(programs.keyward, "user", "set", name, "--config", "keyward.yaml")
	cmd.Dir, cmd.Stdin = l.dir, strings.NewReader(password+"\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("%v: %s", err, out)
	}
}

// post sends a request for an address, and returns the status, the members of the answer and
// Retry-After.
func (l *loadedIssuer) post(ctx context.Context, path, mediaType, body, address string) (status int, members map[string]any, retryAfter string, err error) {
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost, l.base+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, "", err
	}
	hr.Header.Set("Content-Type", mediaType)
	hr.Header.Set("X-Forwarded-For", address)
	a, err := l.client.Do(hr)
	if err != nil {
		return 0, nil, "", err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	_ = json.Unmarshal(text, &members)
	return a.StatusCode, members, a.Header.Get("Retry-After"), err
}

func (l *loadedIssuer) login(ctx context.Context, user, password, address string) (status int, refresh, retryAfter string, err error) {
	body := fmt.Sprintf(`{"username": %q, "password": %q}`, user, password)
	status, members, retryAfter, err := l.post(ctx, "/v1/auth/login", "application/json", body, address)
	refresh, _ = members["refresh_token"].(string)
	return status, refresh, retryAfter, err
}

func rightAddress(n int) string { return fmt.Sprint("192.0.2.", n+1) }

// TestIssuerUnderLoad: tokens are given out at a rate that a shop's sale asks for, and who logs
// in as always does so beside others who guess passwords.
func TestIssuerUnderLoad(t *testing.T) {
	l := startLoadedIssuer(t)
	for n := range rightUsers { // which makes them known at their addresses
		if status, _, _, err := l.login(t.Context(), fmt.Sprint("user-", n), rightPassword(n), rightAddress(n)); status != 200 || err != nil {
			t.Fatalf("%d %v", status, err)
		}
	}
	t.Run("tokens", l.tokensPerSecond)
	t.Run("guesses", l.besideGuesses)
}

// tokensPerSecond measures the token endpoint with 64 callers.
func (l *loadedIssuer) tokensPerSecond(t *testing.T) {
	const callers, wanted = 64, 500
	made := l.run("client", "create", "Load", "--grant", "client_credentials", "--json")
	var client struct{ ID, Secret string }
	if err := json.Unmarshal([]byte(made), &client); err != nil {
		t.Fatal(err, made)
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client.ID}, "client_secret": {client.Secret}}.Encode()
	refresh := make([]string, callers)
	for i := range refresh {
		var err error
		if _, refresh[i], _, err = l.login(t.Context(), fmt.Sprint("user-", i%rightUsers), rightPassword(i%rightUsers), rightAddress(i%rightUsers)); err != nil || refresh[i] == "" {
			t.Fatal("no refresh token: ", err)
		}
	}
	span := prove.Size(2*time.Second, 20*time.Second)
	for what, ask := range map[string]func(ctx context.Context, i int) (int, error){
		"client_credentials": func(ctx context.Context, _ int) (int, error) {
			status, _, _, err := l.post(ctx, "/oauth/token", "application/x-www-form-urlencoded", form, "198.51.100.1")
			return status, err
		},
		"refresh": func(ctx context.Context, i int) (int, error) {
			status, members, _, err := l.post(ctx, "/v1/auth/refresh", "application/json", `{"refresh_token": "`+refresh[i]+`"}`, "198.51.100.1")
			if next, is := members["refresh_token"].(string); is {
				refresh[i] = next
			}
			return status, err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), span)
		var done atomic.Int64
		var group sync.WaitGroup
		for i := range callers {
			group.Go(func() {
				for ctx.Err() == nil {
					switch status, err := ask(t.Context(), i); {
					case err != nil || status != 200:
						t.Errorf("%s: %d %v", what, status, err)
						return
					default:
						done.Add(1)
					}
				}
			})
		}
		group.Wait()
		cancel()
		rate := float64(done.Load()) / span.Seconds()
		t.Logf("%s: %.0f per second", what, rate)
		if prove.Size(false, true) && rate < wanted {
			t.Errorf("%s: %.0f per second, want at least %d", what, rate, wanted)
		}
	}
}

// besideGuesses measures logins and checks beside 100 wrong passwords per second.
func (l *loadedIssuer) besideGuesses(t *testing.T) {
	key := l.run("key", "create", "--name", "checked")
	load, err := loadgen.DialTarget(stack.Address(l.ports.GRPC), 4)
	if err != nil {
		t.Fatal(err)
	}
	defer load.Close()
	span := prove.Size(3*time.Second, 30*time.Second)
	checks := loadgen.Load{Workers: 16, Rate: 1000, Span: span, Pick: credential.AnyKey([]string{key})}
	round := func() time.Duration {
		o, err := load.Run(t.Context(), checks)
		if err != nil {
			t.Fatal(err)
		}
		return o.Percentile(99)
	}
	round()
	calm := round()
	ctx, stop := context.WithCancel(t.Context())
	start := time.Now()
	var group sync.WaitGroup
	var mu sync.Mutex
	var right []time.Duration
	var slowest time.Duration
	refused := map[int]int{}
	every := func(d time.Duration, do func(n int)) {
		group.Go(func() {
			tick := time.NewTicker(d)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					group.Go(func() { do(n) })
				}
			}
		})
	}
	every(10*time.Millisecond, func(n int) {
		began := time.Now()
		status, _, retryAfter, err := l.login(t.Context(), fmt.Sprint("user-", n%rightUsers), "wrong", fmt.Sprintf("203.0.%d.%d", n/250%250, n%250+1))
		took := time.Since(began)
		mu.Lock()
		defer mu.Unlock()
		refused[status]++
		slowest = max(slowest, took)
		if err != nil || status != 401 && status != 429 && status != 503 || status != 401 && retryAfter == "" {
			t.Errorf("a wrong password: %d, Retry-After %q, %v", status, retryAfter, err)
		}
	})
	every(50*time.Millisecond, func(n int) {
		n %= rightUsers
		began := time.Now()
		status, _, _, err := l.login(t.Context(), fmt.Sprint("user-", n), rightPassword(n), rightAddress(n))
		took := time.Since(began)
		mu.Lock()
		defer mu.Unlock()
		right = append(right, took)
		if err != nil || status != 200 {
			t.Errorf("a right password of user-%d after %s, at %s: %d %v", n, took, time.Since(start), status, err)
		}
	})
	busy := round()
	stop()
	group.Wait()
	slices.Sort(right)
	p99 := right[len(right)*99/100]
	t.Logf("right logins: p50 %v, p99 %v of %d; others: %v, the slowest %v; checks' p99 %v alone, %v beside", right[len(right)/2], p99, len(right), refused, slowest, calm, busy)
	if prove.Size(false, true) && (p99 > time.Second || slowest > 2*time.Second) {
		t.Errorf("right logins take %v, others %v", p99, slowest)
	}
}
