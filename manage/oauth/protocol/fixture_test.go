package protocol_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/cache"
	"keyward/keyindex"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/account"
	"keyward/manage/console/page"
	"keyward/manage/gate"
	"keyward/manage/oauth"
	"keyward/manage/oauth/pages"
	"keyward/manage/oauth/protocol"
	"keyward/manage/registry"
	"keyward/manage/session"
	"keyward/manage/signingkeys"
	"keyward/manage/state"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/filestore"
	"keyward/store/journal"
	storeoauth "keyward/store/oauth"
	"keyward/verifier"
	"keyward/verifier/admission"
	"keyward/verifier/fingerprint"
	"keyward/verifier/jwks"
)

const (
	testIssuer   = "https://id.example.com"
	testPassword = "correct horse"
	testHash     = "$2a$04$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"

	webRedirect = "https://shop.example.com/cb"
	appRedirect = "http://127.0.0.1/cb"
	codeKey     = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk-a" // RFC 7636 calls it the code_verifier
)

// issuer is the endpoints over files, with a clock, and the checks' verifier of tokens.
type issuer struct {
	*testing.T
	*protocol.Protocol
	service *oauth.Service
	db      *state.DB
	checks  *verifier.JWT
	passed  atomic.Int64
	waits   []func(context.Context) error
	admin   access.Actor
	denial  *protocol.Denial // of every secret of a client; nil: it is verified

	// Clients of each kind, and a user alice who has the scopes read and write.
	web, other, machine, app client
}

// client is an OAuth client as its operator has it.
type client struct {
	store.Client
	secret string
}

func (f *issuer) now() time.Time { return time.Now().Add(time.Duration(f.passed.Load())) }

func (f *issuer) pass(d time.Duration) { f.passed.Add(int64(d)) }

// keySource are the issuer's keys, for the checks.
type keySource struct{ *signingkeys.Keys }

// Find implements verifier.KeySource.
func (k keySource) Find(_ context.Context, q jwks.Query, _ time.Time) ([]*jwks.Key, error) {
	set, err := jwks.Parse(k.Public())
	if err != nil {
		return nil, err
	}
	return set.Find(q)
}

// Contains implements verifier.KeySource.
func (k keySource) Contains(*jwks.Key) bool { return true }

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	f := &issuer{T: t, admin: access.CLI("root", "host")}
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	hasher := apikey.NewHasher(authz.NewSecret("a pepper of sixteen"))
	log := filestore.NewAuditFile(filestore.AuditFileConfig{Path: path("audit.jsonl")})
	users := filestore.NewUserFile(filestore.UserFileConfig{Path: path("users.jsonl")})
	keys := filestore.NewKeyFile(filestore.KeyFileConfig{Path: path("keys.jsonl"), Hasher: hasher})
	clients := filestore.NewClientFile(filestore.ClientFileConfig{Path: path("clients.jsonl"), Hasher: hasher})
	revocations := filestore.NewRevocationFile(filestore.RevocationFileConfig{Path: path("revocations.jsonl")})
	records := manage.New(manage.Config{
		Stores: manage.Stores{
			Keys: keys, KeyEditor: keys.Editor(log), Users: users, UserEditor: users.Editor(log), Audit: log, ClientReader: clients, ClientEditor: clients.Editor(log),
			Revocations: revocations, RevocationEditor: revocations.Editor(log),
		},
		Hasher: hasher, HashPassword: func(context.Context, authz.Secret) (string, error) { return testHash, nil },
		Await: func(ctx context.Context, _ string, _ int64, _ int) error { return f.inForce(ctx) },
	})
	var err error
	if f.db, err = state.Open(t.Context(), state.Config{Path: path("keyward.db"), Now: f.now, SessionIdle: time.Hour, SessionMax: 8 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.db.Close() })
	check := func(_ context.Context, _ string, password authz.Secret, _ authz.RawAddress) (authz.Secret, error) {
		if password.Reveal() != testPassword {
			return authz.Secret{}, &authz.CredentialError{Reason: authz.WrongPassword}
		}
		return authz.NewSecret(testHash), nil
	}
	directory, err := signingkeys.OpenDirectory(path("keys"))
	f.fatal(err)
	signing, err := signingkeys.Open(t.Context(), signingkeys.Config{Storage: directory, Algorithm: signingkeys.ES256, RotateEvery: 30 * 24 * time.Hour, TokenTTL: time.Hour})
	f.fatal(err)
	f.service = oauth.New(oauth.Config{
		Records: records, Accounts: account.New(account.Config{Records: records, State: f.db, Logins: f.db.IssuerSessions, CheckPassword: check}),
		Grants: f.db.Grants, Consents: f.db.Consents, Signer: signing, Issuer: testIssuer, Audience: "api", AccessTTL: time.Hour, RefreshTTL: 30 * 24 * time.Hour, Now: f.now,
	})
	f.records()
	inUsers, inClients, ended := keyindex.NewUsers(), keyindex.NewClients(), keyindex.NewRevocations()
	f.follow(filestore.UserFeed{FollowConfig: journal.FollowConfig{Path: path("users.jsonl")}}.Follow(inUsers))
	f.follow(filestore.ClientFeed{Hasher: hasher, FollowConfig: journal.FollowConfig{Path: path("clients.jsonl")}}.Follow(inClients))
	f.follow(filestore.RevocationFeed{FollowConfig: journal.FollowConfig{Path: path("revocations.jsonl"), MissingOK: true, Settle: time.Millisecond}}.Follow(ended))
	tokens, err := cache.New[verifier.CachedToken](100, time.Minute)
	f.fatal(err)
	f.checks, err = verifier.NewJWT(verifier.JWTConfig{
		Users: inUsers, Clients: inClients, Revocations: ended, Tokens: tokens, Fingerprints: fingerprint.NewHasher(), Gate: admission.New(admission.Config{}),
		Issuers: []verifier.JWTIssuer{{
			Name: "issuer", AuthMethod: authz.AuthMethodOAuth, Issuer: testIssuer, Audiences: []string{"api"}, Algorithms: []string{"ES256"}, Keys: keySource{signing},
			MaxLifetime: 2 * time.Hour, Users: true, Own: true,
		}},
	})
	f.fatal(err)
	f.Protocol, err = protocol.New(f.config(signing, inClients))
	f.fatal(err)
	return f
}

func (f *issuer) config(keys *signingkeys.Keys, clients *keyindex.Clients) protocol.Config {
	call := func(*http.Request) access.Call {
		return access.Call{Via: audit.ViaIssuer, Address: netip.MustParseAddr("192.0.2.1"), RequestID: "r1"}
	}
	site := page.NewSite(page.Config{
		Service: func() *manage.Service { return f.service.Records }, Settings: func() page.Settings { return page.Settings{} }, CallOf: call, StaticDir: "/oauth/static/",
	})
	return protocol.Config{
		Service: f.service, Keys: keys, Pages: pages.New(site), Gate: gate.New(), Origin: session.Origin{Public: testIssuer}, CallOf: call,
		Check: func(hr *http.Request, _ string, secret authz.Secret, v authz.Verifier) *protocol.Denial {
			if f.denial != nil {
				return f.denial
			}
			_, err := v.Verify(hr.Context(), &authz.Credential{Scheme: authz.SchemeBearer, Secret: secret}, f.now())
			if denied, is := errors.AsType[*authz.CredentialError](err); is {
				return &protocol.Denial{Reason: denied.Reason}
			} else if err != nil {
				return &protocol.Denial{Reason: authz.Unavailable}
			}
			return nil
		},
		Login: func(hr *http.Request, call access.Call, user string, password, presented authz.Secret) (authz.Secret, error) {
			return f.service.Accounts.Login(hr.Context(), call, user, password, presented)
		},
		CheckToken: func(ctx context.Context, token authz.Secret) (*authz.Principal, error) {
			return f.checks.Verify(ctx, &authz.Credential{Scheme: authz.SchemeBearer, Secret: token}, f.now())
		},
		AllowsOrigin: clients.AllowsOrigin, Resources: []string{"api"}, Log: slog.New(slog.DiscardHandler),
	}
}

// follow keeps the follower of a file.
func (f *issuer) follow(follower store.Follower, err error) {
	f.Helper()
	f.fatal(err)
	f.waits = append(f.waits, follower.Await)
	f.Cleanup(func() { _ = follower.Close() })
}

// inForce waits until the checks know all changes.
func (f *issuer) inForce(ctx context.Context) error {
	var errs []error
	for _, wait := range f.waits {
		errs = append(errs, wait(ctx))
	}
	return errors.Join(errs...)
}

func (f *issuer) fatal(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// records makes alice and the clients.
func (f *issuer) records() {
	password := authz.NewSecret(testPassword)
	for _, name := range []string{"alice", "bob"} {
		_, err := f.service.Records.CreateUser(f.Context(), f.admin, manage.UserInput{Name: name, Scopes: []string{"read", "write", "keyward:self"}, Password: &password})
		f.fatal(err)
	}
	code, refresh, own := storeoauth.AuthorizationCode, storeoauth.RefreshToken, storeoauth.ClientCredentials
	f.web = f.create(registry.ClientInput{Name: "Shop", RedirectURIs: []string{webRedirect}, Scopes: []string{"read", "write", "admin"}, Grants: []storeoauth.Grant{code, refresh, own}})
	f.other = f.create(registry.ClientInput{Name: "Other", RedirectURIs: []string{webRedirect}, Scopes: []string{"read"}, Grants: []storeoauth.Grant{code, refresh}})
	f.machine = f.create(registry.ClientInput{Name: "Machine", Scopes: []string{"read", "write"}, Grants: []storeoauth.Grant{own}})
	f.app = f.create(registry.ClientInput{Name: "App", Public: true, RedirectURIs: []string{appRedirect, "http://[::1]:8080/cb"}, Scopes: []string{"read"}, Grants: []storeoauth.Grant{code, refresh}})
}

func (f *issuer) create(in registry.ClientInput) client {
	f.Helper()
	r, secret, err := f.service.Records.CreateClient(f.Context(), f.admin, in)
	f.fatal(err)
	return client{r, secret.Reveal()}
}

// answer is what an endpoint says.
type answer struct {
	*http.Response
	text    string
	members map[string]any
}

func (a answer) member(name string) string {
	text, _ := a.members[name].(string)
	return text
}

// code is the error of the answer; "" for none.
func (a answer) code() string { return a.member("error") }

// serve answers a request.
func (f *issuer) serve(hr *http.Request) answer {
	f.Helper()
	hr.Host = "id.example.com"
	w := httptest.NewRecorder()
	f.ServeHTTP(w, hr)
	a := answer{Response: w.Result(), text: w.Body.String()}
	_ = json.Unmarshal(w.Body.Bytes(), &a.members)
	return a
}

// post sends a form as a program does.
func (f *issuer) post(path string, form url.Values, header ...string) answer {
	f.Helper()
	hr := httptest.NewRequestWithContext(f.Context(), http.MethodPost, path, strings.NewReader(form.Encode()))
	hr.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		hr.Header.Set(header[i], header[i+1])
	}
	return f.serve(hr)
}

// with is a form with more fields; one that is "" is left out.
func with(form url.Values, more ...string) url.Values {
	all := url.Values{}
	for name, values := range form {
		all[name] = append([]string(nil), values...)
	}
	for i := 0; i < len(more); i += 2 {
		if all.Set(more[i], more[i+1]); more[i+1] == "" {
			all.Del(more[i])
		}
	}
	return all
}

// secret is how a client authenticates in a form.
func (c client) form(more ...string) url.Values {
	return with(url.Values{"client_id": {c.ID}, "client_secret": {c.secret}}, append([]string{"client_secret", c.secret}, more...)...)
}

// token asks the token endpoint.
func (f *issuer) token(c client, more ...string) answer {
	f.Helper()
	return f.post(protocol.TokenPath, c.form(more...))
}

// exchange exchanges a code.
func (f *issuer) exchange(c client, code string, more ...string) answer {
	f.Helper()
	return f.token(c, append([]string{"grant_type", "authorization_code", "code", code, "redirect_uri", c.RedirectURIs[0], "code_verifier", codeKey}, more...)...)
}

func (f *issuer) refresh(c client, token string, more ...string) answer {
	f.Helper()
	return f.token(c, append([]string{"grant_type", "refresh_token", "refresh_token", token}, more...)...)
}

// wantError fails the test unless the answer is that error, and nothing else.
func (f *issuer) wantError(what string, a answer, status int, code string) {
	f.Helper()
	if a.StatusCode != status || a.code() != code || a.members["access_token"] != nil || a.Header.Get("Cache-Control") != "no-store" {
		f.Errorf("%s: %d %s, want %d %s", what, a.StatusCode, a.text, status, code)
	}
}

// tokensOf fails the test unless the answer has tokens.
func (f *issuer) tokensOf(what string, a answer) (access, refresh string) {
	f.Helper()
	if a.StatusCode != http.StatusOK || a.member("access_token") == "" || a.Header.Get("Cache-Control") != "no-store" {
		f.Fatalf("%s: %d %s", what, a.StatusCode, a.text)
	}
	return a.member("access_token"), a.member("refresh_token")
}

// accepted reports whether the checks accept an access token.
func (f *issuer) accepted(token string) bool {
	f.Helper()
	f.fatal(f.inForce(f.Context()))
	_, err := f.checks.Verify(f.Context(), &authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(token)}, f.now())
	return err == nil
}

// browser is that of a user.
type browser struct {
	*issuer
	user    string
	cookies map[string]string
}

func (f *issuer) browser(user string) *browser { return &browser{f, user, map[string]string{}} }

func challenge() string {
	sum := sha256.Sum256([]byte(codeKey))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// get asks for a page; send sends a form of one.
func (b *browser) get(path string) answer { b.Helper(); return b.do(http.MethodGet, path, nil) }

func (b *browser) send(path string, form url.Values, header ...string) answer {
	b.Helper()
	return b.do(http.MethodPost, path, form, header...)
}

func (b *browser) do(method, path string, form url.Values, header ...string) answer {
	b.Helper()
	var body io.Reader = http.NoBody
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	hr := httptest.NewRequestWithContext(b.Context(), method, path, body)
	if form != nil {
		hr.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		hr.Header.Set("Origin", testIssuer)
		hr.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(header); i += 2 {
		hr.Header.Set(header[i], header[i+1])
	}
	for name, value := range b.cookies {
		hr.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	a := b.serve(hr)
	for _, c := range a.Cookies() {
		b.cookies[c.Name] = c.Value
	}
	return a
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([a-z]+)" value="([^"]*)">`)

// formOf is what a page's form sends, with other fields.
func formOf(page answer, more ...string) url.Values {
	form := url.Values{}
	for _, field := range hiddenField.FindAllStringSubmatch(page.text, -1) {
		form.Set(field[1], html.UnescapeString(field[2]))
	}
	return with(form, more...)
}

// request is an authorization request of a client, with other parameters; one that is "" is
// left out.
func request(c client, more ...string) string {
	return protocol.AuthorizePath + "?" + with(url.Values{
		"response_type": {"code"}, "client_id": {c.ID}, "redirect_uri": {c.RedirectURIs[0]}, "scope": {"read"}, "state": {"a state"},
		"code_challenge": {challenge()}, "code_challenge_method": {"S256"},
	}, more...).Encode()
}

// allow goes through the pages, and returns the parameters that the client receives.
func (b *browser) allow(c client, more ...string) url.Values {
	b.Helper()
	return b.through(b.get(request(c, more...)), "allow")
}

// through goes through the pages from one on.
func (b *browser) through(a answer, consent string) url.Values {
	b.Helper()
	for range 4 {
		location := a.Header.Get("Location")
		switch {
		case strings.HasPrefix(location, protocol.AuthorizePath+"?"):
			a = b.get(location)
		case location != "":
			u, err := url.Parse(location)
			b.fatal(err)
			return u.Query()
		case strings.Contains(a.text, `action="/oauth/login"`):
			a = b.send(protocol.LoginPath, formOf(a, "username", b.user, "password", testPassword))
		case strings.Contains(a.text, `action="/oauth/consent"`):
			a = b.send(protocol.ConsentPath, formOf(a, "consent", consent))
		default:
			b.Fatalf("%d %s", a.StatusCode, a.text)
		}
	}
	b.Fatalf("no end: %d %s", a.StatusCode, a.text)
	return nil
}

// code is a new authorization code of alice for the client.
func (f *issuer) code(c client, more ...string) string {
	f.Helper()
	got := f.browser("alice").allow(c, more...)
	if got.Get("code") == "" {
		f.Fatalf("no code: %v", got)
	}
	return got.Get("code")
}

// machineInput is a confidential client that gets tokens for itself.
func machineInput(name string, scopes []string) registry.ClientInput {
	return registry.ClientInput{Name: name, Scopes: scopes, Grants: []storeoauth.Grant{storeoauth.ClientCredentials}}
}

// publicInput is a public client with one redirect URI.
func publicInput(redirectURI string) registry.ClientInput {
	return registry.ClientInput{Name: "SPA", Public: true, RedirectURIs: []string{redirectURI}, Scopes: []string{"read"}, Grants: []storeoauth.Grant{storeoauth.AuthorizationCode, storeoauth.RefreshToken}}
}
