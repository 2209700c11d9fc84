package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyward/e2e/stack"
)

// pageClient is a client of a page's API that keeps cookies, as a browser does, and shows
// redirects to the test.
type pageClient struct {
	*terminal
	http.Client
	api string // scheme and host, as on the page
}

// throughProxy returns a client of the API behind the proxy.
func (c *terminal) throughProxy(api string) *pageClient {
	return c.pageClient(api, func(ctx context.Context) (net.Conn, error) {
		if c.authority == nil {
			return (&net.Dialer{}).DialContext(ctx, "tcp", c.proxyAddress())
		}
		return (&tls.Dialer{Config: c.security()}).DialContext(ctx, "tcp", c.proxyAddress())
	})
}

// pastProxy returns a client of the issuer itself, for proxies without its endpoints.
func (c *terminal) pastProxy(api string) *pageClient {
	return c.pageClient(api, func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", stack.Address(c.Ports().Issuer))
	})
}

func (c *terminal) pageClient(api string, dial func(context.Context) (net.Conn, error)) *pageClient {
	c.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	connect := func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	transport := &http.Transport{DialContext: connect, DialTLSContext: connect}
	c.t.Cleanup(transport.CloseIdleConnections)
	shown := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &pageClient{c, http.Client{Jar: jar, Transport: transport, Timeout: 30 * time.Second, CheckRedirect: shown}, api}
}

// proxyAddress is where the proxy serves the page's API.
func (c *terminal) proxyAddress() string {
	if c.tlsPort != 0 {
		return stack.Address(c.tlsPort)
	}
	return stack.Address(c.Ports().Envoy)
}

// security is what a client of the page's API trusts.
func (c *terminal) security() *tls.Config {
	c.t.Helper()
	text, err := os.ReadFile(c.authority.file)
	if err != nil {
		c.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	name, _, _ := strings.Cut(c.hosts[0], ":")
	return &tls.Config{RootCAs: roots, ServerName: name}
}

// send sends a request, again if a password was not hashed in time (see retryHashing).
func (p *pageClient) send(method, target, mediaType, body string) answer {
	p.t.Helper()
	var a answer
	for range maxHashTries {
		r, err := http.NewRequestWithContext(p.t.Context(), method, target, strings.NewReader(body))
		if err != nil {
			p.t.Fatal(err)
		}
		scheme, _, _ := strings.Cut(p.api, "://")
		r.Header.Set("X-Forwarded-Proto", scheme) // for pastProxy; a proxy sets it itself
		if body != "" {
			r.Header.Set("Content-Type", mediaType)
			r.Header.Set("Origin", p.api)
		}
		response, err := p.Do(r)
		if err != nil {
			p.t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil {
			p.t.Fatal(err)
		}
		response.Body.Close()
		if a = (answer{response.StatusCode, response.Header, string(text)}); a.status != http.StatusServiceUnavailable {
			break
		}
		time.Sleep(time.Second)
	}
	return a
}

// post sends JSON and reads the JSON of the answer.
func (p *pageClient) post(path string, members map[string]string, into any) {
	p.t.Helper()
	body, err := json.Marshal(members)
	if err != nil {
		p.t.Fatal(err)
	}
	a := p.send("POST", p.api+path, "application/json", string(body))
	if err := json.Unmarshal([]byte(a.body), into); err != nil || a.status != http.StatusOK {
		p.t.Fatalf("%s: %d %s (%v)", path, a.status, a.body, err)
	}
}

// logIn returns the tokens of the login endpoint.
func (p *pageClient) logIn(username, password string) (got issued) {
	p.t.Helper()
	p.post("/v1/auth/login", map[string]string{"username": username, "password": password}, &got)
	return got
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([a-z]+)" value="([^"]*)">`)

// submit sends the form of a page with these fields filled in.
func (p *pageClient) submit(path, page string, fields map[string]string) answer {
	p.t.Helper()
	form := url.Values{}
	for _, found := range hiddenField.FindAllStringSubmatch(page, -1) {
		form.Set(found[1], html.UnescapeString(found[2]))
	}
	for name, value := range fields {
		form.Set(name, value)
	}
	return p.send("POST", p.api+path, "application/x-www-form-urlencoded", form.Encode())
}

// allow goes from an application's link through the pages of login and consent, as a user does,
// and returns the code that the application gets.
func (p *pageClient) allow(link, callback, username, password string) (code string) {
	p.t.Helper()
	page := p.send("GET", link, "", "")
	for range 4 {
		location := page.header.Get("Location")
		switch {
		case location != "" && strings.HasPrefix(location, callback+"?"):
			arrived, err := url.Parse(location)
			if err != nil || arrived.Query().Get("code") == "" {
				p.t.Fatalf("no code: %s (%v)", location, err)
			}
			return arrived.Query().Get("code")
		case strings.HasPrefix(location, "/oauth/authorize?"):
			page = p.send("GET", p.api+location, "", "")
		case strings.Contains(page.body, `action="/oauth/login"`):
			page = p.submit("/oauth/login", page.body, map[string]string{"username": username, "password": password})
		case strings.Contains(page.body, `action="/oauth/consent"`):
			page = p.submit("/oauth/consent", page.body, map[string]string{"consent": "allow"})
		default:
			p.t.Fatalf("neither a page of the issuer nor a redirect: %d %s %s", page.status, location, page.body)
		}
	}
	p.t.Fatalf("the pages do not end: %d %s", page.status, page.header.Get("Location"))
	return ""
}

// idOfToken returns the jti of a token.
func (s *system) idOfToken(token string) string {
	s.t.Helper()
	var c jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &c); err != nil || c.ID == "" {
		s.t.Fatalf("a token without a jti: %v", err)
	}
	return c.ID
}

// oauthClient is a client as `keyward client create --json` prints it.
type oauthClient struct{ ID, Secret string }

func (s *system) oauthClient(printed string) (made oauthClient) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(printed), &made); err != nil || made.ID == "" || made.Secret == "" {
		s.t.Fatalf("client create prints no client: %v", err)
	}
	return made
}
