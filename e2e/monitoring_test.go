package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"keyward/e2e/stack"
	"keyward/internal/rawcheck"
)

// monitored is a Keyward with everything configured that has metrics.
type monitored struct {
	*system
	ports   stack.Ports
	process *stack.Process
	redis   *redis
	issuer  *authorizationServer
	// Keys from before the start; the load revokes one of them.
	known, ended string
}

const monitoredConfig = `
users: {file: users.jsonl}
revocations: {file: revocations.jsonl}
credentials: {basic: true}
jwt: [{name: id, kind: oauth, issuer: %[1]q, audiences: [https://api.example.com], algorithms: [RS256], jwks_url: "%[1]s/.well-known/jwks.json"}]
introspection: [{url: "%[1]s/oauth/introspect", client_id: keyward, client_secret_file: secret}]
rate_limits: {%[2]s, api_key: 100000/h, oauth: {rate: 1/h, shadow: true}, anonymous: {rate: 1/h, shadow: true}, failed: 1000/m}
routes:
- {path: /limited, rate: 1/h}
- {path: /optional, auth: optional}
`

func startMonitored(t *testing.T) *monitored {
	t.Helper()
	m := &monitored{system: newSystem(t, options{}), redis: startRedis(t), issuer: startAuthorizationServer(t, "keyward:pass")}
	m.opts.config = fmt.Sprintf(monitoredConfig, m.issuer.URL, m.redis.config())
	m.known, m.ended = m.key("--name", "known"), m.key("--name", "ended")
	m.user("bob", "correct horse")
	m.keyward("token", "revoke", "--file", "revocations.jsonl", "--jti", "of-long-ago")
	writeFile(t, m.dir, "secret", "pass")
	var err error
	if m.ports, err = stack.FreePorts(); err != nil {
		t.Fatal(err)
	}
	m.process, err = stack.StartKeyward(t.Context(), "keyward", stack.Config{
		Dir: m.dir, Keyward: programs.keyward, KeywardConfig: m.writeConfig(m.ports), Ports: m.ports,
	})
	if m.process != nil {
		t.Cleanup(func() {
			m.process.Kill()
			if t.Failed() {
				t.Logf("keyward's log:\n%s", tail(m.process.Log()))
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// series returns the series of /metrics, with their values as text.
func (m *monitored) series() map[string]string {
	m.t.Helper()
	all := map[string]string{}
	_, text := adminAt(m.t, http.MethodGet, m.ports.Admin, "/metrics")
	for line := range strings.Lines(text) {
		if at := strings.LastIndex(line, " "); at > 0 && !strings.HasPrefix(line, "#") {
			all[line[:at]] = strings.TrimSpace(line[at:])
		}
	}
	return all
}

// load makes Keyward check requests of every kind. It returns how many ended in
// an error: on a busy machine a password may not be hashed in time.
func (m *monitored) load() (faults int) {
	m.t.Helper()
	conn, err := grpc.NewClient(stack.Address(m.ports.GRPC), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		m.t.Fatal(err)
	}
	defer conn.Close()
	m.keyward("key", "revoke", "--file", "keys.jsonl", m.idOf(m.ended))
	token, opaque := m.issuer.accessToken(jwt.SigningMethodRS256, jwt.MapClaims{"sub": "bob"}), m.issuer.opaque(jwt.MapClaims{"sub": "bob"})
	bob := "Basic " + base64.StdEncoding.EncodeToString([]byte("bob:correct horse"))
	for _, ask := range []struct {
		times       int
		path, value string
		last        int // status of the last response
	}{
		{1000, "/any", "Bearer " + m.known, 200}, {3, "/any", bob, 200}, {3, "/any", "Bearer " + token, 200}, {3, "/any", "Bearer " + opaque, 200},
		{3, "/any", "Bearer unknown", 401}, {3, "/any", "Bearer " + m.ended, 401}, {3, "/optional", "", 200}, {3, "/limited", "Bearer " + m.known, 429},
	} {
		request := rawcheck.Request{Method: "GET", Target: ask.path}
		if ask.value != "" {
			request.Headers = [][2]string{{"authorization", ask.value}}
		}
		m.until(fmt.Sprintf("%d for %s", ask.last, ask.value), func() (answer, bool) {
			var got rawcheck.Answer
			for range ask.times {
				if got, err = rawcheck.Ask(m.t.Context(), conn, request); err != nil {
					m.t.Fatal(err)
				}
				if got.Status >= 500 {
					faults++
				}
			}
			return answer{status: got.Status, body: got.Reason}, got.Status == ask.last
		})
	}
	return faults
}

// TestSeriesExistFromTheStart: events add to existing series and create none,
// so that a rate includes the first event.
func TestSeriesExistFromTheStart(t *testing.T) {
	m := startMonitored(t)
	before := m.series()
	m.load()
	for series := range m.series() {
		if _, there := before[series]; !there && strings.HasPrefix(series, "keyward_") {
			t.Errorf("%s did not exist before its first event", series)
		}
	}
	for _, series := range []string{`keyward_rate_limit_shadowed_total{limit="oauth"}`, `keyward_rate_limit_shadowed_total{limit="anonymous"}`, "keyward_revocation_lag_seconds_count"} {
		if value := m.series()[series]; value == "0" || value == "" {
			t.Errorf("%s is %q after the load", series, value)
		}
	}
}

// breakThings causes faults of operators and machines.
func (m *monitored) breakThings() {
	m.t.Helper()
	m.redis.Kill()
	for range 50 { // five failed requests open the circuit
		m.ask("Bearer " + m.known)
	}
	m.issuer.Close()
	file, err := os.OpenFile(filepath.Join(m.dir, "keys.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := file.WriteString("{no key\n"); err != nil {
		m.t.Fatal(err)
	}
	file.Close()
	if err := os.Rename(writeFile(m.t, m.dir, "garbage", "garbage\n"), filepath.Join(m.dir, "users.jsonl")); err != nil {
		m.t.Fatal(err)
	}
	writeFile(m.t, m.dir, "keyward.yaml", "rotes: []\n")
	if err := m.process.Signal(syscall.SIGHUP); err != nil {
		m.t.Fatal(err)
	}
	// A token with an unknown key causes a request to the issuer, at most once
	// in ten seconds.
	unknown := sign(m.t, jwt.SigningMethodRS256, m.issuer.rsa, "another", "at+jwt",
		claims(jwt.MapClaims{"iss": m.issuer.URL, "aud": "https://api.example.com", "client_id": "x", "sub": "bob"}))
	for end := time.Now().Add(20 * time.Second); m.series()[`keyward_jwks_refreshes_total{issuer="id",result="error"}`] == "0"; time.Sleep(300 * time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatal("no failed request to the issuer was counted")
		}
		m.ask("Bearer " + unknown)
	}
}

// ask checks a request with that credential, over HTTP.
func (m *monitored) ask(authorization string) {
	m.t.Helper()
	request, err := http.NewRequestWithContext(m.t.Context(), http.MethodGet, "http://"+stack.Address(m.ports.HTTP)+"/authz/envoy/any", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	request.Header.Set("Authorization", authorization)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		m.t.Fatal(err)
	}
	response.Body.Close()
}
