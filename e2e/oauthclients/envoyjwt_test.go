package oauthclients

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2/clientcredentials"

	"keyward/e2e/stack"
)

// verifyTokens has Envoy's filter jwt_authn verify the issuer's tokens, before Keyward checks
// them. It keeps the keys for 20 seconds, a third of the time for which the issuer publishes a
// key before that signs.
func (s *site) verifyTokens() {
	s.t.Helper()
	s.addFilter("envoy.filters.http.jwt_authn", "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication", map[string]any{
		"providers": map[string]any{"keyward": map[string]any{
			"issuer": s.issuer(), "audiences": []any{s.issuer()}, "forward": true,
			"remote_jwks": map[string]any{
				"http_uri":       map[string]any{"cluster": "keyward_issuer", "uri": "http://" + stack.Address(s.ports.Issuer) + "/.well-known/jwks.json", "timeout": "3s"},
				"cache_duration": "20s", "async_fetch": map[string]any{},
			},
		}},
		"rules": []any{map[string]any{"match": map[string]any{"prefix": "/items"}, "requires": map[string]any{"provider_name": "keyward"}}},
	})
	// What is measured here is not how fast this machine is.
	check := s.envoy.Find("envoy.filters.http.ext_authz")["typed_config"].(map[string]any)
	check["grpc_service"].(map[string]any)["timeout"] = "5s"
}

// TestEnvoyVerifiesThroughRotation: Envoy's filter jwt_authn, and Keyward's check behind it,
// refuse no token while the signing key rotates: neither those of the key before, nor the first
// ones of the next.
func TestEnvoyVerifiesThroughRotation(t *testing.T) {
	s := prepare(t, time.Hour)
	id, secret := s.client("--grant", "client_credentials")
	s.verifyTokens()
	s.start()
	if status, body := s.items(""); status != 401 || !strings.Contains(body, "Jwt is missing") {
		t.Fatalf("without a token: %d %s", status, body)
	}
	config := clientcredentials.Config{ClientID: id, ClientSecret: secret, TokenURL: s.issuer() + "/oauth/token", Scopes: []string{"items:read"}}
	first := s.token(&config)
	s.until("the keys", 200, func() int { status, _ := s.items(first); return status })

	kid, signs := s.rotate()
	// The server signs with it as soon as it has read the keys again after that.
	load := &load{site: s, config: &config, first: first, next: kid, end: signs.Add(30 * time.Second)}
	if wait := time.Until(load.end); wait > 2*time.Minute {
		t.Fatalf("the next key signs from %s", signs)
	}
	load.run(4)
	t.Logf("accepted: %d before the next key signed, then %d of the key before and %d of the next", load.before, load.old, load.new)
	if load.old < enough || load.new < enough {
		t.Errorf("only these were accepted since the next key signs")
	}
}

// rotate makes the next key, and returns its id and when it signs.
func (s *site) rotate() (kid string, signs time.Time) {
	s.t.Helper()
	said := strings.TrimSpace(s.run("", "issuer", "rotate"))
	kid, rest, _ := strings.Cut(said, " is published, and signs from ")
	signs, err := time.Parse(time.RFC3339, rest)
	if err != nil {
		s.t.Fatalf("%q: %v", said, err)
	}
	return kid, signs
}

// items asks the API.
func (s *site) items(token string) (status int, body string) {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodGet, s.issuer()+"/items", http.NoBody)
	if err != nil {
		s.t.Error(err)
		return 0, ""
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Error(err)
		return 0, ""
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Error(err)
	}
	return answer.StatusCode, string(text)
}

// token gets a token; "" if that fails.
func (s *site) token(config *clientcredentials.Config) string {
	s.t.Helper()
	token, err := config.Token(s.t.Context())
	if err != nil {
		s.t.Error(err)
		return ""
	}
	return token.AccessToken
}

// enough is how many tokens of each key are accepted once the next one signs.
const enough = 200

// load asks the API in turns with the first token and with a new one, which is replaced each
// second, until enough were accepted of both keys.
type load struct {
	*site
	config *clientcredentials.Config
	first  string
	next   string    // the kid of the next key
	end    time.Time // at the latest

	mu               sync.Mutex
	before, old, new int // how many were accepted: before and since there was one of the next key
}

// run asks from as many goroutines, each at most 20 times per second.
func (l *load) run(workers int) {
	var running sync.WaitGroup
	for range workers {
		running.Go(l.ask)
	}
	running.Wait()
}

func (l *load) ask() {
	tokens := [2]string{l.first, l.first}
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for n := 0; time.Now().Before(l.end); n++ {
		<-pace.C
		if n%20 == 0 {
			if tokens[1] = l.token(l.config); tokens[1] == "" {
				return
			}
		}
		token := tokens[n%2]
		if status, body := l.items(token); status != http.StatusOK {
			l.t.Errorf("the key %s, at %s: %d %s", kidOf(l.t, token), time.Now(), status, body)
			return
		}
		if l.count(kidOf(l.t, token)) {
			return
		}
	}
}

// count counts an accepted token, and reports whether these were enough.
func (l *load) count(kid string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case kid == l.next:
		l.new++
	case l.new > 0:
		l.old++
	default:
		l.before++
	}
	return l.old >= enough && l.new >= enough
}

// kidOf is the id of the key that signed the token.
func kidOf(t *testing.T, token string) string {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	var header struct{ Kid string }
	if err == nil {
		err = json.Unmarshal(text, &header)
	}
	if err != nil {
		t.Error(fmt.Errorf("the header of a token: %w", err))
	}
	return header.Kid
}
