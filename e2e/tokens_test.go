package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// claims returns the claims of a token that is valid for half an hour, except
// as given.
func claims(given jwt.MapClaims) jwt.MapClaims {
	now := time.Now()
	all := jwt.MapClaims{"iat": now.Unix(), "exp": now.Add(30 * time.Minute).Unix(), "jti": rand.Text()}
	maps.Copy(all, given)
	return all
}

// sign returns a token; typ and kid are omitted if they are "".
func sign(t *testing.T, method jwt.SigningMethod, key any, kid, typ string, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	delete(token.Header, "typ")
	for name, value := range map[string]string{"kid": kid, "typ": typ} {
		if value != "" {
			token.Header[name] = value
		}
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// loginSecret returns the key with which the API's login endpoint signs, as the
// commands of an example made it.
func (s *system) loginSecret() []byte {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "jwt-secret"))
	if err != nil {
		s.t.Fatal(err)
	}
	return []byte(strings.TrimSuffix(string(text), "\n"))
}

// login returns a token as the login endpoint would.
func (s *system) login(c jwt.MapClaims) string {
	s.t.Helper()
	return sign(s.t, jwt.SigningMethodHS256, s.loginSecret(), "", "JWT", claims(c))
}

// authorizationServer publishes its keys and answers introspection requests
// (RFC 7662).
type authorizationServer struct {
	*httptest.Server
	t      *testing.T
	rsa    *rsa.PrivateKey
	ec     *ecdsa.PrivateKey
	client string // user name and password of the introspection client

	mu     sync.Mutex
	tokens map[string]jwt.MapClaims // active opaque tokens
}

func startAuthorizationServer(t *testing.T, client string) *authorizationServer {
	t.Helper()
	a := &authorizationServer{t: t, client: client, tokens: map[string]jwt.MapClaims{}}
	var err error
	if a.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	a.ec = newECDSAKey(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, a.keys()) })
	mux.HandleFunc("POST /oauth/introspect", a.introspect)
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (a *authorizationServer) keys() any {
	text := func(n *big.Int, size int) string {
		return base64.RawURLEncoding.EncodeToString(n.FillBytes(make([]byte, size)))
	}
	return object{"keys": []any{
		object{"kid": "r1", "kty": "RSA", "use": "sig", "alg": "RS256", "n": text(a.rsa.N, 256), "e": "AQAB"},
		publicJWK(&a.ec.PublicKey, "e1"),
	}}
}

// publicJWK returns the JWK of a P-256 key.
func publicJWK(key *ecdsa.PublicKey, kid string) object {
	point, _ := key.Bytes() // fails for other curves only
	encode := base64.RawURLEncoding.EncodeToString
	return object{"kid": kid, "kty": "EC", "use": "sig", "alg": "ES256", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])}
}

func (a *authorizationServer) introspect(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	password, err := url.QueryUnescape(password) // RFC 6749 section 2.3.1
	if err != nil || user+":"+password != a.client {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, active := a.tokens[r.FormValue("token")]; active {
		c["active"] = true
		answerJSON(w, c)
		return
	}
	answerJSON(w, object{"active": false})
}

// opaque issues an opaque access token.
func (a *authorizationServer) opaque(c jwt.MapClaims) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	token := "at-" + rand.Text()
	a.tokens[token] = claims(c)
	return token
}

// accessToken issues an access token that is a JWT (RFC 9068).
func (a *authorizationServer) accessToken(method jwt.SigningMethod, given jwt.MapClaims) string {
	a.t.Helper()
	var key crypto.Signer = a.rsa
	kid := "r1"
	if method == jwt.SigningMethodES256 {
		key, kid = a.ec, "e1"
	}
	c := claims(jwt.MapClaims{"iss": a.URL, "aud": "https://api.example.com", "client_id": "yourapp"})
	maps.Copy(c, given)
	return sign(a.t, method, key, kid, "at+jwt", c)
}
