package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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
}

const monitoredConfig = `
users: {file: users.jsonl}
revocations: {file: revocations.jsonl}
credentials: {basic: true}
jwt: [{name: id, kind: oauth, issuer: %[1]q, audiences: [https://api.example.com], algorithms: [RS256], jwks_url: "%[1]s/.well-known/jwks.json"}]
introspection: [{url: "%[1]s/oauth/introspect", client_id: keyward, client_secret_file: secret}]
rate_limits: {%[2]s, api_key: 100000/h, oauth: {rate: 1/h, shadow: true}, anonymous: {rate: 1/h, shadow: true}, failed: 100/m}
routes:
- {path: /limited, rate: 1/h}
- {path: /optional, auth: optional}
`

func startMonitored(t *testing.T) *monitored {
	t.Helper()
	m := &monitored{system: newSystem(t, options{}), redis: startRedis(t), issuer: startAuthorizationServer(t, "keyward:pass")}
	m.opts.config = fmt.Sprintf(monitoredConfig, m.issuer.URL, m.redis.config())
	m.key("--name", "first")
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

// series are those of /metrics, with their values as text.
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

// load has Keyward judge requests of every kind, and returns how many ended in an
// error: on a busy machine a password may not be hashed in time.
func (m *monitored) load() (faults int) {
	m.t.Helper()
	conn, err := grpc.NewClient(stack.Address(m.ports.GRPC), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		m.t.Fatal(err)
	}
	defer conn.Close()
	key, ended := m.key("--name", "k"), m.key("--name", "ended")
	m.keyward("key", "revoke", "--file", "keys.jsonl", m.idOf(ended))
	token, opaque := m.issuer.accessToken(jwt.SigningMethodRS256, jwt.MapClaims{"sub": "bob"}), m.issuer.opaque(jwt.MapClaims{"sub": "bob"})
	bob := "Basic " + base64.StdEncoding.EncodeToString([]byte("bob:correct horse"))
	for _, ask := range []struct {
		times       int
		path, value string
		last        int // status of the last answer
	}{
		{1000, "/any", "Bearer " + key, 200}, {3, "/any", bob, 200}, {3, "/any", "Bearer " + token, 200}, {3, "/any", "Bearer " + opaque, 200},
		{3, "/any", "Bearer unknown", 401}, {3, "/any", "Bearer " + ended, 401}, {3, "/optional", "", 200}, {3, "/limited", "Bearer " + key, 429},
	} {
		request := rawcheck.Request{Method: "GET", Target: ask.path}
		if ask.value != "" {
			request.Headers = [][2]string{{"authorization", ask.value}}
		}
		m.until(fmt.Sprintf("%d for %s", ask.last, ask.value), func() (answer, bool) { // a key that was just made takes some milliseconds
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

// TestSeriesExistFromTheStart: what happens adds to series, and begins none, so that
// no rate is blind to what happens first.
func TestSeriesExistFromTheStart(t *testing.T) {
	m := startMonitored(t)
	before := m.series()
	m.load()
	for series := range m.series() {
		if _, there := before[series]; !there && strings.HasPrefix(series, "keyward_") {
			t.Errorf("%s began with its first event", series)
		}
	}
	for _, series := range []string{`keyward_rate_limit_shadowed_total{limit="oauth"}`, `keyward_rate_limit_shadowed_total{limit="anonymous"}`, "keyward_revocation_lag_seconds_count"} {
		if value := m.series()[series]; value == "0" || value == "" {
			t.Errorf("%s is %q after the load", series, value)
		}
	}
}

// prometheus is a real one that scrapes a Keyward twice a second, by the shipped
// configuration and rules but for the intervals.
type prometheus struct {
	t   *testing.T
	url string
}

// hurried has in seconds what is shipped for hours.
var hurried = strings.NewReplacer(
	"scrape_interval: 15s", "scrape_interval: 500ms", "evaluation_interval: 15s", "evaluation_interval: 500ms", "  interval: 3m", "  interval: 500ms",
	"offset 30m", "offset 1s", "store_away[5m]", "store_away[2s]",
)

func (m *monitored) scraped(change func(string) string, flags ...string) *prometheus {
	t := m.t
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"prometheus.yml", "keyward.rules.yml", "keyward.alerts.yml"} {
		text, err := os.ReadFile(filepath.Join(programs.root, "deploy/prometheus", name))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, name, change(strings.ReplaceAll(hurried.Replace(string(text)), "127.0.0.1:9193", stack.Address(m.ports.Admin))))
	}
	port := freePort(t)
	process, err := programs.prometheus.Start(t.Context(), dir, filepath.Join(dir, "prometheus.yml"), port, flags...)
	if process != nil {
		t.Cleanup(func() {
			process.Kill()
			if t.Failed() {
				t.Logf("prometheus's log:\n%s", tail(process.Log()))
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return &prometheus{t, "http://" + stack.Address(port)}
}

// get asks the API.
func (p *prometheus) get(path string, to any) {
	p.t.Helper()
	response, err := http.Get(p.url + "/api/v1/" + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: to}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Status != "success" {
		p.t.Fatalf("%s: %v %s", path, err, answer.Error)
	}
}

// value is a number that the expression gives now; false where it gives none.
func (p *prometheus) value(expr string) (float64, bool) {
	p.t.Helper()
	var data struct {
		Result []struct{ Value [2]any }
	}
	p.get("query?query="+url.QueryEscape(expr), &data)
	for _, r := range data.Result {
		if n, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64); err == nil && !math.IsNaN(n) {
			return n, true
		}
	}
	return 0, false
}

// waitFor waits until each expression gives a number.
func (p *prometheus) waitFor(exprs map[string]string) {
	p.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for len(exprs) > 0 {
		for who, expr := range exprs {
			if _, ok := p.value(expr); ok {
				delete(exprs, who)
			}
		}
		if time.Now().After(deadline) {
			for who, expr := range exprs {
				p.t.Errorf("%s has no data: %s", who, expr)
			}
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

var (
	operand    = regexp.MustCompile(`\s(?:and|or on\(\)|or)\s`)
	comparison = regexp.MustCompile(`(^|\s)(==|<|>)\s`)
)

// compared are the parts of an alert's expression, each with a number whether it
// holds or not; with absent(x), what is there.
func compared(expr string) (parts []string) {
	for _, part := range operand.Split(expr, -1) {
		part = strings.ReplaceAll(hurried.Replace(part), "absent(", "count(")
		parts = append(parts, comparison.ReplaceAllString(part, "$1$2 bool "))
	}
	return parts
}

// TestPrometheusHasData has a real Prometheus scrape a Keyward under load: every panel's
// query, every recording rule and both sides of every alert have data. While Keyward
// is well no alert is on its way, and what is then broken is found.
func TestPrometheusHasData(t *testing.T) {
	needPrometheus(t)
	m := startMonitored(t)
	p := m.scraped(func(text string) string { return text })
	p.waitFor(map[string]string{"scraping": "keyward_ready == 1"})
	faults := m.load()
	d := loadDashboard(t)
	all := d.queries()
	for _, r := range rulesOf(t, recordingRules) {
		all[r.Record+r.Labels["file"]] = fmt.Sprintf("%s{file=%q}", r.Record, r.Labels["file"])
	}
	for _, r := range rulesOf(t, alertingRules) {
		for i, part := range compared(r.Expr) {
			all[fmt.Sprintf("%s%s, part %d", r.Alert, r.Labels["long"], i+1)] = part
		}
	}
	t.Logf("%d queries", len(all))
	p.waitFor(all)
	slow := func(alert string) bool { return alert == "KeywardLatencyBudgetBurn" } // which a busy machine is
	if got := slices.DeleteFunc(p.alerts(), slow); len(got) != 0 && faults == 0 {
		t.Errorf("all is well, and there are alerts: %v", got)
	}
	m.breakThings()
	for _, name := range []string{"KeywardRateLimitStoreAway", "KeywardFileReloadFailing", "KeywardFileBadLines", "KeywardConfigReloadFailing", "KeywardJWKSFailing"} {
		p.waitFor(map[string]string{name: fmt.Sprintf("ALERTS{alertname=%q}", name)})
	}
	m.process.Kill()
	p.waitFor(map[string]string{"KeywardDown": `ALERTS{alertname="KeywardDown"}`, "KeywardInstanceDown": `ALERTS{alertname="KeywardInstanceDown"}`})
}

// breakThings does what operators and machines do.
func (m *monitored) breakThings() {
	m.t.Helper()
	key := m.key("--name", "another")
	m.redis.Kill()
	for range 50 { // five questions without an answer find that it is away
		m.ask("Bearer " + key)
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
	// A token of a key that is not known has the issuer asked, at most once in ten seconds.
	unknown := sign(m.t, jwt.SigningMethodRS256, m.issuer.rsa, "another", "at+jwt",
		claims(jwt.MapClaims{"iss": m.issuer.URL, "aud": "https://api.example.com", "client_id": "x", "sub": "bob"}))
	for end := time.Now().Add(20 * time.Second); m.series()[`keyward_jwks_refreshes_total{issuer="id",result="error"}`] == "0"; time.Sleep(300 * time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatal("the issuer was not asked in vain")
		}
		m.ask("Bearer " + unknown)
	}
}

// ask asks about a request with that credential, over HTTP.
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

// alerts are the names of those that are pending or firing.
func (p *prometheus) alerts() (found []string) {
	p.t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError, State string }
		}
	}
	p.get("rules", &data)
	for _, group := range data.Groups {
		for _, r := range group.Rules {
			if r.Health != "ok" {
				p.t.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
			}
			if r.State != "" && r.State != "inactive" {
				found = append(found, r.Name)
			}
		}
	}
	return found
}

// TestNativeHistogram has Prometheus store it, and find the same as in the fixed buckets.
func TestNativeHistogram(t *testing.T) {
	needPrometheus(t)
	m := startMonitored(t)
	m.load()
	uncommented := func(text string) string {
		return regexp.MustCompile(`(?m)^  #(\w+: true)$`).ReplaceAllString(text, "  $1")
	}
	flags := []string{}
	shipped, err := os.ReadFile(filepath.Join(programs.root, "deploy/prometheus/prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	config := writeFile(t, t.TempDir(), "prometheus.yml", uncommented(strings.Replace(string(shipped), "rule_files:\n- keyward.rules.yml\n- keyward.alerts.yml\n", "", 1)))
	if exec.CommandContext(t.Context(), programs.prometheus.Tool, "check", "config", config).Run() != nil {
		flags, uncommented = []string{"--enable-feature=native-histograms"}, func(text string) string { return text } // Prometheus before 3.8
	}
	p := m.scraped(uncommented, flags...)
	p.waitFor(map[string]string{"the native histogram": `histogram_quantile(0.5, keyward_check_duration_seconds{transport="grpc"})`})
	native, _ := p.value(`histogram_quantile(0.5, keyward_check_duration_seconds{transport="grpc"})`)
	series := m.series()
	count := func(name string) float64 {
		n, err := strconv.ParseFloat(series[name], 64)
		if err != nil {
			t.Fatal(name, err)
		}
		return n
	}
	half := count(`keyward_check_duration_seconds_count{transport="grpc"}`) / 2
	low, high := 0.0, math.Inf(1)
	for _, le := range []string{"1e-05", "2.5e-05", "5e-05", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25"} {
		bound, _ := strconv.ParseFloat(le, 64)
		if count(fmt.Sprintf("keyward_check_duration_seconds_bucket{transport=\"grpc\",le=%q}", le)) < half {
			low = bound
		} else {
			high = min(high, bound)
		}
	}
	if native < low || native > high {
		t.Errorf("half of the checks took less than %v s by the native histogram; by the fixed buckets it is between %v and %v", native, low, high)
	}
}
