// Package config reads keyward.yaml, strictly, into the types of the packages
// that it configures. It reports all mistakes in a file at once, each with its
// line. It opens no file that the configuration names, starts nothing and
// decides nothing.
package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"keyward/authz"
	"keyward/authz/overrides"
	"keyward/authz/urlpath"
	"keyward/authz/urlquery"
	"keyward/config/redact"
	"keyward/config/strictyaml"
	"keyward/policy"
	"keyward/policy/resources"
	"keyward/ratelimit"
	"keyward/ratelimit/failover"
)

// Config is the content of one keyward.yaml, checked as far as its text alone
// allows.
type Config struct {
	// File is the file it was read from, "" if the defaults are in force. In
	// that case a missing key file means that there are no keys, and not that
	// Keyward is not ready.
	File string

	Listen           Listen
	TLS              TLS
	Store            Store
	Keys             Keys
	Users            Users
	Sources          authz.CredentialSources // the parts of a request that may carry a credential
	Passwords        bool                    // Basic credentials may be a user's password
	JWT              []JWT
	Introspection    []Introspection
	Revocations      Revocations
	Projects         Projects
	Clients          Clients
	Audit            Audit
	Routes           []policy.Rule
	Default          authz.Route // for requests that match no route
	Paths            urlpath.Rules
	Errors           authz.ErrorStyle // of denials without a route
	Challenge        Challenge
	RequireHTTPS     bool
	ResourceMetadata resources.API // how clients find out where to get tokens; the zero value: they do not
	// ResourceDocuments are those of ResourceMetadata and Routes, nil without.
	ResourceDocuments resources.Documents
	IdentityHeaders   map[string]authz.IdentityAttribute
	// UpstreamOverrides are the headers, in lower case, that are removed on
	// every allow.
	UpstreamOverrides []string
	// ForwardCredentials is the default of routes; each Route has its own.
	ForwardCredentials bool
	ClientAddress      ClientAddress
	// TrustedProxies are the peers of the HTTP listener whose headers about
	// their client are trusted. Empty means loopback addresses and unix
	// sockets.
	TrustedProxies []netip.Prefix
	Cache          Cache
	Usage          Usage
	State          State
	Console        Console
	Issuer         Issuer
	RateLimits     RateLimits
	Tracing        Tracing
	Log            Log

	// Files are all files that the configuration names, including the default
	// key file.
	Files []File
	// Warnings are possible mistakes in a valid configuration.
	Warnings Problems

	text string                 // of the file that Load read
	env  strictyaml.Environment // the values that came from the environment, see HideEnv
}

// Listen has the addresses: host:port or unix:///path, "" for no listener.
type Listen struct {
	GRPC, HTTP, Admin string
	Console           string // the console and the management API
	Issuer            string // logins, and the tokens that come of them
}

// TLS has the certificates of each listener.
type TLS struct {
	GRPC, HTTP, Admin, Console, Issuer KeyPair
}

// KeyPair names the files of one listener. The zero KeyPair means no TLS.
type KeyPair struct {
	CertFile, KeyFile string
	ClientCAFile      string // "": clients need no certificate
}

// Enabled reports whether the listener uses TLS.
func (p KeyPair) Enabled() bool { return p.CertFile != "" }

// Keys names the files of API keys, and says which keys are accepted.
type Keys struct {
	File       string        // "": no keys
	Prefixes   []string      // of bearer tokens that are API keys; "" accepts every token
	PepperFile string        // "": no pepper
	MaxAge     time.Duration // 0: no limit
	// ExpiryHeader adds the time to allows when a key expires soon.
	ExpiryHeader bool
}

// Users names the users file. If it is "", the users of keys are not looked up.
type Users struct{ File string }

// Revocations names the file of revoked tokens; "" is none.
type Revocations struct{ File string }

// Projects names the file of projects; "" is none: the project of a key is only a name.
type Projects struct{ File string }

// Clients names the file of OAuth clients; "" is none.
type Clients struct{ File string }

// Audit names the file of the audit log, and says how long entries are kept at least.
type Audit struct {
	File string        // "": changes leave no entry
	Keep time.Duration // 0: forever
}

// Usage names the file that usage is written to, and how often. Without a file,
// usage is lost when the process ends.
type Usage struct {
	File  string
	Flush time.Duration
}

// State names the database of sessions, one-time codes and idempotency keys; "" is
// none.
type State struct{ File string }

// Challenge configures WWW-Authenticate.
type Challenge struct {
	None  bool // send no such header
	Realm string
}

// ClientAddress says how to find the client's address. If TrustedHops is 0 it
// is the peer's, otherwise the entry of X-Forwarded-For at that position from
// the right.
type ClientAddress struct{ TrustedHops int }

// Cache bounds the cached credentials. All fields are positive.
type Cache struct {
	Size             int // entries
	TTL, NegativeTTL time.Duration
}

// Log configures the log.
type Log struct {
	Level     slog.Level
	Format    LogFormat
	Decisions LoggedDecisions
	// DenialsPerSecond is the maximum number of denials that are logged per
	// second.
	DenialsPerSecond int
}

// LogFormat is the format of log lines.
type LogFormat string

// The formats.
const (
	LogJSON LogFormat = "json"
	LogText LogFormat = "text"
)

// LoggedDecisions says which decisions are logged.
type LoggedDecisions string

// The choices.
const (
	LogDenied LoggedDecisions = "denied"
	LogAll    LoggedDecisions = "all"
	LogNone   LoggedDecisions = "none"
)

// Default returns the default of every setting.
func Default() *Config {
	return &Config{
		Listen: Listen{GRPC: "127.0.0.1:9191", HTTP: "127.0.0.1:9192", Admin: "127.0.0.1:9193"},
		Keys:   Keys{File: "keys.jsonl", Prefixes: []string{"kw_"}},
		Sources: authz.CredentialSources{
			Schemes: authz.NewSchemeSet(authz.SchemeBearer), Query: urlquery.Names{Reserved: []string{"access_token", "api_key"}},
		},
		Default:         authz.Route{Auth: authz.AuthRequired},
		Challenge:       Challenge{Realm: "api"},
		IdentityHeaders: defaultIdentityHeaders(),

		UpstreamOverrides: overrides.Headers(),
		Cache:             Cache{Size: 100_000, TTL: 5 * time.Minute, NegativeTTL: 10 * time.Second},
		Usage:             Usage{Flush: 10 * time.Second},
		Store:             Store{Keep: defaultKeep},
		Audit:             Audit{Keep: 400 * 24 * time.Hour},
		Console:           Console{Style: ConsoleGeneric, Session: Session{Idle: 30 * time.Minute, Max: 12 * time.Hour}, OIDC: OIDC{UserClaim: "sub"}},
		Issuer: Issuer{
			Algorithm: "ES256", KeysDir: "signing-keys", PublishBefore: 10 * time.Minute, RotateEvery: 30 * 24 * time.Hour, AccessTTL: time.Hour, RefreshTTL: 30 * 24 * time.Hour,
		},
		RateLimits: RateLimits{
			ByMethod: map[authz.AuthMethod]ratelimit.Spec{}, OnStoreFailure: failover.FailLocal, Replicas: 1, Timeout: 20 * time.Millisecond, Buckets: 1_000_000,
		},
		Log: Log{Level: slog.LevelInfo, Format: LogJSON, Decisions: LogDenied, DenialsPerSecond: 1000},
	}
}

func defaultIdentityHeaders() map[string]authz.IdentityAttribute {
	return map[string]authz.IdentityAttribute{
		"x-auth-subject": authz.AttributeSubject,
		"x-auth-key-id":  authz.AttributeKeyID,
		"x-auth-scopes":  authz.AttributeScopes,
		"x-auth-method":  authz.AttributeAuthMethod,
	}
}

// CredentialHeaders returns the headers that may carry a credential and so
// cannot carry an identity. Sec-WebSocket-Protocol is always among them, so that
// the proxies' configurations need not depend on where credentials are accepted.
func (c *Config) CredentialHeaders() []string {
	return append([]string{"authorization", "cookie", "sec-websocket-protocol"}, c.Sources.Headers...)
}

// Identity returns the headers that tell the upstream who the principal is.
func (c *Config) Identity() (*authz.IdentityHeaders, error) {
	return authz.NewIdentityHeaders(c.IdentityHeaders, c.CredentialHeaders(), c.UpstreamOverrides)
}

// Shown returns the file as it was read, for people: environment variables by their names,
// and without what may be a secret; "" if the defaults are in force.
func (c *Config) Shown() string { return redact.Text(c.text) }

// maxFile bounds the size of a file in bytes; files written by hand are
// smaller.
const maxFile = 4 << 20

// Load reads the file at path. The error is Problems, unless the file itself
// cannot be read. getenv looks up ${NAME}, as os.LookupEnv does.
func Load(path string, getenv func(string) (string, bool)) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading configuration: %w", err)
	}
	cfg, err := Parse(path, data, getenv)
	if err == nil {
		cfg.text = string(data)
	}
	return cfg, err
}
