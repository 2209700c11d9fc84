package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"keyward/e2e/stack"
)

// decidesConfig has each kind of credential, those that have to be waited for too. The
// address of the authorization server goes in.
const decidesConfig = `
credentials: {basic: true, header: X-API-Key}
users: {file: users.jsonl}
jwt: [{issuer: "https://id.example.com", audiences: [api], hmac_secret_file: secret, algorithms: [HS256]}]
introspection: [{url: "%[1]s/oauth/introspect", client_id: keyward, client_secret_file: secret}]
rate_limits: {api_key: 1000/m}
routes:
- {name: public, path: /public, auth: none}
- {name: shared, path: /shared, preflight: true}
- {name: reports, path: /reports, scopes: ["reports:read"]}
- {name: closed, path: /closed, auth: deny}
log: {decisions: all}
`

// decidesSystem is an Envoy with the module and the Keyward beside it.
type decidesSystem struct {
	*system
	server       *authorizationServer
	key, seldom  string
	revoked      string
	right, wrong string // the header lines with alice's password, and with another one
}

func startDecides(t *testing.T, o options) *decidesSystem {
	t.Helper()
	d := &decidesSystem{server: startAuthorizationServer(t, "keyward:"+placesSecret)}
	o.config = fmt.Sprintf(decidesConfig, d.server.URL)
	d.system = newSystem(t, o)
	writeFile(t, d.dir, "secret", placesSecret)
	d.user("alice", "correct horse")
	d.key, d.revoked = d.system.key("--name", "k", "--user", "alice"), d.system.key("--name", "revoked")
	d.seldom = d.system.key("--name", "seldom", "--rate", "1/d")
	d.keyward("key", "revoke", "--file", "keys.jsonl", d.idOf(d.revoked))
	d.right, d.wrong = basicLine("alice", "correct horse"), basicLine("alice", "guess")
	d.start()
	return d
}

func (d *decidesSystem) token(c jwt.MapClaims) string {
	d.t.Helper()
	c["iss"], c["aud"] = "https://id.example.com", "api"
	return sign(d.t, jwt.SigningMethodHS256, []byte(placesSecret), "", "JWT", claims(c))
}

// where returns a GET's answer, and who decided: "module", "beside", or nothing.
func (d *decidesSystem) where(target string, lines ...string) (a answer, by string) {
	d.t.Helper()
	inside, beside := d.decisionsAt(d.moduleAdmin), d.decisionsAt(d.Ports().Admin)
	method := "GET"
	if len(lines) > 0 && strings.HasPrefix(lines[0], "Access-Control-Request-Method:") {
		method = "OPTIONS"
	}
	a = d.request(method, target, lines...)
	inside, beside = d.decisionsAt(d.moduleAdmin)-inside, d.decisionsAt(d.Ports().Admin)-beside
	switch {
	case inside == 1 && beside == 0:
		by = "module"
	case inside == 0 && beside == 1:
		by = "beside"
	case inside != 0 || beside != 0:
		d.t.Errorf("%s %q: %v decisions within Envoy and %v beside it", target, lines, inside, beside)
	}
	return a, by
}

// decided returns how many requests Envoy counts, by the part that decided.
func (d *decidesSystem) decided(by, reason string) float64 {
	d.t.Helper()
	_, text := adminAt(d.t, "GET", d.Ports().EnvoyAdmin, "/stats/prometheus")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "envoy_keyward_decided_total{") && strings.Contains(line, `by="`+by+`"`) && strings.Contains(line, `reason="`+reason+`"`) {
			name, _, _ := strings.Cut(line, "} ")
			return metricsPage(text).value(d.t, name+"}")
		}
	}
	return 0
}

// TestModuleDecides: what needs no waiting is decided within Envoy, and the rest by the
// Keyward beside it. A token is asked about until it was verified in the background.
func TestModuleDecides(t *testing.T) {
	d := startDecides(t, options{proxy: "envoy-module"})
	token, opaque := d.token(jwt.MapClaims{"sub": "alice"}), d.server.opaque(jwt.MapClaims{"sub": "bob"})
	forged := token[:len(token)-4] + "AAAA"
	for _, c := range []struct {
		target, line string
		status       int
		by           string
	}{
		{"/any", bearer(d.key), 200, "module"},
		{"/any", "X-API-Key: " + d.key, 200, "module"},
		{"/any", bearer(misconfigured(d.key)), 401, "module"},
		{"/any", bearer(d.revoked), 401, "module"},
		{"/any", bearer(d.seldom), 200, "module"},
		{"/any", bearer(d.seldom), 429, "module"},
		{"/any", "A: b", 401, "module"},
		{"/any;x", bearer(d.key), 400, "module"},
		{"/public", "A: b", 200, "module"},
		{"/closed", bearer(d.key), 403, "module"},
		{"/reports", bearer(d.key), 403, "module"},
		{"/shared", "Access-Control-Request-Method: PUT\r\nOrigin: https://app.example.com", 200, "module"},
		{"/any", d.right, 200, "beside"},
		{"/any", d.right, 200, "beside"}, // the module keeps no passwords
		{"/any", d.wrong, 401, "beside"},
		{"/any", bearer(token), 200, "beside"},
		{"/any", bearer(opaque), 200, "beside"},
		{"/any", bearer(forged), 401, "beside"},
	} {
		if a, by := d.where(c.target, c.line); a.status != c.status || by != c.by {
			t.Errorf("%s %.40s: %d by %q, want %d by %q", c.target, c.line, a.status, by, c.status, c.by)
		}
	}
	for name, token := range map[string]string{"a JWT": token, "an opaque token": opaque} {
		d.until(name+" is known to the module", func() (answer, bool) { a, by := d.where("/any", bearer(token)); return a, by == "module" })
	}
	if a, by := d.where("/any", bearer(forged)); a.status != 401 || by != "beside" {
		t.Errorf("a forged token again: %d by %q", a.status, by)
	}
	for _, c := range []struct {
		by, reason string
		least      float64
	}{{"module", "ok", 5}, {"module", "route_denied", 1}, {"ext_authz", "undecided", 7}} {
		if n := d.decided(c.by, c.reason); n < c.least {
			t.Errorf("Envoy counts %v requests decided by %s with %s, want at least %v", n, c.by, c.reason, c.least)
		}
	}
}

// TestModuleAsksAboutSharedLimits: the counts that all replicas share are in Redis, for
// which Envoy cannot wait.
func TestModuleAsksAboutSharedLimits(t *testing.T) {
	r := startRedis(t)
	d := &decidesSystem{system: newSystem(t, options{
		proxy: "envoy-module", config: "rate_limits: {" + r.config() + ", timeout: 1s, api_key: 2/h}\nroutes: [{path: /public, auth: none}]\n",
	})}
	key := d.system.key("--name", "k")
	d.start()
	for i, want := range []int{200, 200, 429} {
		if a, by := d.where("/any", bearer(key)); a.status != want || by != "beside" {
			t.Errorf("request %d: %d by %q, want %d by the Keyward beside", i+1, a.status, by, want)
		}
	}
	for target, want := range map[string]int{"/public": 200, "/any": 401} {
		if a, by := d.where(target); a.status != want || by != "module" {
			t.Errorf("%s without a key: %d by %q, want %d by the module", target, a.status, by, want)
		}
	}
}

// TestModuleWithoutKeyward: when the Keyward beside is gone, the module decides as before.
// What it leaves undecided is denied.
func TestModuleWithoutKeyward(t *testing.T) {
	d := startDecides(t, options{proxy: "envoy-module"})
	known, token := d.token(jwt.MapClaims{"sub": "alice"}), d.token(jwt.MapClaims{"sub": "carol"})
	opaque := d.server.opaque(jwt.MapClaims{"sub": "bob"})
	d.until("known to the module", func() (answer, bool) { a, by := d.where("/any", bearer(known)); return a, by == "module" })
	d.Keyward.Kill()
	for line, want := range map[string]int{bearer(d.key): 200, bearer(known): 200, bearer(d.revoked): 401, "A: b": 401} {
		if a := d.get("/any", line); a.status != want {
			t.Errorf("%.40s: %d, want %d", line, a.status, want)
		}
	}
	before := d.arrived()
	for _, line := range []string{bearer(opaque), bearer(opaque[:len(opaque)-1]), bearer(token[:len(token)-4] + "AAAA")} {
		if a := d.get("/any", line); a.status != 503 || a.body != "" {
			t.Errorf("%.40s: %d %s, want ext_authz's 503", line, a.status, a.body)
		}
	}
	for _, line := range []string{d.right, d.wrong} { // get would try again
		if a, err := d.send("GET", rawRequest("GET", "/any", line)); err != nil || a.status != 503 {
			t.Errorf("a password: %d (%v), want 503", a.status, err)
		}
	}
	if n := d.arrived() - before; n != 0 {
		t.Errorf("%d undecided requests reached the upstream", n)
	}
	d.deniesGRPC(codes.Unavailable, token)
	if err := d.StartKeyward(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.until("a password is verified again", func() (answer, bool) { a := d.get("/any", d.right); return a, a.status == 200 })
}

// TestModuleAlone: without ext_authz, what the module leaves undecided is denied.
func TestModuleAlone(t *testing.T) {
	d := startDecides(t, options{proxy: "envoy-module-alone"})
	d.Keyward.Kill()
	opaque := d.server.opaque(jwt.MapClaims{"sub": "bob"})
	for _, line := range []string{bearer(opaque), bearer(d.token(jwt.MapClaims{"sub": "alice"}))} {
		if a := d.get("/any", line); a.status != 503 || a.reason() != "unavailable" {
			t.Errorf("%.40s: %d %s, want 503 unavailable", line, a.status, a.body)
		}
		d.until("verified in the background", func() (answer, bool) { a := d.get("/any", line); return a, a.status == 200 })
	}
	before := d.arrived()
	for range 2 {
		for _, line := range []string{d.right, d.wrong} {
			if a, err := d.send("GET", rawRequest("GET", "/any", line)); err != nil || a.status != 503 || a.reason() != "unavailable" {
				t.Errorf("a password: %d %s (%v), want 503 unavailable", a.status, a.body, err)
			}
		}
	}
	d.deniesGRPC(codes.Unavailable, d.token(jwt.MapClaims{"sub": "carol"}))
	if n := d.arrived() - before; n != 0 {
		t.Errorf("%d undecided requests reached the upstream", n)
	}
	if a := d.get("/any", bearer(d.key)); a.status != 200 {
		t.Errorf("a key: %d", a.status)
	}
	if n := d.decided("none", "unavailable"); n < 7 {
		t.Errorf("Envoy counts %v undecided requests, want at least 7", n)
	}
}

// deniesGRPC wants the status of a gRPC client's call.
func (d *decidesSystem) deniesGRPC(want codes.Code, credential string) {
	d.t.Helper()
	client, err := grpc.NewClient(stack.Address(d.Ports().Envoy), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		d.t.Fatal(err)
	}
	defer client.Close()
	ctx := metadata.AppendToOutgoingContext(d.t.Context(), "authorization", "Bearer "+credential)
	if got := status.Convert(client.Invoke(ctx, "/shop.Orders/Get", &emptypb.Empty{}, &emptypb.Empty{})); got.Code() != want {
		d.t.Errorf("a gRPC call: %v, want %s", got, want)
	}
}
