package oidclogin

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyward/authz"
	"keyward/internal/openidprovider"
)

// TestProviderIsDown: a provider that cannot be reached fails the login, which is
// possible as soon as the provider is there.
func TestProviderIsDown(t *testing.T) {
	f := newFixture(t)
	down := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	f.idp.Replaced["/.well-known/openid-configuration"] = down
	begin := func() error { _, _, err := f.Begin(f.Context(), Options{}); return err }
	f.want("down", begin(), ErrUnavailable, "status 502")
	for range 10 {
		f.want("still down", begin(), ErrUnavailable, "status 502")
	}
	if n := f.idp.Requests["/.well-known/openid-configuration"].Load(); n != 1 {
		t.Errorf("the provider was asked %d times in a moment", n)
	}
	delete(f.idp.Replaced, "/.well-known/openid-configuration")
	f.pass(retryAfter)
	f.want("back", begin(), nil, "")

	// What is known stays while the provider is down again, and is read again later.
	f.idp.Replaced["/.well-known/openid-configuration"] = down
	f.pass(rediscoverAfter)
	f.want("known", begin(), nil, "")
	delete(f.idp.Replaced, "/.well-known/openid-configuration")
	f.idp.Metadata = with("authorization_endpoint", f.idp.URL+"/moved")
	f.pass(retryAfter)
	if to, _, err := f.Begin(f.Context(), Options{}); err != nil || !strings.HasPrefix(to, f.idp.URL+"/moved?") {
		t.Errorf("moved: %s, %v", to, err)
	}
	for _, path := range []string{"/token", "/jwks"} {
		f := newFixture(t)
		f.idp.Replaced[path] = down
		_, err := f.login(Options{})
		f.want(path, err, ErrUnavailable, "status 502")
	}
}

// TestNoConnection: a host that refuses connections is an error, and so is a caller that
// gives up.
func TestNoConnection(t *testing.T) {
	f := newFixture(t)
	query, cookie := f.begin(Options{})
	f.idp.CloseClientConnections()
	f.idp.Server.Close()
	_, err := f.Finish(f.Context(), query, cookie)
	f.want("the token", err, ErrUnavailable, "the token endpoint")
	_, _, err = f.another().Begin(f.Context(), Options{})
	f.want("discovery", err, ErrUnavailable, "connection refused")

	f = newFixture(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	f.idp.Replaced["/.well-known/openid-configuration"] = func(http.ResponseWriter, *http.Request) { close(entered); <-leave }
	var waiting sync.WaitGroup
	waiting.Go(func() { _, _, _ = f.Begin(context.WithoutCancel(f.Context()), Options{}) })
	<-entered
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	_, _, err = f.Begin(ctx, Options{})
	f.want("a caller that gives up", err, ErrUnavailable, "no answer in time")
	close(leave)
	waiting.Wait()
}

// TestMetadata is the policy: what a provider may say of itself.
func TestMetadata(t *testing.T) {
	const notAsked = "not a URL that may be asked"
	for name, c := range map[string]struct {
		change func(f *fixture) func(map[string]any)
		text   string
	}{
		"another issuer":       {func(*fixture) func(map[string]any) { return with("issuer", "https://evil.example") }, "another issuer"},
		"a slash more":         {func(f *fixture) func(map[string]any) { return with("issuer", f.idp.URL+"/") }, "another issuer"},
		"no issuer":            {func(*fixture) func(map[string]any) { return with("issuer", nil) }, "another issuer"},
		"no token endpoint":    {func(*fixture) func(map[string]any) { return with("token_endpoint", nil) }, notAsked},
		"no key set":           {func(*fixture) func(map[string]any) { return with("jwks_uri", nil) }, notAsked},
		"a number":             {func(*fixture) func(map[string]any) { return with("authorization_endpoint", 1) }, notAsked},
		"plain http":           {func(*fixture) func(map[string]any) { return with("token_endpoint", "http://idp.example/token") }, notAsked},
		"plain http, browser":  {func(*fixture) func(map[string]any) { return with("authorization_endpoint", "http://idp.example/") }, notAsked},
		"plain http, UserInfo": {func(*fixture) func(map[string]any) { return with("userinfo_endpoint", "http://idp.example/") }, notAsked},
		"javascript":           {func(*fixture) func(map[string]any) { return with("authorization_endpoint", "javascript:alert(1)") }, notAsked},
		"the metadata service": {func(*fixture) func(map[string]any) { return with("jwks_uri", "https://169.254.169.254/") }, notAsked},
		"with a user":          {func(*fixture) func(map[string]any) { return with("token_endpoint", "https://a:b@idp.example/") }, notAsked},
		"another client auth": {func(*fixture) func(map[string]any) {
			return with("token_endpoint_auth_methods_supported", []string{"private_key_jwt"})
		}, "client_secret_basic"},
		"not a list": {func(*fixture) func(map[string]any) {
			return with("token_endpoint_auth_methods_supported", "client_secret_basic")
		}, "client_secret_basic"},
	} {
		f := newFixture(t)
		f.idp.Metadata = c.change(f)
		_, _, err := f.Begin(f.Context(), Options{})
		f.want(name, err, ErrUnavailable, c.text)
	}
	// A provider on https does not lead to this machine, nor to a URL without TLS.
	of := func(issuer string) *Provider {
		p, err := New(Config{Issuer: issuer, ClientID: openidprovider.ClientID, ClientSecret: authz.NewSecret(openidprovider.ClientSecret), RedirectURL: openidprovider.Callback, MarkUsed: newFixture(t).markUsed})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := of("https://idp.example")
	for _, target := range []string{"http://127.0.0.1/token", "https://127.0.0.1/token", "https://localhost/token", "http://idp.example/token"} {
		if p.mayAsk(target) {
			t.Errorf("https://idp.example leads to %s", target)
		}
	}
	if of("https://localhost:8443").mayAsk("http://127.0.0.1/token") {
		t.Error("a provider with TLS on this machine leads to one without")
	}
	if !p.mayAsk("https://login.example/token") {
		t.Error("the endpoints may be at another host")
	}
	r := httptest.NewRequest("POST", "http://127.0.0.1/token", http.NoBody)
	if _, err := p.client.Transport.RoundTrip(r); err == nil || err.Error() != errPlain.Error() {
		t.Errorf("a request without TLS: %v", err)
	}
}

// TestHugeAnswers: nothing that a provider sends is read without end.
func TestHugeAnswers(t *testing.T) {
	for _, path := range []string{"/.well-known/openid-configuration", "/jwks", "/token", "/userinfo"} {
		f := newFixture(t, func(cfg *Config) { cfg.UserClaim = "nickname" })
		f.idp.Metadata = with("userinfo_endpoint", f.idp.URL+"/userinfo")
		var sent atomic.Int64
		f.idp.Replaced[path] = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for block := []byte(strings.Repeat(" ", 64<<10)); sent.Load() < 1<<30; sent.Add(int64(len(block))) {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}
		var err error
		if path == "/.well-known/openid-configuration" {
			_, _, err = f.Begin(f.Context(), Options{})
		} else {
			_, err = f.login(Options{})
		}
		f.want(path, err, ErrUnavailable, "too large")
		f.idp.Server.Close() // waits for the handler
		if sent.Load() >= 1<<30 {
			t.Errorf("%s: all was read", path)
		}
	}
}

// TestRedirects: nothing is asked of a place to which the provider redirects, least of
// all with the client's secret.
func TestRedirects(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for path, sentinel := range map[string]error{"/.well-known/openid-configuration": ErrUnavailable, "/jwks": ErrUnavailable, "/userinfo": ErrUnavailable, "/token": ErrRefused} {
		f := newFixture(t, func(cfg *Config) { cfg.UserClaim = "nickname" })
		f.idp.Metadata = with("userinfo_endpoint", f.idp.URL+"/userinfo")
		f.idp.Replaced[path] = func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}
		_, _, err := f.Begin(f.Context(), Options{})
		if err == nil {
			_, err = f.login(Options{})
		}
		f.want(path, err, sentinel, "status 307")
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests to the other server", n)
	}
}

// TestTokenEndpoint: what its errors mean, of which none is shown but the code.
func TestTokenEndpoint(t *testing.T) {
	for name, c := range map[string]struct {
		status   int
		body     string
		sentinel error
		text     string
	}{
		"invalid_grant":  {400, `{"error":"invalid_grant"}`, ErrExpired, "does not accept the code"},
		"invalid_client": {401, `{"error":"invalid_client","error_description":"` + openidprovider.ClientSecret + `"}`, ErrRefused, "invalid_client"},
		"unknown":        {400, `{"error":"` + openidprovider.ClientSecret + `"}`, ErrRefused, "status 400"},
		"not JSON":       {400, openidprovider.ClientSecret, ErrRefused, "status 400"},
		"overloaded":     {503, openidprovider.ClientSecret, ErrUnavailable, "status 503"},
		"HTML":           {200, `<html>` + openidprovider.ClientSecret, ErrRefused, "cannot be read"},
		"no token":       {200, `{}`, ErrRefused, "cannot be read"},
		"no ID token":    {200, `{"access_token":"access","token_type":"Bearer"}`, ErrRefused, "no ID token"},
		"not a token":    {200, `{"access_token":"access","token_type":"Bearer","id_token":"a.b.c"}`, ErrRefused, "signature is not valid"},
		"a number":       {200, `{"access_token":"access","token_type":"Bearer","id_token":1}`, ErrRefused, "no ID token"},
	} {
		f := newFixture(t)
		f.idp.Replaced["/token"] = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte(c.body))
		}
		_, err := f.login(Options{})
		f.want(name, err, c.sentinel, c.text)
		if n := f.idp.Requests["/token"].Load(); n != 1 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
	f := newFixture(t, func(cfg *Config) { cfg.ClientSecret = authz.NewSecret("another") })
	_, err := f.login(Options{})
	f.want("another secret", err, ErrRefused, "invalid_client")
}

// TestKeyRotation: a key that the provider has begun to sign with is found, one that it
// has taken out does not count any more, and the keys are kept between logins.
func TestKeyRotation(t *testing.T) {
	f := newFixture(t)
	login := func() error { _, err := f.login(Options{}); return err }
	f.want("the first key", login(), nil, "")
	f.want("again", login(), nil, "")
	if n := f.idp.Requests["/jwks"].Load(); n != 1 {
		t.Errorf("the key set was read %d times", n)
	}
	f.idp.JWKS = []any{openidprovider.ECJWK("new", openidprovider.OtherKey)}
	f.idp.SignedBy(jwt.SigningMethodES256, openidprovider.OtherKey, "new")
	f.want("the next key", login(), nil, "")
	f.idp.SignedBy(jwt.SigningMethodES256, openidprovider.ECKey, "ec")
	f.want("the first key again", login(), ErrRefused, "signature is not valid")
}

// TestConfig is the policy: with which settings there is a Provider.
func TestConfig(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		text   string
	}{
		"http":              {func(c *Config) { c.Issuer = "http://idp.example" }, "issuer: its scheme"},
		"no issuer":         {func(c *Config) { c.Issuer = "" }, "issuer: it must be an absolute URL"},
		"a query":           {func(c *Config) { c.Issuer = "https://idp.example?a=b" }, "must not have a query"},
		"a fragment":        {func(c *Config) { c.Issuer = "https://idp.example#a" }, "without a user and a fragment"},
		"a redirect http":   {func(c *Config) { c.RedirectURL = "http://console.example.com/callback" }, "redirect URL: its scheme"},
		"no client":         {func(c *Config) { c.ClientID = "" }, "client id is missing"},
		"no secret":         {func(c *Config) { c.ClientSecret = authz.Secret{} }, "client secret is missing"},
		"no marks":          {func(c *Config) { c.MarkUsed = nil }, "place for marks is missing"},
		"roles, no claim":   {func(c *Config) { c.Roles = map[string][]string{"a": {"keyward:read"}} }, "roles claim"},
		"a claim, no roles": {func(c *Config) { c.RolesClaim = "groups" }, "roles for the roles claim"},
		"another scope":     {func(c *Config) { c.RolesClaim, c.Roles = "groups", map[string][]string{"a": {"posts:write"}} }, "must give scopes"},
		"an unknown one":    {func(c *Config) { c.RolesClaim, c.Roles = "groups", map[string][]string{"a": {"keyward:all"}} }, "must give scopes"},
		"no scope":          {func(c *Config) { c.RolesClaim, c.Roles = "groups", map[string][]string{"a": nil} }, "must give scopes"},
	} {
		cfg := Config{Issuer: "https://idp.example", ClientID: openidprovider.ClientID, ClientSecret: authz.NewSecret(openidprovider.ClientSecret), RedirectURL: openidprovider.Callback, MarkUsed: (&fixture{}).markUsed}
		if _, err := New(cfg); err != nil {
			t.Fatal(err)
		}
		c.change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %q in it", name, err, c.text)
		}
	}
}

// timeout is a net.Error.
type timeout struct{ error }

func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return false }

// TestTimeouts: every request has a deadline, and an answer that does not come in time is
// an error that says so.
func TestTimeouts(t *testing.T) {
	f := newFixture(t, func(cfg *Config) { cfg.UserClaim = "nickname" })
	f.idp.Metadata = with("userinfo_endpoint", f.idp.URL+"/userinfo")
	f.idp.UserInfo = map[string]any{"sub": "sub-alice"}
	slow := ""
	f.config.Client = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if deadline, ok := r.Context().Deadline(); !ok || time.Until(deadline) > requestTimeout {
			t.Errorf("%s: deadline %v, %t", r.URL.Path, deadline, ok)
		}
		if r.URL.Path == slow {
			return nil, timeout{errors.New("slow")}
		}
		return http.DefaultTransport.RoundTrip(r)
	})}
	for _, slow = range []string{"/.well-known/openid-configuration", "/token", "/jwks", "/userinfo", ""} {
		f.Provider = f.another()
		to, cookie, err := f.Begin(f.Context(), Options{})
		if err == nil {
			_, err = f.Finish(f.Context(), f.idp.Authorize(to), cookie)
		}
		if slow != "" {
			f.want(slow, err, ErrUnavailable, "no answer in time")
		} else {
			f.want("none", err, nil, "")
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (r roundTrip) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }
