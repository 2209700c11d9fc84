package server_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keyward/authz"
	"keyward/internal/rawcheck"
	"keyward/internal/recordfile"
	"keyward/internal/records"
	"keyward/store"
	"keyward/store/filestore"

	"github.com/golang-jwt/jwt/v5"
)

const tokensConfig = baseConfig + `
users: {file: DIR/users.jsonl}
revocations: {file: DIR/revocations.jsonl}
jwt:
- {name: own, issuer: own, algorithms: [HS256], hmac_secret_file: DIR/secret, users: true}
- {name: file, issuer: file, algorithms: [EdDSA], jwks_file: DIR/jwks.json, audiences: [api]}
- {name: away, issuer: away, algorithms: [EdDSA], jwks_url: "URL/keys"}
introspection:
- {name: opaque, url: "URL/introspect", client_id: keyward, client_secret_file: DIR/secret}
`

const hmacSecret = "0123456789abcdef0123456789abcdef"

// authServer is an authorization server that a test can turn off.
type authServer struct {
	*httptest.Server
	keys    atomic.Pointer[string]
	down    atomic.Bool
	fetches atomic.Int64
}

func newAuthServer(t *testing.T) *authServer {
	t.Helper()
	a := &authServer{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case a.down.Load() || r.URL.Path == "/keys" && a.keys.Load() == nil:
			w.WriteHeader(http.StatusBadGateway)
		case r.URL.Path == "/keys":
			a.fetches.Add(1)
			_, _ = io.WriteString(w, *a.keys.Load())
		case r.FormValue("token") == "opaque-good":
			_, _ = io.WriteString(w, `{"active":true,"sub":"carol","scope":"read"}`)
		default:
			_, _ = io.WriteString(w, `{"active":false}`)
		}
	}))
	t.Cleanup(a.Close)
	return a
}

// signer makes tokens of one Ed25519 key.
type signer struct {
	private ed25519.PrivateKey
	set     string
}

func newSigner(t *testing.T, kid string) *signer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{private, fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q}]}`, kid, base64.RawURLEncoding.EncodeToString(public))}
}

func claims(iss, sub string) jwt.MapClaims {
	now := time.Now()
	return jwt.MapClaims{"iss": iss, "sub": sub, "aud": "api", "jti": "id-of-" + sub, "scope": "read write",
		"iat": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix()}
}

func (s *signer) token(t *testing.T, kid, iss, sub string) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims(iss, sub))
	token.Header["kid"] = kid
	return signed(t, token, s.private)
}

func signed(t *testing.T, token *jwt.Token, key any) string {
	t.Helper()
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (r *running) user(name string, patch records.UserPatch) {
	r.t.Helper()
	if _, err := recordfile.NewUserFile(filestore.UserFileConfig{Path: r.path("users.jsonl")}, nil).Set(context.Background(), name, "", patch); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) bearer(token string) string {
	r.t.Helper()
	return r.raw(rawcheck.Request{Method: "GET", Target: "/", Headers: [][2]string{{"authorization", "Bearer " + token}}}).String()
}

func body(_ int, text string) string { return text }

// turns waits until a token is answered so.
func (r *running) turns(token, want string) {
	r.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		got := r.bearer(token)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("the token is %s and never became %s", got, want)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestTokens goes through the kinds of token and what ends each, on one server.
func TestTokens(t *testing.T) {
	issuer, onFile, remote := newAuthServer(t), newSigner(t, "one"), newSigner(t, "one")
	issuer.keys.Store(&remote.set)
	text := strings.ReplaceAll(tokensConfig, "URL", issuer.URL)
	r := start(t, text, func(r *running) {
		r.create(store.KeyParams{})
		r.write("secret", hmacSecret+"\n")
		r.write("jwks.json", onFile.set)
		r.user("alice", records.UserPatch{})
	})
	own := signed(t, jwt.NewWithClaims(jwt.SigningMethodHS256, claims("own", "alice")), []byte(hmacSecret))
	r.turns(own, "200 ok")
	for token, want := range map[string]string{
		own: "200 ok",
		signed(t, jwt.NewWithClaims(jwt.SigningMethodHS256, claims("own", "mallory")), []byte(hmacSecret)):       "401 disabled_user",
		signed(t, jwt.NewWithClaims(jwt.SigningMethodHS256, claims("own", "alice")), []byte("x"+hmacSecret[1:])): "401 invalid_token",
		onFile.token(t, "one", "file", "bob"):     "200 ok",
		remote.token(t, "one", "file", "bob"):     "401 invalid_token", // another's key of the same name
		remote.token(t, "one", "away", "dave"):    "200 ok",
		remote.token(t, "one", "unknown", "dave"): "401 invalid_token",
		onFile.token(t, "two", "file", "bob"):     "401 invalid_token",
		"opaque-good":                             "200 ok",
		"opaque-bad":                              "401 invalid_token",
		"a.b.c":                                   "401 invalid_token",
		strings.Replace(own, ".", ".e30", 1):      "401 invalid_token",
		signed(t, jwt.New(jwt.SigningMethodNone), jwt.UnsafeAllowNoneSignatureType) + "x": "401 invalid_token",
	} {
		if got := r.bearer(token); got != want {
			t.Errorf("%.40s…: %s, want %s", token, got, want)
		}
	}
	r.testEnds(own)

	// A key set that was changed on disk counts within a second or so, and a broken one never.
	fresh := newSigner(t, "two")
	kept := fresh.token(t, "two", "file", "bob")
	r.write("jwks.json", fresh.set)
	r.turns(kept, "200 ok")
	if got := r.bearer(onFile.token(t, "one", "file", "erin")); got != "401 invalid_token" {
		t.Errorf("a key that left the set: %s", got)
	}
	r.write("jwks.json", `{"keys":[`)
	r.reload <- struct{}{}
	r.reload <- struct{}{} // the first has been dealt with
	if got := r.bearer(fresh.token(t, "two", "file", "frank")); got != "200 ok" {
		t.Errorf("with a broken key set on disk: %s", got)
	}
	if log := body(r.get("/metrics")); !strings.Contains(log, `keyward_jwks_refreshes_total{issuer="file",result="error"}`) ||
		!strings.Contains(log, `keyward_cache_entries{cache="token"}`) {
		t.Errorf("metrics: %s", log)
	}
}

// TestCauseIsInTheLogAlone: an operator reads which rule a token breaks, and its client does not.
func TestCauseIsInTheLogAlone(t *testing.T) {
	onFile := newSigner(t, "one")
	r := start(t, baseConfig+`jwt: [{name: file, issuer: file, algorithms: [EdDSA], jwks_file: DIR/jwks.json, audiences: [wanted]}]`, func(r *running) {
		r.create(store.KeyParams{})
		r.write("jwks.json", onFile.set)
	})
	answer := r.raw(rawcheck.Request{Method: "GET", Target: "/", Headers: [][2]string{{"authorization", "Bearer " + onFile.token(t, "one", "file", "bob")}}})
	if answer.String() != "401 invalid_token" {
		t.Fatal(answer)
	}
	if text := answer.Response.String(); strings.Contains(text, "aud") || strings.Contains(text, "wanted") {
		t.Errorf("the client receives the cause: %s", text)
	}
	if log := r.log.String(); !strings.Contains(log, `"cause":"aud: want \"wanted\" (audiences), got a text"`) || strings.Contains(log, "bob") {
		t.Errorf("log: %s", log)
	}
}

// testEnds ends alice's token in every way there is, each time while it is cached.
func (r *running) testEnds(token string) {
	t, yes, no := r.t, true, false
	t.Helper()
	r.user("alice", records.UserPatch{Disabled: &yes})
	r.turns(token, "401 disabled_user")
	r.user("alice", records.UserPatch{Disabled: &no})
	r.turns(token, "200 ok")
	revocations := recordfile.NewRevocationFile(filestore.RevocationFileConfig{Path: r.path("revocations.jsonl")}, nil)
	if _, err := revocations.RevokeSubject(context.Background(), "alice", time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := r.bearer(token); got != "200 ok" {
		t.Errorf("issued after what was revoked: %s", got)
	}
	if _, err := revocations.RevokeToken(context.Background(), "id-of-alice"); err != nil {
		t.Fatal(err)
	}
	r.turns(token, "401 revoked_token")
	if _, err := revocations.RevokeSubject(context.Background(), "carol", time.Now()); err != nil {
		t.Fatal(err)
	}
	r.turns("opaque-good", "401 revoked_token")
}

// TestIssuerAway: what is known goes on, what is not is 503 and not 401, keys
// that Keyward makes are not concerned, and all is well again when the issuer is.
func TestIssuerAway(t *testing.T) {
	issuer, remote := newAuthServer(t), newSigner(t, "one")
	issuer.keys.Store(&remote.set)
	issuer.down.Store(true)
	var key string
	r := start(t, strings.ReplaceAll(tokensConfig, "URL", issuer.URL), func(r *running) {
		key = r.create(store.KeyParams{})
		r.write("secret", hmacSecret)
		r.write("jwks.json", remote.set)
		r.user("alice", records.UserPatch{})
	})
	r.turns(key, "200 ok")
	token := remote.token(t, "one", "away", "dave")
	for _, each := range []string{token, "opaque-good"} {
		if got := r.bearer(each); got != "503 unavailable" {
			t.Errorf("never asked: %s", got)
		}
	}
	issuer.down.Store(false)
	r.turns(token, "200 ok")
	r.turns("opaque-good", "200 ok")
	issuer.down.Store(true)
	if got := r.bearer(token) + ", " + r.bearer("opaque-good"); got != "200 ok, 200 ok" {
		t.Errorf("known ones while the issuer is down: %s", got)
	}
	// A reload that leaves the issuer as it is keeps its keys.
	r.configure(strings.ReplaceAll(tokensConfig, "URL", issuer.URL) + "require_https: false\n")
	r.reload <- struct{}{}
	r.reload <- struct{}{}
	if got := r.bearer(remote.token(t, "one", "away", "erin")); got != "200 ok" {
		t.Errorf("after a reload: %s", got)
	}
	// And what was asked before it.
	if got := r.bearer("opaque-good"); got != "200 ok" {
		t.Errorf("a known opaque token after a reload: %s", got)
	}
}

// TestRevocationsOutliveAReload: a file that is gone leaves what was read from
// it in force, also when another file's name changes.
func TestRevocationsOutliveAReload(t *testing.T) {
	text := strings.ReplaceAll(tokensConfig, "URL", newAuthServer(t).URL)
	r := start(t, text, func(r *running) {
		r.create(store.KeyParams{})
		r.write("secret", hmacSecret)
		r.write("jwks.json", newSigner(t, "one").set)
		r.user("alice", records.UserPatch{})
		keys, err := os.ReadFile(r.path("keys.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		r.write("others.jsonl", string(keys))
	})
	token := signed(t, jwt.NewWithClaims(jwt.SigningMethodHS256, claims("own", "alice")), []byte(hmacSecret))
	r.turns(token, "200 ok")
	revocations := recordfile.NewRevocationFile(filestore.RevocationFileConfig{Path: r.path("revocations.jsonl")}, nil)
	if _, err := revocations.RevokeToken(context.Background(), "id-of-alice"); err != nil {
		t.Fatal(err)
	}
	r.turns(token, "401 revoked_token")
	if err := os.Remove(r.path("revocations.jsonl")); err != nil {
		t.Fatal(err)
	}
	r.reloaded(strings.Replace(text, "DIR/keys.jsonl", "DIR/others.jsonl", 1))
	if got := r.bearer(token); got != "401 revoked_token" {
		t.Errorf("with another key file: %s", got)
	}
}

// TestBodyThatNeverComes: Keyward does not need the body, and does not wait for it for long.
func TestBodyThatNeverComes(t *testing.T) {
	r := start(t, strings.Replace(baseConfig, `http: ""`, `http: "unix://DIR/http.sock"`, 1), func(r *running) { r.create(store.KeyParams{}) })
	conn, err := net.Dial("unix", r.path("http.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, "GET /v1/auth/verify HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("the connection is still open: %v", err)
	}
}

func TestVerifyAndUsage(t *testing.T) {
	var key string
	text := strings.Replace(baseConfig, `http: ""`, `http: "unix://DIR/http.sock"`, 1) + "errors: halo\nusage: {file: DIR/usage.jsonl}\n"
	r := start(t, text, func(r *running) { key = r.create(store.KeyParams{User: "alice", Scopes: &[]string{"read"}}) })
	r.turns(key, "200 ok")
	client := &http.Client{Transport: &http.Transport{DialContext: dialUnix(r.path("http.sock"))}}
	ask := func(key string) string {
		request, err := http.NewRequestWithContext(context.Background(), "GET", "http://keyward/v1/auth/verify", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+key)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(response.StatusCode, " ", string(body))
	}
	if got := ask(key); got != `200 {"authenticated":true,"user_id":"alice","scopes":["read"],"expires_at":null}` {
		t.Error(got)
	}
	if got := ask("kw_x"); got != `401 {"status":401,"error":"Unauthorized","message":"Invalid or expired token","path":"/v1/auth/verify"}` {
		t.Error(got)
	}
	if metrics := body(r.get("/metrics")); !strings.Contains(metrics, `keyward_decisions_total{decision="allow",reason="ok",transport="verify"} 1`) {
		t.Errorf("metrics: %s", metrics)
	}
	record, err := r.keyReader().FindBySecret(context.Background(), authz.NewSecret(key))
	if err != nil {
		t.Fatal(err)
	}
	var account struct {
		Total    int
		Outcomes []struct{ Path string } `json:"last_outcomes"`
	}
	if err := json.Unmarshal([]byte(body(r.get("/usage/"+record.ID))), &account); err != nil || account.Total < 2 || account.Outcomes[0].Path != "/v1/auth/verify" {
		t.Errorf("usage %+v, %v", account, err)
	}
	if got := body(r.get("/usage/k_nobody")); !strings.Contains(got, "no use") {
		t.Errorf("usage of no key: %s", got)
	}
}
