package oidclogin

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

const (
	clientID     = "keyward"
	clientSecret = "a secret of & the client"
	callback     = "https://console.example.com/login/callback"
)

var (
	rsaKey, _   = rsa.GenerateKey(rand.Reader, 2048)
	ecKey, _    = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	otherKey, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
)

// grant is what the provider remembers of a code.
type grant struct{ challenge, nonce, redirect string }

// openIDProvider is an OpenID provider by the letter of the standards, with hooks by
// which a test has it break them.
type openIDProvider struct {
	*httptest.Server
	*testing.T
	now func() time.Time

	mu       sync.Mutex
	method   jwt.SigningMethod
	key      any
	kid      string
	jwks     []any
	grants   map[string]grant
	asked    url.Values // the last authorization request
	replaced map[string]http.HandlerFunc

	metadata func(map[string]any)
	claims   func(jwt.MapClaims)
	header   func(map[string]any)
	userInfo map[string]any

	requests map[string]*atomic.Int64 // by path
}

func newOpenIDProvider(t *testing.T, now func() time.Time) *openIDProvider {
	p := &openIDProvider{
		T: t, now: now, method: jwt.SigningMethodES256, key: ecKey, kid: "ec", jwks: []any{ecJWK("ec", ecKey), rsaJWK("rsa", rsaKey)},
		grants: map[string]grant{}, replaced: map[string]http.HandlerFunc{}, requests: map[string]*atomic.Int64{},
		metadata: func(map[string]any) {}, claims: func(jwt.MapClaims) {}, header: func(map[string]any) {},
	}
	mux := http.NewServeMux()
	for path, handler := range map[string]http.HandlerFunc{
		"/.well-known/openid-configuration": p.serveMetadata, "/jwks": p.serveKeys, "/token": p.serveToken, "/userinfo": p.serveUserInfo,
	} {
		count := &atomic.Int64{}
		p.requests[path] = count
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			count.Add(1)
			p.mu.Lock()
			defer p.mu.Unlock()
			if other := p.replaced[path]; other != nil {
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

func (p *openIDProvider) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		p.Error(err)
	}
}

func (p *openIDProvider) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	m := map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/jwks",
		"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "HS256", "none"}, "authorization_response_iss_parameter_supported": true,
	}
	p.metadata(m)
	p.answer(w, m)
}

func (p *openIDProvider) serveKeys(w http.ResponseWriter, _ *http.Request) {
	p.answer(w, map[string]any{"keys": p.jwks})
}

func (p *openIDProvider) serveUserInfo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer access" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	p.answer(w, p.userInfo)
}

// authorize is the person's login to the provider: it returns the query with which the
// browser comes back.
func (p *openIDProvider) authorize(to string) url.Values {
	p.Helper()
	u, err := url.Parse(to)
	if err != nil {
		p.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	q := u.Query()
	p.asked = q
	if q.Get("response_type") != "code" || q.Get("client_id") != clientID || q.Get("redirect_uri") != callback || q.Get("code_challenge_method") != "S256" || u.Path != "/authorize" {
		p.Errorf("authorization request %v", q)
	}
	code := fmt.Sprintf("code%d", len(p.grants))
	p.grants[code] = grant{q.Get("code_challenge"), q.Get("nonce"), q.Get("redirect_uri")}
	return url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.URL}}
}

func (p *openIDProvider) serveToken(w http.ResponseWriter, r *http.Request) {
	id, secret, ok := r.BasicAuth()
	if ok {
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
	} else {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	g, known := p.grants[r.PostFormValue("code")]
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	switch {
	case r.Method != http.MethodPost || r.PostFormValue("grant_type") != "authorization_code":
		p.fail(w, "invalid_request")
		return
	case id != clientID || secret != clientSecret:
		p.fail(w, "invalid_client")
		return
	case !known || g.redirect != r.PostFormValue("redirect_uri") || g.challenge != encoding.EncodeToString(challenge[:]):
		p.fail(w, "invalid_grant")
		return
	}
	delete(p.grants, r.PostFormValue("code"))
	p.answer(w, map[string]any{"access_token": "access", "token_type": "Bearer", "id_token": p.idToken(g.nonce)})
}

func (p *openIDProvider) fail(w http.ResponseWriter, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = fmt.Fprintf(w, `{"error":%q,"error_description":"leaked %s"}`, code, clientSecret)
}

// idToken signs an ID token of alice, who has just logged in.
func (p *openIDProvider) idToken(nonce string) string {
	now := p.now().Unix()
	c := jwt.MapClaims{
		"iss": p.URL, "sub": "sub-alice", "aud": clientID, "exp": now + 300, "iat": now, "auth_time": now, "nonce": nonce,
		"email": "alice@example.com", "email_verified": true, "preferred_username": "alice", "groups": []string{"admins", "staff"},
	}
	p.claims(c)
	token := jwt.NewWithClaims(p.method, c)
	token.Header["kid"] = p.kid
	p.header(token.Header)
	text, err := token.SignedString(p.key)
	if err != nil {
		p.Error(err)
	}
	return text
}

func ecJWK(kid string, key *ecdsa.PrivateKey) map[string]any {
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return map[string]any{"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "x": encoding.EncodeToString(point[1:33]), "y": encoding.EncodeToString(point[33:])}
}

func rsaJWK(kid string, key *rsa.PrivateKey) map[string]any {
	return map[string]any{"kty": "RSA", "kid": kid, "use": "sig", "n": encoding.EncodeToString(key.N.Bytes()), "e": encoding.EncodeToString(big.NewInt(int64(key.E)).Bytes())}
}

// signedBy has the provider sign with a key.
func (p *openIDProvider) signedBy(method jwt.SigningMethod, key crypto.PrivateKey, kid string) {
	p.method, p.key, p.kid = method, key, kid
}

// rawToken has the token endpoint answer with an ID token whose payload is a text of the
// test's, signed.
func (p *openIDProvider) rawToken(payload func(claims string) string) {
	p.replaced["/token"] = func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(p.idToken(p.grants[r.PostFormValue("code")].nonce), ".")
		old, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			p.Error(err)
		}
		signed := parts[0] + "." + encoding.EncodeToString([]byte(payload(string(old))))
		signature, err := p.method.Sign(signed, p.key)
		if err != nil {
			p.Error(err)
		}
		p.answer(w, map[string]any{"access_token": "access", "token_type": "Bearer", "id_token": signed + "." + encoding.EncodeToString(signature)})
	}
}
