// Package config says what the operator asked for: it reads keyward.yaml,
// strictly, into the types of the packages it configures. All mistakes in a
// file are reported at once, each with its line. It opens nothing that the
// file names, starts nothing and decides nothing.
package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"keyward/authz"
	"keyward/policy"
	"keyward/ratelimit"
)

// Config is what one keyward.yaml says. It was checked as far as that can be
// done without looking at anything but its text.
type Config struct {
	// File is the file it was read from, "" where the defaults are in force:
	// then a missing key file means no keys, and not "not ready".
	File string

	Listen            Listen
	TLS               TLS
	Keys              Keys
	Users             Users
	Sources           authz.CredentialSources // where a request may carry a credential
	Passwords         bool                    // Basic credentials may be a user's password
	BasicKeyUsernames []string                // with these as Basic username the password is an API key
	JWT               []JWT
	Introspection     []Introspection
	Revocations       Revocations
	Routes            []policy.Rule
	Default           authz.Route // where no rule matches
	Paths             authz.PathRules
	Errors            authz.ErrorStyle // of denials before there is a route
	Challenge         Challenge
	RequireHTTPS      bool
	IdentityHeaders   map[string]authz.IdentityAttribute
	// UpstreamOverrides are the headers, in lower case, that every allow has removed.
	UpstreamOverrides []string
	// ForwardCredentials is what routes that say nothing about it have; each
	// Route has its own.
	ForwardCredentials bool
	ClientAddress      ClientAddress
	// TrustedProxies are whose word on the HTTP listener counts; empty is
	// loopback addresses and unix sockets.
	TrustedProxies []netip.Prefix
	Cache          Cache
	Usage          Usage
	RateLimits     RateLimits
	Tracing        Tracing
	Log            Log

	// Files are all files that are named, the key file's default included.
	Files []File
	// Warnings are what the operator should know about a file that is good.
	Warnings Problems

	env []envValue // what came from the environment, see HideEnv
}

// Listen holds the addresses: host:port or unix:///path, "" for none.
type Listen struct {
	GRPC, HTTP, Admin string
}

// TLS holds what each listener shows and asks for.
type TLS struct {
	GRPC, HTTP, Admin KeyPair
}

// KeyPair names the files of one listener. The zero KeyPair is no TLS.
type KeyPair struct {
	CertFile, KeyFile string
	ClientCAFile      string // "" asks clients for no certificate
}

// Enabled tells whether the listener speaks TLS.
func (p KeyPair) Enabled() bool { return p.CertFile != "" }

// Keys says where the API keys are and which of them count.
type Keys struct {
	File       string   // "" is no keys
	Prefixes   []string // a bearer token that starts so is an API key; "" takes every one
	PepperFile string   // "" is no pepper
	MaxAge     time.Duration
}

// Users names the users file; "" means that a key's user is only a name.
type Users struct{ File string }

// Revocations names the file of tokens that end before their time; "" is none.
type Revocations struct{ File string }

// Usage says where the account of each key's use is kept, and how often it is
// written there; with no file it is lost at the end.
type Usage struct {
	File  string
	Flush time.Duration
}

// Challenge says what WWW-Authenticate holds.
type Challenge struct {
	None  bool // no such header at all
	Realm string
}

// ClientAddress says how to find the client's address: with TrustedHops of 0
// it is the peer's, else it stands that far from the right of X-Forwarded-For.
type ClientAddress struct{ TrustedHops int }

// Cache bounds what is remembered of checks. All are positive.
type Cache struct {
	Size             int // entries
	TTL, NegativeTTL time.Duration
}

// Log says what is logged and how.
type Log struct {
	Level     slog.Level
	Format    LogFormat
	Decisions LoggedDecisions
	// DenialsPerSecond are the most that have a line.
	DenialsPerSecond int
}

// LogFormat is the shape of log lines.
type LogFormat string

// The formats.
const (
	LogJSON LogFormat = "json"
	LogText LogFormat = "text"
)

// LoggedDecisions says of which decisions there is a log line.
type LoggedDecisions string

// The choices.
const (
	LogDenied LoggedDecisions = "denied"
	LogAll    LoggedDecisions = "all"
	LogNone   LoggedDecisions = "none"
)

// Default returns what is in force where no file says otherwise.
func Default() *Config {
	return &Config{
		Listen:          Listen{GRPC: "127.0.0.1:9191", HTTP: "127.0.0.1:9192", Admin: "127.0.0.1:9193"},
		Keys:            Keys{File: "keys.jsonl", Prefixes: []string{"kw_"}},
		Sources:         authz.CredentialSources{Schemes: authz.NewSchemeSet(authz.SchemeBearer), Reserved: []string{"access_token", "api_key"}},
		Default:         authz.Route{Auth: authz.AuthRequired},
		Challenge:       Challenge{Realm: "api"},
		IdentityHeaders: defaultIdentityHeaders(),

		UpstreamOverrides: authz.UpstreamOverrides(),
		Cache:             Cache{Size: 100_000, TTL: 5 * time.Minute, NegativeTTL: 10 * time.Second},
		Usage:             Usage{Flush: 10 * time.Second},
		RateLimits: RateLimits{
			ByMethod: map[authz.AuthMethod]ratelimit.Spec{}, OnStoreFailure: ratelimit.FailLocal, Replicas: 1, Timeout: 20 * time.Millisecond, Buckets: 1_000_000,
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

// Carriers are the headers that may carry a credential and so can't carry an identity.
func (c *Config) Carriers() []string {
	if c.Sources.Header == "" {
		return []string{"authorization", "cookie"}
	}
	return []string{"authorization", "cookie", c.Sources.Header}
}

// Identity makes the headers by which the upstream learns of the principal.
func (c *Config) Identity() (*authz.IdentityHeaders, error) {
	return authz.NewIdentityHeaders(c.IdentityHeaders, c.Carriers(), c.UpstreamOverrides)
}

// maxFile bounds a file in bytes; nobody writes more by hand.
const maxFile = 4 << 20

// Load reads the file at path. The error is Problems, unless the file itself
// can't be read. getenv is where ${NAME} is looked up, as os.LookupEnv does.
func Load(path string, getenv func(string) (string, bool)) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading configuration: %w", err)
	}
	return Parse(path, data, getenv)
}
