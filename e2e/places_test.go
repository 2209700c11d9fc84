package e2e

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// placesConfig accepts credentials in every place that there is.
const placesConfig = `
users: {file: users.jsonl}
credentials:
  schemes: [Token, ApiKey, ""]
  basic_key_usernames: [__token__]
  basic_key_as_username: true
  basic_charset: iso-8859-1
  header: [X-API-Key, Api-Key]
  query: [code, api_key]
  websocket_protocol: openai-insecure-api-key.
jwt: [{issuer: "https://id.example.com", audiences: [api], hmac_secret_file: secret, algorithms: [HS256]}]
default: {auth: required}
`

// placesSecret signs the JWTs of these tests.
const placesSecret = "0123456789abcdef0123456789abcdef"

// newPlaces is a system with the secret of an issuer, and a token of it.
func newPlaces(t *testing.T, proxy, config string) (s *system, token string) {
	t.Helper()
	s = newSystem(t, options{proxy: proxy, config: config})
	writeFile(t, s.dir, "secret", placesSecret)
	return s, sign(t, jwt.SigningMethodHS256, []byte(placesSecret), "", "JWT", claims(jwt.MapClaims{"iss": "https://id.example.com", "aud": "api", "sub": "alice"}))
}

// TestCredentialPlaces sends keys and JWTs in each place, through each proxy.
// The upstream gets who sent them, and nothing of them.
func TestCredentialPlaces(t *testing.T) {
	throughProxies(t, credentialPlaces, overHTTP...)
}

func credentialPlaces(t *testing.T, proxy string) {
	s, token := newPlaces(t, proxy, placesConfig)
	s.keyward("user", "set", "alice", "--file", "users.jsonl")
	key := s.key("--name", "k", "--user", "alice")
	s.start()
	basic := func(pair string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
	}
	type line struct {
		target, header string
		rest           string // what the upstream gets of the target
	}
	lines := []line{
		{"/x", "Authorization: Token SECRET", "/x"},
		{"/x", "Authorization: apikey SECRET", "/x"},
		{"/x", "Authorization: SECRET", "/x"},
		{"/x", "X-API-Key: SECRET", "/x"},
		{"/x", "X-API-Key: Bearer SECRET", "/x"},
		{"/x", "BASIC SECRET:", "/x"},
		{"/x", "BASIC SECRET:x-oauth-basic", "/x"},
		{"/x", "BASIC __token__:SECRET", "/x"},
	}
	if !slices.Contains(cannotCutQuery, proxy) {
		lines = append(lines, line{"/x?a=1&code=SECRET&b=%2f", "", "/x?a=1&b=%2f"}, line{"/x?api_key=SECRET&a=1", "", "/x?a=1"})
	}
	if proxy == "" || proxy == "envoy-http" { // the files of the others name the header X-API-Key
		lines = append(lines, line{"/x", "Api-Key: SECRET", "/x"})
	}
	for _, secret := range []string{key, token} {
		for _, l := range lines {
			header := strings.ReplaceAll(l.header, "SECRET", secret)
			if pair, found := strings.CutPrefix(header, "BASIC "); found {
				header = basic(pair)
			}
			var headers []string
			if header != "" {
				headers = []string{header}
			}
			a := s.get(strings.ReplaceAll(l.target, "SECRET", encodedOnce(secret)), headers...)
			got := a.received(t)
			if got.Path != l.rest || !slices.Equal(got.Headers["x-auth-subject"], []string{"alice"}) {
				t.Errorf("%s %s: %d, path %q, headers %v", l.target, l.header, a.status, got.Path, got.Headers)
			}
			if where := findText(got, secret, basic(secret+":"), encodedOnce(secret)); where != "" {
				t.Errorf("%s %s: the upstream got the credential in %s", l.target, l.header, where)
			}
		}
	}
	for _, refused := range []struct{ target, header, reason string }{
		{"/x", "Authorization: Digest " + key, "unsupported_credential"},
		{"/x", "X-API-Key: Basic " + key, "malformed_credential"},
		{"/x", "X-API-Key: " + token[:len(token)-4] + "AAAA", "invalid_token"},
		{"/x", "Authorization: Token kw_junk", "invalid_token"},
		{"/x", basic("__token__:kw_junk"), "invalid_token"},
		{"/x", basic("kw_junk:"), "invalid_token"},
	} {
		if a := s.get(refused.target, refused.header); a.status != 401 || a.reason() != refused.reason {
			t.Errorf("%s: %d %s, want %s", refused.header, a.status, a.reason(), refused.reason)
		}
	}
}

// encodedOnce percent-encodes what a client encodes in a query, and more.
func encodedOnce(secret string) string {
	return strings.NewReplacer(".", "%2E", "_", "%5f").Replace(secret)
}

// TestAuthorizationOfTheUpstream: a key in its own header, beside the upstream's
// Authorization, which arrives byte for byte. By default it is a second
// credential.
func TestAuthorizationOfTheUpstream(t *testing.T) {
	theirs := []string{
		"Bearer theirs", "Basic dXA6cHc=",
		"AWS4-HMAC-SHA256 Credential=A/20260101/r/s/aws4_request, SignedHeaders=host, Signature=0",
	}
	throughProxies(t, func(t *testing.T, proxy string) {
		for _, bearer := range []string{"false", "true"} {
			s := newSystem(t, options{proxy: proxy, config: "credentials: {bearer: " + bearer + ", header: X-API-Key}\ndefault: {auth: required}\n"})
			key := s.key("--name", "k")
			s.start()
			for _, value := range theirs {
				a := s.get("/x", "X-API-Key: "+key, "Authorization: "+value)
				if bearer == "true" {
					if a.status != 401 || a.reason() != "ambiguous_credential" {
						t.Errorf("%s beside a key, with bearer on: %d %s", value, a.status, a.reason())
					}
					continue
				}
				got := a.received(t)
				if !slices.Equal(got.Headers["authorization"], []string{value}) || findText(got, key) != "" {
					t.Errorf("%s: %d, the upstream got %v", value, a.status, got.Headers)
				}
				if a := s.get("/x", "Authorization: "+value); a.status != 401 || a.reason() != "no_credential" {
					t.Errorf("%s alone: %d %s", value, a.status, a.reason())
				}
			}
		}
	}, overHTTP...)
}
