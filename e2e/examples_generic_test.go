package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyward/e2e/stack"
)

const (
	genericURL      = "https://api.example.com"
	genericCallback = "https://yourapp.com/callback"
	genericUser     = "user@example.com"
	genericPassword = "your_password"
)

// TestGenericAPI runs the commands of the Generic API's page, and with the proxies that have
// the issuer's endpoints its JavaScript and the commands of its login.
func TestGenericAPI(t *testing.T) { throughEvery(t, runGenericAPI) }

func runGenericAPI(t *testing.T, proxy string) {
	c, printed := startGenericAPI(t, exampleFile{proxy: proxy})
	client := c.oauthClient(printed[3])
	c.variables = c.genericTokens(client)
	c.placeholders(printed[1])
	issuerToo := slices.Contains(issuerProxies, proxy)
	if issuerToo {
		c.runJavaScript(t, client)
	}
	c.run(t, "generic-api")
	if issuerToo {
		c.run(t, "generic-api-login")
	}
	c.keepsSecrets(t)
}

// startGenericAPI starts the example with what the argument has in addition.
func startGenericAPI(t *testing.T, e exampleFile) (*terminal, []string) {
	t.Helper()
	e.name, e.hosts, e.tls, e.mediaType = "generic-api", []string{"api.example.com:443", "api.example.com:80"}, "api.example.com", "application/json"
	return e.start(t)
}

// placeholders sets what the page shows in place of credentials, after the variables.
func (c *terminal) placeholders(key string) {
	c.t.Helper()
	c.variables["ID"], c.variables["KEY_ENDS"], c.variables["MISTYPED"] = c.idOf(key), c.endOf(key), misconfigured(key)
	c.keys["YOUR_API_KEY"], c.keys["your_api_key_here"] = key, key
	c.keys["YOUR_JWT_TOKEN"] = c.variables["JWT"]
	c.keys["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9..."] = c.variables["JWT"]
}

// genericTokens returns tokens of the Generic API's issuer, valid and invalid.
func (c *terminal) genericTokens(client oauthClient) map[string]string {
	c.t.Helper()
	at := c.pastProxy(genericURL)
	login := at.logIn(genericUser, genericPassword)
	if ends, err := time.Parse(time.RFC3339, login.Expires); err != nil || time.Until(ends) > time.Hour {
		c.t.Errorf("a token of the login is valid until %s (%v)", login.Expires, err)
	}
	link := genericURL + "/oauth/authorize?client_id=" + client.ID + "&redirect_uri=" + genericCallback + "&response_type=code&scope=read"
	var access struct {
		Token string `json:"access_token"`
	}
	at.post("/oauth/token", map[string]string{
		"grant_type": "authorization_code", "code": at.allow(link, genericCallback, genericUser, genericPassword), "redirect_uri": genericCallback,
		"client_id": client.ID, "client_secret": client.Secret,
	}, &access)
	own, forger := c.signer(), signer{newECDSAKey(c.t)}
	now := time.Now()
	return map[string]string{
		"CLIENT_ID": client.ID, "CLIENT_SECRET": client.Secret, "ACCESS": access.Token,
		"JWT": login.Token, "JTI": c.idOfToken(login.Token), "JWT_ENDS": login.Expires,
		"JWT_EXPIRED":           own.sign(c.t, login.Token, expiredClaims()),
		"JWT_OF_TWO_DAYS":       own.sign(c.t, login.Token, map[string]any{"exp": now.Add(48 * time.Hour).Unix()}),
		"JWT_FOR_ANOTHER_API":   own.sign(c.t, login.Token, map[string]any{"aud": "https://other.example.com"}),
		"JWT_OF_ANOTHER_ISSUER": own.sign(c.t, login.Token, map[string]any{"iss": "https://other.example.com"}),
		"JWT_FORGED":            forger.sign(c.t, login.Token, nil),
	}
}

func newECDSAKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// runJavaScript runs the page's scripts with node: the link to the authorization endpoint, whose
// pages the user goes through, the exchange of the code, the API's answer, and the refresh.
func (c *terminal) runJavaScript(t *testing.T, client oauthClient) {
	t.Helper()
	inBrowser, atServer, found := strings.Cut(c.script(client, "authorization-code.js"), "// Step 3")
	if !found {
		t.Fatal("the page has no step 3")
	}
	var link string
	c.node("const window = {location: {}}\n"+inBrowser, "new URL(window.location.href).href", &link)
	code := c.throughProxy(genericURL).allow(link, genericCallback, genericUser, genericPassword)

	var got struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Status  int
		API     struct {
			Path    string
			Headers map[string][]string
		}
	}
	c.node("//"+strings.ReplaceAll(atServer, "AUTH_CODE", code), `{access_token, refresh_token, status: apiResponse.status, api: await apiResponse.json()}`, &got)
	if got.Access == "" || got.Refresh == "" || got.Status != 200 || got.API.Path != "/v1/users" ||
		fmt.Sprint(got.API.Headers["x-auth-subject"], got.API.Headers["x-auth-scopes"], got.API.Headers["x-auth-method"]) != "[user@example.com] [read write] [oauth]" {
		t.Fatalf("status %d, the API got %+v", got.Status, got.API)
	}
	c.variables["CODE"], c.variables["ACCESS_BEFORE"], c.variables["REFRESH_BEFORE"] = code, got.Access, got.Refresh
	var next string
	c.node(strings.ReplaceAll(c.script(client, "refresh.js"), "YOUR_REFRESH_TOKEN", got.Refresh), "access_token", &next)
	c.variables["ACCESS_REFRESHED"] = next
}

// script returns a script of the page with a client's id and secret.
func (c *terminal) script(client oauthClient, name string) string {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join("oauthclients", "testdata", "generic-page", name))
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.NewReplacer("YOUR_CLIENT_ID", client.ID, "YOUR_CLIENT_SECRET", client.Secret).Replace(string(text))
}

// connectToProxy has node connect to the proxy for the page's host, as connect-to does for curl.
const connectToProxy = `const tls = require('node:tls')
const { connect } = tls
const [host, port] = process.env.PROXY.split(':')
tls.connect = options => connect({ ...options, host, port: Number(port) })
`

// node runs a script as a module of JavaScript, and reads the value of an expression at its end.
func (c *terminal) node(script, expression string, result any) {
	c.t.Helper()
	connect := writeFile(c.t, c.dir, "connect.cjs", connectToProxy)
	err := stack.RunJavaScript(c.t.Context(), script, expression, result, "NODE_OPTIONS=--require "+connect, "NODE_EXTRA_CA_CERTS="+c.authority.file, "PROXY="+c.proxyAddress())
	if err != nil {
		c.t.Fatal(err)
	}
}

// TestGenericAPIWithAnotherServer runs the example with the lines that accept the tokens of
// another authorization server too, and then without that server.
func TestGenericAPIWithAnotherServer(t *testing.T) {
	throughProxies(t, runGenericAPIWithAnotherServer, append(overHTTP, "envoy-module-alone")...)
}

func runGenericAPIWithAnotherServer(t *testing.T, proxy string) {
	server := startAuthorizationServer(t, "keyward:from your authorization server")
	c, printed := startGenericAPI(t, exampleFile{proxy: proxy, edit: func(text string) string {
		const serve = "#   keyward serve"
		text = strings.Replace(text, serve, "#   (umask 077; printf %s 'from your authorization server' > introspection-secret)\n"+serve, 1)
		return strings.ReplaceAll(withLastLines(t, text), "https://auth.example.com", server.URL)
	}})
	reader := jwt.MapClaims{"sub": "12345", "scope": "read"}
	ends := time.Now().Add(50 * time.Minute).UTC()
	c.variables = map[string]string{
		"JWT":                 c.pastProxy(genericURL).logIn(genericUser, genericPassword).Token,
		"ACCESS_RS256":        server.accessToken(jwt.SigningMethodRS256, reader),
		"ACCESS_ES256":        server.accessToken(jwt.SigningMethodES256, reader),
		"ACCESS_NEW":          server.accessToken(jwt.SigningMethodRS256, reader),
		"OPAQUE":              server.opaque(jwt.MapClaims{"sub": "12345", "scope": "read write", "exp": ends.Unix()}),
		"OPAQUE_ENDS":         ends.Format(time.RFC3339),
		"OPAQUE_EXPIRED":      server.opaque(jwt.MapClaims{"sub": "12345", "exp": time.Now().Add(-time.Minute).Unix()}),
		"OPAQUE_KNOWN":        server.opaque(reader),
		"OPAQUE_NEW":          server.opaque(reader),
		"ACCESS_OF_TWO_HOURS": server.accessToken(jwt.SigningMethodRS256, jwt.MapClaims{"sub": "12345", "exp": time.Now().Add(2 * time.Hour).Unix()}),
	}
	c.placeholders(printed[1])
	c.run(t, "generic-api-other")
	c.keepsSecrets(t)
	server.Close()
	c.run(t, "generic-api-away")
}

// withLastLines removes the # of the lines at the end of the example.
func withLastLines(t *testing.T, text string) string {
	t.Helper()
	at := strings.Index(text, "\n##")
	if at < 0 {
		t.Fatal("the example does not end in lines to be enabled")
	}
	return text[:at] + strings.ReplaceAll(text[at:], "\n#", "\n")
}
