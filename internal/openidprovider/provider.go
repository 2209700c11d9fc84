// Package openidprovider is an OpenID provider for tests: by the letter of the standards,
// with hooks by which a test has it break them. Programs do not use it.
package openidprovider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// What the provider has on record of Keyward.
const (
	ClientID     = "keyward"
	ClientSecret = "a secret of & the client"
	Callback     = "https://console.example.com/login/callback"
)

// The keys that are in the key set, and one that is not. They are made once: tests start
// many providers.
var (
	RSAKey, _   = rsa.GenerateKey(rand.Reader, 2048)
	ECKey, _    = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	OtherKey, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
)

// Grant is what the provider remembers of a code.
type Grant struct{ Challenge, Nonce, Redirect string }

// Provider is an OpenID provider by the letter of the standards, with hooks by
// which a test has it break them.
type Provider struct {
	*httptest.Server
	*testing.T
	now func() time.Time

	mu     sync.Mutex
	method jwt.SigningMethod
	key    any
	kid    string

	JWKS     []any
	Grants   map[string]Grant            // by code
	Asked    url.Values                  // the last authorization request
	Replaced map[string]http.HandlerFunc // handlers in place of the provider's own, by path

	// The hooks change what the provider says.
	Metadata func(map[string]any)
	Claims   func(jwt.MapClaims)
	Header   func(map[string]any) // of ID tokens
	UserInfo map[string]any

	Requests map[string]*atomic.Int64 // how many there were, by path
}

// New starts a provider, which ends with the test.
func New(t *testing.T, now func() time.Time) *Provider {
	p := &Provider{
		T: t, now: now, method: jwt.SigningMethodES256, key: ECKey, kid: "ec", JWKS: []any{ECJWK("ec", ECKey), RSAJWK("rsa", RSAKey)},
		Grants: map[string]Grant{}, Replaced: map[string]http.HandlerFunc{}, Requests: map[string]*atomic.Int64{},
		Metadata: func(map[string]any) {}, Claims: func(jwt.MapClaims) {}, Header: func(map[string]any) {},
	}
	mux := http.NewServeMux()
	for path, handler := range map[string]http.HandlerFunc{
		"/.well-known/openid-configuration": p.serveMetadata, "/jwks": p.serveKeys, "/token": p.serveToken, "/userinfo": p.serveUserInfo,
	} {
		count := &atomic.Int64{}
		p.Requests[path] = count
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			count.Add(1)
			p.mu.Lock()
			defer p.mu.Unlock()
			if other := p.Replaced[path]; other != nil {
				other(w, r)
				return
			}
			handler(w, r)
		})
	}
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Server.Close)
	return p
}

func (p *Provider) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		p.Error(err)
	}
}

func (p *Provider) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	m := map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/jwks",
		"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "HS256", "none"}, "authorization_response_iss_parameter_supported": true,
	}
	p.Metadata(m)
	p.answer(w, m)
}

func (p *Provider) serveKeys(w http.ResponseWriter, _ *http.Request) {
	p.answer(w, map[string]any{"keys": p.JWKS})
}

func (p *Provider) serveUserInfo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer access" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	p.answer(w, p.UserInfo)
}

// Authorize is the person's login to the provider: it returns the query with which the
// browser comes back.
func (p *Provider) Authorize(to string) url.Values {
	p.Helper()
	u, err := url.Parse(to)
	if err != nil {
		p.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	q := u.Query()
	p.Asked = q
	if q.Get("response_type") != "code" || q.Get("client_id") != ClientID || q.Get("redirect_uri") != Callback || q.Get("code_challenge_method") != "S256" || u.Path != "/authorize" {
		p.Errorf("authorization request %v", q)
	}
	code := fmt.Sprintf("code%d", len(p.Grants))
	p.Grants[code] = Grant{q.Get("code_challenge"), q.Get("nonce"), q.Get("redirect_uri")}
	return url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.URL}}
}

func (p *Provider) serveToken(w http.ResponseWriter, r *http.Request) {
	id, secret, ok := r.BasicAuth()
	if ok {
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
	} else {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	g, known := p.Grants[r.PostFormValue("code")]
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	switch {
	case r.Method != http.MethodPost || r.PostFormValue("grant_type") != "authorization_code":
		p.fail(w, "invalid_request")
		return
	case id != ClientID || secret != ClientSecret:
		p.fail(w, "invalid_client")
		return
	case !known || g.Redirect != r.PostFormValue("redirect_uri") || g.Challenge != base64.RawURLEncoding.EncodeToString(challenge[:]):
		p.fail(w, "invalid_grant")
		return
	}
	delete(p.Grants, r.PostFormValue("code"))
	p.answer(w, map[string]any{"access_token": "access", "token_type": "Bearer", "id_token": p.idToken(g.Nonce)})
}

func (p *Provider) fail(w http.ResponseWriter, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = fmt.Fprintf(w, `{"error":%q,"error_description":"leaked %s"}`, code, ClientSecret)
}

// idToken signs an ID token of alice, who has just logged in.
func (p *Provider) idToken(nonce string) string {
	now := p.now().Unix()
	c := jwt.MapClaims{
		"iss": p.URL, "sub": "sub-alice", "aud": ClientID, "exp": now + 300, "iat": now, "auth_time": now, "nonce": nonce,
		"email": "alice@example.com", "email_verified": true, "preferred_username": "alice", "groups": []string{"admins", "staff"},
	}
	p.Claims(c)
	token := jwt.NewWithClaims(p.method, c)
	token.Header["kid"] = p.kid
	p.Header(token.Header)
	text, err := token.SignedString(p.key)
	if err != nil {
		p.Error(err)
	}
	return text
}

// ECJWK is the public key in the key set.
func ECJWK(kid string, key *ecdsa.PrivateKey) map[string]any {
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return map[string]any{"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:])}
}

// RSAJWK is the public key in the key set.
func RSAJWK(kid string, key *rsa.PrivateKey) map[string]any {
	return map[string]any{"kty": "RSA", "kid": kid, "use": "sig", "n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes())}
}

// SignedBy has the provider sign with a key.
func (p *Provider) SignedBy(method jwt.SigningMethod, key crypto.PrivateKey, kid string) {
	p.method, p.key, p.kid = method, key, kid
}

// RawToken has the token endpoint answer with an ID token whose payload is a text of the
// test's, signed.
func (p *Provider) RawToken(payload func(claims string) string) {
	p.Replaced["/token"] = func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(p.idToken(p.Grants[r.PostFormValue("code")].Nonce), ".")
		old, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			p.Error(err)
		}
		signed := parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(payload(string(old))))
		signature, err := p.method.Sign(signed, p.key)
		if err != nil {
			p.Error(err)
		}
		p.answer(w, map[string]any{"access_token": "access", "token_type": "Bearer", "id_token": signed + "." + base64.RawURLEncoding.EncodeToString(signature)})
	}
}
