package e2e

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// signer signs with the issuer's own key, as the issuer does.
type signer struct{ key any }

// signer reads the only signing key of the system's issuer.
func (s *system) signer() signer {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "signing-keys", "*.pem"))
	if err != nil || len(files) == 0 {
		s.t.Fatalf("no signing key: %v", err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		s.t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		s.t.Fatal("the signing key is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		s.t.Fatal(err)
	}
	return signer{key}
}

// sign returns the token with other claims.
func (s signer) sign(t *testing.T, token string, claims map[string]any) string {
	t.Helper()
	var header, all map[string]any
	parts := strings.Split(token, ".")
	for i, into := range []*map[string]any{&header, &all} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	maps.Copy(all, claims)
	return sign(t, jwt.SigningMethodES256, s.key, header["kid"].(string), header["typ"].(string), all)
}

// unsigned returns the token with alg none and without a signature.
func unsigned(t *testing.T, token string) string {
	t.Helper()
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`)) + "." + strings.Split(token, ".")[1] + "."
}
