package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// recipeIssuer serves the documents of an issuer as that issuer publishes them,
// and signs tokens as it does. They are in testdata/recipes/NAME:
//
//   - openid-configuration.json, served where discovery looks for it;
//   - jwks.json, served where that document says (jwks_uri);
//   - others with a header and the claims of a token: see token.
//
// In the documents the issuer has its real https address, and its key set may be
// on another host. The test's server takes the place of both, in the page's
// configuration too: see config. It may have several issuers: see publish. The
// placeholder
// ${n} is the modulus of an RSA key (with e AQAB), and ${x} and ${y} are the point
// of a P-256 key. Everything else stays as in the real document, so that a key
// set has keys that the test cannot sign with, and members that nothing reads.
type recipeIssuer struct {
	*httptest.Server
	t     *testing.T
	name  string   // of the page, and of the directory
	real  string   // the issuer's address in its documents and on the page
	hosts []string // "https://HOST" of the documents
	mux   *http.ServeMux
	recipeKeys
}

// recipeKeys are what an issuer signs with.
type recipeKeys struct {
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
}

func newRecipeKeys(t *testing.T) (k recipeKeys) {
	t.Helper()
	var err error
	if k.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	k.ec = newECDSAKey(t)
	if k.ec.Curve != elliptic.P256() {
		t.Fatalf("a key of %s", k.ec.Curve.Params().Name)
	}
	return k
}

// startRecipeIssuer serves the documents of a page's issuer, whose `iss` is
// real, an https URL.
func startRecipeIssuer(t *testing.T, name, real string) *recipeIssuer {
	t.Helper()
	i := &recipeIssuer{t: t, name: name, real: real, recipeKeys: newRecipeKeys(t)}
	i.publish("openid-configuration.json", real)
	return i
}

// publish serves the discovery document of an issuer, and the key set where that
// document says. Issuers of one page have the same keys.
func (i *recipeIssuer) publish(file, real string) {
	i.t.Helper()
	discovery := i.document(file)
	var members struct{ Issuer, JWKSURI string }
	if err := json.Unmarshal([]byte(strings.Replace(discovery, `"jwks_uri"`, `"JWKSURI"`, 1)), &members); err != nil || strings.TrimSuffix(members.Issuer, "/") != strings.TrimSuffix(real, "/") {
		i.t.Fatalf("the discovery document is of %q, not of %q: %v", members.Issuer, real, err)
	}
	i.serve(map[string]string{
		strings.TrimSuffix(real, "/") + "/.well-known/openid-configuration": discovery,
		members.JWKSURI: i.keySet(),
	})
}

// startRecipeKeys serves the key set of an issuer that has no discovery document.
// The page has its URL as jwks_url. The issuer keeps its real name, unless that
// is on the same host.
func startRecipeKeys(t *testing.T, name, jwksURL string) *recipeIssuer {
	t.Helper()
	i := &recipeIssuer{t: t, name: name, real: jwksURL, recipeKeys: newRecipeKeys(t)}
	i.serve(map[string]string{jwksURL: i.keySet()})
	return i
}

// serve serves documents by their real URLs.
func (i *recipeIssuer) serve(documents map[string]string) {
	i.t.Helper()
	if i.Server == nil {
		i.mux = http.NewServeMux()
		i.Server = httptest.NewServer(i.mux)
		i.t.Cleanup(i.Close)
	}
	for address, text := range documents {
		path := pathOf(i.t, address)
		i.hosts = append(i.hosts, strings.TrimSuffix(address, path))
		i.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(i.local(text)))
		})
	}
}

func pathOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" {
		t.Fatalf("%q is not an https URL: %v", address, err)
	}
	return u.Path
}

func (i *recipeIssuer) document(file string) string {
	i.t.Helper()
	return readText(i.t, filepath.Join("testdata", "recipes", i.name, file))
}

// local returns a text with the test's server in the place of the real hosts.
func (i *recipeIssuer) local(text string) string {
	for _, host := range i.hosts {
		text = strings.ReplaceAll(text, host, i.URL)
	}
	return text
}

// config returns the page's configuration with the test's server in it.
func (i *recipeIssuer) config(page string) string {
	i.t.Helper()
	if !strings.Contains(page, i.real) {
		i.t.Fatalf("the page's configuration does not name %s", i.real)
	}
	return i.local(page)
}

// replaced returns a change of a page's configuration, which must have each of
// the old texts once. Pairs are old and new.
func replaced(t *testing.T, pairs ...string) func(config string) string {
	return func(config string) string {
		for i := 0; i < len(pairs); i += 2 {
			if strings.Count(config, pairs[i]) != 1 {
				t.Fatalf("the page's configuration does not have %q once", pairs[i])
			}
			config = strings.Replace(config, pairs[i], pairs[i+1], 1)
		}
		return config
	}
}

func (i *recipeIssuer) keySet() string {
	i.t.Helper()
	point, err := i.ec.PublicKey.Bytes()
	if err != nil {
		i.t.Fatal(err)
	}
	text := i.document("jwks.json")
	filled := strings.NewReplacer(
		"${n}", encodedNumber(i.rsa.N), "${x}", base64.RawURLEncoding.EncodeToString(point[1:33]), "${y}", base64.RawURLEncoding.EncodeToString(point[33:]),
	).Replace(text)
	if filled == text {
		i.t.Fatal("jwks.json has no place for a key of the test")
	}
	return filled
}

func encodedNumber(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }

// instant is a time in a document: "${now}", "${now+1h}", "${now-5m}".
var instant = regexp.MustCompile(`"\$\{now([+-]\w+)?\}"`)

// token signs the token in a document `{"header": {…}, "claims": {…}}`, with
// the key for its `alg`. change, if not nil, changes it before.
func (i *recipeIssuer) token(file string, change func(header, claims map[string]any)) string {
	i.t.Helper()
	return i.signed(i.recipeKeys, file, change)
}

// forged is token with keys that are not the issuer's.
func (i *recipeIssuer) forged(file string) string {
	i.t.Helper()
	return i.signed(newRecipeKeys(i.t), file, nil)
}

func (i *recipeIssuer) signed(keys recipeKeys, file string, change func(header, claims map[string]any)) string {
	i.t.Helper()
	token := i.unsigned(file, change)
	var key any = keys.rsa
	if strings.HasPrefix(token.Method.Alg(), "ES") {
		key = keys.ec
	}
	text, err := token.SignedString(key)
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

// unsigned reads a document of a token.
func (i *recipeIssuer) unsigned(file string, change func(header, claims map[string]any)) *jwt.Token {
	i.t.Helper()
	text := instant.ReplaceAllStringFunc(i.local(i.document(file)), func(found string) string {
		at := time.Now()
		if offset := instant.FindStringSubmatch(found)[1]; offset != "" {
			by, err := time.ParseDuration(offset)
			if err != nil {
				i.t.Fatalf("%s: %s: %v", file, found, err)
			}
			at = at.Add(by)
		}
		return strconv.FormatInt(at.Unix(), 10)
	})
	var parts struct{ Header, Claims map[string]any }
	reader := json.NewDecoder(strings.NewReader(text))
	reader.UseNumber()
	if err := reader.Decode(&parts); err != nil {
		i.t.Fatalf("%s: %v", file, err)
	}
	method := methodOf(parts.Header)
	if change != nil {
		change(parts.Header, parts.Claims)
	}
	if changed := methodOf(parts.Header); changed != nil { // another is only claimed
		method = changed
	}
	if method == nil {
		i.t.Fatalf("%s: no algorithm %q", file, parts.Header["alg"])
	}
	return &jwt.Token{Header: parts.Header, Claims: jwt.MapClaims(parts.Claims), Method: method}
}

func methodOf(header map[string]any) jwt.SigningMethod {
	alg, _ := header["alg"].(string)
	return jwt.GetSigningMethod(alg)
}
