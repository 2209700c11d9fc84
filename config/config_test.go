package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/authz/overrides"
	"keyward/authz/urlpath"
	"keyward/authz/urlquery"
	"keyward/ratelimit"
	"keyward/ratelimit/failover"
)

// noEnv is an environment without variables.
func noEnv(string) (string, bool) { return "", false }

func env(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { text, ok := vars[name]; return text, ok }
}

// TestBadFiles parses the files of testdata/bad. Each is named for its defect
// and begins with the expected problems, one per line that begins with "#! ".
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for line := range strings.Lines(string(data)) {
				if problem, ok := strings.CutPrefix(line, "#! "); ok {
					want = append(want, strings.TrimSpace(problem))
				}
			}
			cfg, err := Parse("file", data, noEnv)
			var problems Problems
			if cfg != nil || !errors.As(err, &problems) {
				t.Fatalf("Parse: config %v, error %v; want no config and Problems", cfg, err)
			}
			if got := err.Error(); got != strings.Join(want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
			}
		})
	}
}

// TestDefaults compares the defaults with those of the documentation and the
// contract: a file that sets all of them changes nothing.
func TestDefaults(t *testing.T) {
	want := Default()
	want.File = "f"
	for _, text := range []string{"{}", "listen: {}\n", contractDefaults} {
		got, err := Parse("f", []byte(text), noEnv)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		got.Warnings, got.Files = nil, nil // see TestFiles
		if len(got.Routes) == 0 {
			got.Routes = nil
		}
		for _, list := range []*[]string{&got.Sources.BasicKeyUsers, &got.Sources.TokenSchemes, &got.Sources.Headers, &got.Sources.Query.Credential} {
			if len(*list) == 0 {
				*list = nil
			}
		}
		if len(got.ResourceMetadata.AuthorizationServers) == 0 {
			got.ResourceMetadata.AuthorizationServers = nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v\nwant\n%+v", got, want)
		}
	}
}

const contractDefaults = `
listen:
  grpc: 127.0.0.1:9191
  http: 127.0.0.1:9192
  admin: 127.0.0.1:9193
tls: {}
keys:
  file: keys.jsonl
  prefixes: [kw_]
  pepper_file: ""
  max_age: ""
  expiry_header: false
users: {file: ""}
credentials:
  bearer: true
  basic: false
  schemes: []
  basic_key_usernames: []
  basic_key_as_username: false
  basic_charset: utf-8
  header: []
  query: []
  cookie: ""
  websocket_protocol: ""
  reserved_query: [access_token, api_key]
jwt: []
introspection: []
routes: []
default: {auth: required}
paths: {allow: []}
errors: problem
challenge: {realm: api}
resource_metadata: {url: "", authorization_servers: [], name: "", documentation: ""}
require_https: false
identity_headers:
  x-auth-subject: subject
  x-auth-key-id: key_id
  x-auth-scopes: scopes
  x-auth-method: method
forward_credentials: false
client_address: {trusted_hops: 0}
cache: {size: 100000, ttl: 5m, negative_ttl: 10s}
revocations: {file: ""}
projects: {file: ""}
clients: {file: ""}
audit: {file: "", keep: 400d}
issuer:
  url: ""
  audience: ""
  algorithm: ES256
  keys_dir: signing-keys
  keys_secret_file: ""
  publish_before: 10m
  rotate_every: 30d
  access_token_ttl: 1h
  refresh_token_ttl: 30d
  cookie: ""
usage: {file: "", flush: 10s}
rate_limits: {store: memory}
trusted_proxies: []
tracing: {endpoint: "", sample: 0}
log: {level: info, format: json, decisions: denied}
`

func TestEveryKey(t *testing.T) {
	cfg, err := Load("testdata/everything.yaml", env(map[string]string{"RUN_DIR": "/run/keyward", "HOPS": "2", "KEY_PREFIX": "acme_"}))
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Routes) != 4 {
		t.Fatalf("%d routes, want 4", len(cfg.Routes))
	}
	read, err := authz.ParseScopes([]string{"read", "write"})
	admin, anyErr := authz.ParseScopes([]string{"admin", "audit"})
	if err != nil || anyErr != nil {
		t.Fatal(err, anyErr)
	}
	wantRoute := authz.Route{
		Name: "posts", Path: "/posts/a;b", Auth: authz.AuthOptional,
		AcceptAuth: []authz.AuthMethod{authz.AuthMethodAPIKey, authz.AuthMethodBasic, authz.AuthMethodJWT, authz.AuthMethodOAuth}, Errors: authz.StyleHalfred,
		Scopes: read, ScopesAny: admin, Project: "blog", Preflight: true, ForwardCredentials: false,
		Identity: `/posts/a;b ["GET" "OPTIONS"] ["*.example.org" "api.example.com"]`,
	}
	posts := cfg.Routes[0]
	if !reflect.DeepEqual(posts.Route, wantRoute) || posts.Pattern.Path() != "/posts/a;b" ||
		!reflect.DeepEqual(posts.Methods, []string{"GET", "OPTIONS"}) || !reflect.DeepEqual(posts.Hosts, []string{"api.example.com", "*.example.org"}) {
		t.Errorf("route posts: %+v", posts)
	}
	if bare := cfg.Routes[1]; bare.Route.Auth != authz.AuthRequired || !bare.Route.ForwardCredentials || !bare.Pattern.Exact() {
		t.Errorf("a route without these keys must require a credential and have the global settings: %+v", bare)
	}
	alice, err := urlpath.Parse("/USERS/alice", cfg.Paths)
	if own := cfg.Routes[3].Route.Template; err != nil || own == nil || own.Check(alice, "alice", false) != nil || own.Check(alice, "bob", false) == nil {
		t.Errorf("the route with {subject}: %+v (%v)", own, err)
	}
	if cfg.Routes[0].Route.Template != nil || cfg.Routes[2].Route.ScopesAny != (authz.Scopes{}) {
		t.Error("other routes have a template, or scopes of which one is needed")
	}
	if cfg.Default.Auth != authz.AuthDeny || !cfg.Default.ForwardCredentials {
		t.Errorf("default: %+v", cfg.Default)
	}
	cfg.Routes, cfg.Default, cfg.Warnings, cfg.env = nil, authz.Route{}, nil, nil
	want := &Config{
		File:   "testdata/everything.yaml",
		Listen: Listen{GRPC: "unix:///run/keyward/grpc.sock", HTTP: "127.0.0.1:0", Admin: "[::1]:0", Console: "0.0.0.0:9194", Issuer: "0.0.0.0:9195"},
		TLS:    TLS{GRPC: KeyPair{"a.crt", "a.key", "ca.crt"}, HTTP: KeyPair{CertFile: "c.crt", KeyFile: "c.key"}, Admin: KeyPair{CertFile: "b.crt", KeyFile: "b.key"}, Console: KeyPair{CertFile: "d.crt", KeyFile: "d.key"}, Issuer: KeyPair{CertFile: "e.crt", KeyFile: "e.key"}},
		Keys:   Keys{File: "k.jsonl", Prefixes: []string{"acme_", ""}, PepperFile: "/run/keyward/pepper", MaxAge: 90 * 24 * time.Hour, ExpiryHeader: true},
		Users:  Users{"u.jsonl"},
		Sources: authz.CredentialSources{
			Schemes: authz.NewSchemeSet(authz.SchemeBasic), TokenSchemes: []string{"Token", ""}, BasicKeyUsers: []string{"haplo"}, BasicKeyAsUser: true, BasicLatin1: true,
			Headers: []string{"x-api-key"}, Cookie: "session", Protocol: "api-key.", Query: urlquery.Names{Credential: []string{"key"}, Reserved: []string{}}, MaxBytes: 16384,
		},
		Passwords: true,
		Paths: urlpath.Rules{
			Semicolon: true, EncodedSlash: true, EncodedPercent: true, EncodedUnreserved: true, EmptySegment: true,
			EncodedDelimiter: true, EncodedBackslash: true, LookAlike: true, NonUTF8: true, Case: urlpath.CaseInsensitive,
		},
		Errors:            authz.StyleHalo,
		Challenge:         Challenge{None: true, Realm: "api"},
		RequireHTTPS:      true,
		IdentityHeaders:   map[string]authz.IdentityAttribute{"X-User": authz.AttributeSubject},
		UpstreamOverrides: slices.DeleteFunc(overrides.Headers(), func(name string) bool { return name == "x-forwarded-host" }),

		ForwardCredentials: true,
		ClientAddress:      ClientAddress{2},
		Cache:              Cache{7, time.Hour, 1500 * time.Millisecond},
		Usage:              Usage{"usage.jsonl", time.Minute},
		State:              State{"keyward.db"},
		Console: Console{ConsoleHalo, "T", "https://api.example.com", []NamedScope{{"a:r", "Read a"}}, "https://console.example.com", Session{15 * time.Minute, 8 * time.Hour}, FirstLogin{true, true}, OIDC{
			Issuer: "https://idp.example.com", Name: "I", ClientID: "keyward", ClientSecretFile: "idp-secret", UserClaim: "email", CreateUsers: true, RolesClaim: "groups",
			Roles: map[string][]string{"idp-admins": {"keyward:admin"}}, Scopes: []string{"groups"}}},
		Issuer: Issuer{
			URL: "https://auth.example.com", Audience: "api", Algorithm: "EdDSA", KeysDir: "sk",
			PublishBefore: 5 * time.Minute, RotateEvery: 7 * 24 * time.Hour, AccessTTL: 2 * time.Hour, RefreshTTL: 10 * 24 * time.Hour, Cookie: "token",
		},
		Revocations:    Revocations{"r.jsonl"},
		Projects:       Projects{"projects.jsonl"},
		Clients:        Clients{"clients.jsonl"},
		Store:          Store{Keep: 5 * 24 * time.Hour},
		Audit:          Audit{"audit.jsonl", 90 * 24 * time.Hour},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32")},
		JWT: []JWT{{
			Name: "id", AuthMethod: authz.AuthMethodOAuth, Issuer: "https://id.example.com", Audiences: []string{"api"}, Algorithms: []string{"ES256", "EdDSA"},
			JWKSURL: "https://id.example.com/keys", SubjectClaim: "client_id", ScopeClaims: []string{"scp", "/roles/all"}, AudienceClaim: "azp", Leeway: time.Second, MaxLifetime: time.Hour, Users: true,
			Claims: []ClaimValues{{"/a.b/c", []string{"1", "x:*"}}, {"tenant", []string{"t"}}}, Types: []string{"JOSE"}, RequireExp: true, MaxTokenBytes: 16384,
		}, {
			Name: "own", AuthMethod: authz.AuthMethodJWT, Issuer: "own", Algorithms: []string{"HS256"}, HMACSecretFile: "secret",
			SubjectClaim: "sub", ScopeClaims: []string{"scope"}, AudienceClaim: "aud", Leeway: 30 * time.Second, MaxLifetime: 24 * time.Hour,
			RequireKid: true, RequireExp: false, MaxTokenBytes: 8192,
		}},
		Introspection: []Introspection{{"opaque", "https://id.example.com/introspect", []string{"api"}, "keyward", "client-secret", 10 * time.Second, 100 * time.Millisecond}},
		RateLimits: RateLimits{
			Store: authz.NewSecret("redis://:secret@redis:6379/0"), OnStoreFailure: failover.FailClosed, Replicas: 4, Timeout: 5 * time.Millisecond, Buckets: 1000, HeadersOnAllow: true,
			ByMethod: map[authz.AuthMethod]ratelimit.Spec{
				authz.AuthMethodAPIKey:    {Rate: authz.Rate{Count: 1000, Period: time.Hour, Burst: 50}},
				authz.AuthMethodAnonymous: {Rate: authz.Rate{Count: 10, Period: time.Minute}, Shadow: true},
			},
			Failed: ratelimit.Spec{Rate: authz.Rate{Count: 20, Period: time.Minute}},
		},
		Tracing: Tracing{"https://collector:4317", 0.25},
		Log:     Log{slog.LevelDebug, LogText, LogAll, 5},
	}
	cfg.Files, cfg.text = nil, "" // see TestFiles and TestShown
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got\n%+v\nwant\n%+v", cfg, want)
	}
}

func TestWarnings(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"{}", ""},
		{"listen: {http: ''}", ""},
		{"listen: {grpc: ''}", ""},
		{"listen: {grpc: '', http: ''}", "f:1: listen: neither grpc nor http, so that no proxy can ask"},
		{"jwt: [{issuer: a, jwks_file: f}]", "f:1: jwt: no audiences: tokens that were made for others are accepted too"},
		{"jwt: [{issuer: a, hmac_secret_file: f, algorithms: [HS256]}]", ""},
		{"jwt: [{issuer: 'http://id.example.com', audiences: [api]}]", "f:1: jwt: plain http is not protected: an attacker on the network can have any token accepted; use https"},
		{"jwt: [{issuer: a, jwks_url: 'http://127.0.0.1:1/keys', audiences: [api]}]", ""},
		{"introspection:\n- {url: 'http://id.example.com', timeout: 250ms}", "f:2: introspection: a timeout of 250ms is not less than the 0.25 s that Envoy waits as envoy.yaml has it\n" +
			"f:2: introspection: plain http is not protected: an attacker on the network can have any token accepted; use https"},
		{"rate_limits: {store: 'redis://:p@redis:6379/0'}", "f:1: rate_limits.store: plain redis:// is not protected: an attacker on the network can set every limit; use rediss:// for TLS"},
		{"rate_limits: {store: 'redis://10.0.0.1'}", "f:1: rate_limits.store: plain redis:// is not protected: an attacker on the network can set every limit; use rediss:// for TLS"},
		{"rate_limits: {store: 'redis+cluster://127.0.0.1:1,[2001:db8::1]:1'}", "f:1: rate_limits.store: plain redis:// is not protected: an attacker on the network can set every limit; use rediss:// for TLS"},
		{"rate_limits: {store: 'redis+sentinel://u:p@a,b:2/main'}", "f:1: rate_limits.store: plain redis:// is not protected: an attacker on the network can set every limit; use rediss:// for TLS"},
		{"rate_limits: {store: 'redis://localhost'}", ""},
		{"rate_limits: {store: 'redis://:p%40@127.0.0.1:6379/0'}", ""},
		{"rate_limits: {store: 'redis+cluster://[::1]:1,127.0.0.2'}", ""},
		{"rate_limits: {store: 'rediss://redis'}", ""},
		{"rate_limits: {store: 'rediss+sentinel://a,b/main'}", ""},
		{"rate_limits: {store: 'unix:///run/redis.sock'}", ""},
		{"listen: {admin: ''}\ntls: {admin: {cert_file: a, key_file: b}}", "f:2: tls.admin: of no effect: that listener is off"},
		{"resource_metadata: {name: a}", "f:1: resource_metadata: of no effect without a url"},
		{"resource_metadata: {url: 'http://localhost:1', authorization_servers: ['https://id.example.com']}", ""},
		{"tracing: {sample: 0.5}", "f:1: tracing: sample is of no effect without an endpoint"},
		{"issuer: {access_token_ttl: 2h}", "f:1: issuer.access_token_ttl: other servers that verify the tokens accept them for so long after a logout\nf:1: issuer: of no effect: that listener is off"},
		{"credentials: {bearer: false}", "f:1: credentials: every place is off, so that no credential is ever found"},
	} {
		cfg, err := Parse("f", []byte(c.text), noEnv)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
		} else if got := cfg.Warnings.Error(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.text, got, c.want)
		}
	}
}

// TestEnvironmentIsNotShown checks that messages name the variable and not its
// value.
func TestEnvironmentIsNotShown(t *testing.T) {
	secret := env(map[string]string{"S": "s3cret//v;alue\"", "WORD": "s3cret"})
	for _, text := range []string{
		"cache: {ttl: '${S}'}", "cache: {size: '${S}'}", "require_https: '${S}'", "log: {level: '${S}'}", "keys: {prefixes: ['${S}']}",
		"routes: [{path: '/${S}'}]", "routes: [{path: /, scopes: ['${S}']}]", "routes: [{path: /, hosts: ['${S}']}]",
		"routes: [{path: /, methods: ['${S}']}]", "identity_headers: {x-a: '${S}'}", "paths: {allow: ['${S}']}", "default: {auth: '${S}'}",
		"default: {credentials: ['${S}']}", "errors: '${S}'", "challenge: '${S}'", "challenge: {realm: '${S}'}", "jwt: '${S}'",
		"jwt: [{issuer: '${S}', jwks_file: a}, {name: other, issuer: '${S}', jwks_file: a}]", "jwt: [{jwks_url: '${S}'}]",
		"introspection: [{url: '${S}'}]", "introspection: [{name: '${S}'}]", "trusted_proxies: ['${S}']",
		"listen: {grpc: '${S}'}", "credentials: {header: '${S}'}", "keys: '${S}'", "routes: '${S}'",
		"routes: [{name: '${S}', path: /a}, {name: '${S}', path: /b}]",
		"resource_metadata: {url: '${S}'}", "resource_metadata: {authorization_servers: ['${S}']}", "resource_metadata: {documentation: '${S}'}",
		"tracing: {endpoint: '${S}'}", "tracing: {endpoint: 'http://u:${S}@h:1'}", "tracing: {sample: '${S}'}",
		"credentials: {schemes: ['${WORD}', '${WORD}']}", "credentials: {header: ['${WORD}', '${WORD}']}", "credentials: {header: '${WORD}_key'}",
		"credentials: {query: ['${WORD}', '${WORD}']}", "credentials: {websocket_protocol: '${WORD}'}", "paths: {allow: ['%2F${WORD}']}",
		"jwt: [{scope_claim: ['${WORD}', '${WORD}']}]", "jwt: [{types: ['${WORD}', '${WORD}']}]", "jwt: [{claims: {a: ['${WORD}', '${WORD}']}}]",
		"routes: [{path: /, scopes: ['${WORD}'], scopes_any: ['${WORD}']}]",
	} {
		switch _, err := Parse("f", []byte(text), secret); {
		case err == nil:
			t.Errorf("%s: no error", text)
		case strings.Contains(err.Error(), "s3cret"):
			t.Errorf("%s: shows the value: %v", text, err)
		}
	}
	cfg, err := Parse("f", []byte("jwt: [{issuer: a, audiences: [a], jwks_file: f, claims: {a: ['${WORD}*']}}]"), secret)
	if err != nil || !strings.Contains(cfg.Warnings.Error(), "what `${WORD}*` stands for") {
		t.Errorf("the warnings are %v; %v", cfg.Warnings, err)
	}
}

// TestHideEnv checks that an error about a file names the variable and keeps
// its cause.
func TestHideEnv(t *testing.T) {
	vars := env(map[string]string{"PEPPER": `s3cret//v;al"ue\`, "DIR": "/etc/keyward", "SHORT": "keys"})
	cfg, err := Parse("f", []byte("keys: {file: '${SHORT}', pepper_file: '${PEPPER}'}\nusers: {file: '${DIR}/${PEPPER}'}\nrevocations: {file: plain-file}"), vars)
	if err != nil {
		t.Fatal(err)
	}
	_, missing := os.Open(cfg.Keys.PepperFile)
	for _, c := range []struct {
		err  error
		want string
	}{
		{missing, "open ${PEPPER}: no such file or directory"},
		{fmt.Errorf("pepper file %q: short", cfg.Keys.PepperFile), "pepper file `${PEPPER}`: short"},
		{fmt.Errorf("locking %q: no", cfg.Users.File+".lock"), `locking "${DIR}/${PEPPER}.lock": no`},
		{errors.New("keys are in keys and plain-file"), "keys are in keys and plain-file"},
	} {
		got := cfg.HideEnv(c.err)
		if got.Error() != c.want || !errors.Is(got, c.err) {
			t.Errorf("got %v, want %s", got, c.want)
		}
	}
	if cfg.HideEnv(nil) != nil {
		t.Error("HideEnv(nil) is not nil")
	}
}

func TestEnvironment(t *testing.T) {
	vars := env(map[string]string{"DIR": "/etc/keyward", "NAME": "keys", "EMPTY": "", "ON": "true", "WEEK": "7d"})
	cfg, err := Parse("f", []byte(`
keys: {file: "${DIR}/${NAME}$.jsonl", pepper_file: "${EMPTY}", max_age: "${WEEK}"}
require_https: ${ON}
`), vars)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Keys.File != "/etc/keyward/keys$.jsonl" || cfg.Keys.PepperFile != "" || !cfg.RequireHTTPS || cfg.Keys.MaxAge != 7*24*time.Hour {
		t.Errorf("got %+v, require_https %v", cfg.Keys, cfg.RequireHTTPS)
	}
}

func TestLoadMissing(t *testing.T) {
	cfg, err := Load(filepath.Join(t.TempDir(), "none.yaml"), noEnv)
	if cfg != nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, %v", cfg, err)
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90d": 90 * 24 * time.Hour, "1h30m": 90 * time.Minute, "0d": 0, "250ms": 250 * time.Millisecond,
		"": -1, "90": -1, "1d12h": -1, "-1d": -1, "+1d": -1, "200000d": -1, "1.5d": -1, "d": -1, "999999999999d": -1,
	} {
		got, err := ParseDuration(text)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "testdata/bad/*.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte(contractDefaults))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse("f", data, noEnv)
		if (cfg == nil) != (err != nil) {
			t.Fatalf("config %v, error %v", cfg, err)
		}
		if err == nil {
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("error %v is not Problems", err)
		}
		for i, p := range problems {
			if p.Line < 0 || p.Line > 1+strings.Count(string(data), "\n") || i > 0 && p.Line < problems[i-1].Line || p.Message == "" {
				t.Fatalf("problem %v of %q", p, data)
			}
		}
	})
}
