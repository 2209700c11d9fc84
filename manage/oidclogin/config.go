package oidclogin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/verifier/issuerhttp"
)

// The claims of OpenID Connect Core 1.0 section 5.1 that have rules of their own here.
const (
	claimSubject       = "sub"
	claimEmail         = "email"
	claimEmailVerified = "email_verified"
)

// CallbackPath is where the provider sends browsers back to, below the console's origin.
const CallbackPath = "/login/callback"

// Config is which provider logs people in, and how.
type Config struct {
	// Issuer is the provider's issuer identifier: an https URL, or an http URL of this
	// machine.
	Issuer string
	// ClientID and ClientSecret are what the provider knows Keyward by.
	ClientID     string
	ClientSecret authz.Secret
	// RedirectURL is the callback's URL as the provider has it on record.
	RedirectURL string

	// UserClaim is the claim that has the user's name; "" is sub. An email counts only
	// if the provider says that it is verified.
	UserClaim string
	// RolesClaim is the claim that has the person's roles, and Roles the managing scopes
	// that each of them gives; others give nothing. "": no roles.
	RolesClaim string
	Roles      map[string][]string
	// Scopes are asked for beside openid, email and profile: some providers give the
	// roles for one of their own only.
	Scopes []string

	// MarkUsed marks the id of a login as used until that time, and reports whether it
	// was not yet. All machines share the marks.
	MarkUsed func(ctx context.Context, id [32]byte, until time.Time) (first bool, err error)

	Client *http.Client     // provides the transport; nil: issuerhttp's, which is guarded
	Now    func() time.Time // nil: time.Now
	Rand   io.Reader        // nil: crypto/rand.Reader
}

// New returns the Provider, and asks it for nothing yet.
func New(cfg Config) (*Provider, error) {
	if cfg.UserClaim == "" {
		cfg.UserClaim = claimSubject
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	issuer, err := cfg.check()
	if err != nil {
		return nil, err
	}
	guard := issuerhttp.NewGuard(issuer, false)
	client := issuerhttp.NewSecretClient(cfg.Client, guard)
	client.Transport = &transport{next: client.Transport, plain: issuer.Scheme == "http"}
	client.Timeout = requestTimeout
	return &Provider{cfg: cfg, client: client, guard: guard, discovering: make(chan struct{}, 1)}, nil
}

// check returns the issuer's URL, or all that is wrong.
func (c *Config) check() (*url.URL, error) {
	var problems []error
	issuer, err := parseURL(c.Issuer)
	if err == nil && (issuer.RawQuery != "" || issuer.ForceQuery) {
		err = errors.New("it must not have a query (OpenID Connect Discovery 1.0 section 3)")
	}
	if err != nil {
		problems = append(problems, fmt.Errorf("issuer: %w", err))
	}
	if _, err := parseURL(c.RedirectURL); err != nil {
		problems = append(problems, fmt.Errorf("redirect URL: %w", err))
	}
	for _, needed := range []struct {
		what    string
		present bool
	}{
		{"client id", c.ClientID != ""}, {"client secret", !c.ClientSecret.Empty()}, {"place for marks", c.MarkUsed != nil},
		{"roles claim for the roles", c.RolesClaim != "" || len(c.Roles) == 0}, {"roles for the roles claim", c.RolesClaim == "" || len(c.Roles) > 0},
	} {
		if !needed.present {
			problems = append(problems, fmt.Errorf("a %s is missing", needed.what))
		}
	}
	for role, scopes := range c.Roles {
		if role == "" || len(scopes) == 0 || slices.ContainsFunc(scopes, func(s string) bool { return !access.KnownScope(s) }) {
			problems = append(problems, fmt.Errorf("role %q: it must give scopes that begin with %s and are known", role, access.ScopePrefix))
		}
	}
	return issuer, errors.Join(problems...)
}

// parseURL parses a URL to which a secret or a code may be sent.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "" || u.Fragment != "" || u.User != nil:
		return nil, errors.New("it must be an absolute URL without a user and a fragment")
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return u, nil
	default:
		return nil, errors.New("its scheme must be https, or http on loopback")
	}
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
