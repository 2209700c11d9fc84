package oidclogin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"keyward/verifier/issuerhttp"
	"keyward/verifier/strictjson"
)

const (
	// rediscoverAfter is how long the provider's metadata is used before it is read
	// again, and retryAfter how long after a failure it is not asked for.
	rediscoverAfter = time.Hour
	retryAfter      = 2 * time.Second
)

// Provider is an OpenID provider by which people log in. Its methods may be called at
// the same time. It asks the provider only when it is used, so that one that cannot be
// reached keeps nothing else from working.
type Provider struct {
	cfg    Config
	client *http.Client
	guard  *issuerhttp.Guard

	known       atomic.Pointer[metadata] // nil until it was discovered
	discovering chan struct{}            // holds one element while the provider is asked
	failed      time.Time                // when that failed last
	lastErr     error                    // why
}

// metadata is what the provider says of itself (OpenID Connect Discovery 1.0 section 3).
type metadata struct {
	read        time.Time
	oauth       oauth2.Config
	userInfo    string // "": it has none
	namesIssuer bool   // its answers have the parameter iss (RFC 9207)
	keys        *oidc.RemoteKeySet
}

// Close closes idle connections.
func (p *Provider) Close() error {
	p.client.CloseIdleConnections()
	return nil
}

// discover returns the provider's metadata. It is read again after an hour; if it cannot
// be then, the last stays.
func (p *Provider) discover(ctx context.Context) (*metadata, error) {
	if m := p.known.Load(); p.isRecent(m) {
		return m, nil
	}
	select {
	case p.discovering <- struct{}{}:
		defer func() { <-p.discovering }()
	case <-ctx.Done():
		return nil, unavailable("discovery: %w", issuerhttp.ErrTimeout)
	}
	m := p.known.Load()
	switch {
	case p.isRecent(m):
		return m, nil
	case p.cfg.Now().Sub(p.failed).Abs() >= retryAfter:
		read, err := p.readMetadata(ctx)
		if err == nil {
			p.known.Store(read)
			return read, nil
		}
		p.failed, p.lastErr = p.cfg.Now(), unavailable("discovery: %w", err)
	}
	if m != nil {
		return m, nil
	}
	return nil, p.lastErr
}

func (p *Provider) isRecent(m *metadata) bool {
	return m != nil && p.cfg.Now().Sub(m.read).Abs() < rediscoverAfter
}

func (p *Provider) readMetadata(ctx context.Context) (*metadata, error) {
	// One caller that gives up does not fail those that wait for the same answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	document, err := p.get(ctx, strings.TrimSuffix(p.cfg.Issuer, "/")+"/.well-known/openid-configuration", "")
	if err != nil {
		return nil, err
	}
	m, err := p.parseMetadata(document)
	if err != nil {
		return nil, err
	}
	m.read = p.cfg.Now()
	return m, nil
}

// get reads a JSON document. bearer is the access token, if it needs one.
func (p *Provider) get(ctx context.Context, from, bearer string) (map[string]any, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, http.NoBody)
	if err != nil {
		return nil, errors.New("its URL cannot be asked")
	}
	r.Header.Set("Accept", "application/json")
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := p.client.Do(r)
	if sent, ok := errors.AsType[*transportError](err); ok {
		return nil, sent.cause
	} else if err != nil {
		return nil, errors.New("its URL cannot be asked")
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body) // which the transport has bounded
	if err != nil {
		return nil, err
	}
	return strictjson.Object(body, strictjson.Limits{Depth: 16, Members: 512})
}

// parseMetadata refuses the metadata of another issuer, or one provider could have codes
// that are meant for another (mix-up).
func (p *Provider) parseMetadata(document map[string]any) (*metadata, error) {
	if document["issuer"] != p.cfg.Issuer {
		return nil, errors.New("it is about another issuer")
	}
	m := &metadata{oauth: oauth2.Config{
		ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret.Reveal(), RedirectURL: p.cfg.RedirectURL, Scopes: p.scopes(),
	}}
	m.namesIssuer, _ = document["authorization_response_iss_parameter_supported"].(bool)
	var jwks string
	for _, endpoint := range []struct {
		member   string
		to       *string
		optional bool
	}{
		{"authorization_endpoint", &m.oauth.Endpoint.AuthURL, false}, {"token_endpoint", &m.oauth.Endpoint.TokenURL, false},
		{"jwks_uri", &jwks, false}, {"userinfo_endpoint", &m.userInfo, true},
	} {
		if _, there := document[endpoint.member]; !there && endpoint.optional {
			continue
		}
		text, ok := document[endpoint.member].(string)
		if !ok || !p.mayAsk(text) {
			return nil, errors.New(endpoint.member + " is missing, or is not a URL that may be asked")
		}
		*endpoint.to = text
	}
	var ok bool
	if m.oauth.Endpoint.AuthStyle, ok = authStyle(document["token_endpoint_auth_methods_supported"]); !ok {
		return nil, errors.New("its token endpoint supports neither client_secret_basic nor client_secret_post")
	}
	m.keys = oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), p.client), jwks)
	return m, nil
}

// mayAsk reports whether a URL of the metadata is one to send people and secrets to.
func (p *Provider) mayAsk(text string) bool {
	u, err := parseURL(text)
	return err == nil && p.guard.Check(u) == nil && (u.Scheme == "https" || strings.HasPrefix(p.cfg.Issuer, "http:"))
}

// authStyle is how the token endpoint takes the client's secret. To try both ways would
// use the code up.
func authStyle(methods any) (style oauth2.AuthStyle, ok bool) {
	names, ok := methods.([]any)
	switch {
	case methods == nil, ok && slices.Contains(names, any("client_secret_basic")):
		return oauth2.AuthStyleInHeader, true
	case ok && slices.Contains(names, any("client_secret_post")):
		return oauth2.AuthStyleInParams, true
	default:
		return 0, false
	}
}

// scopes are what is asked for.
func (p *Provider) scopes() []string {
	scopes := []string{oidc.ScopeOpenID, "email", "profile"}
	for _, scope := range p.cfg.Scopes {
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// authorizationURL is where the browser goes to log in.
func (m *metadata) authorizationURL(l *login) string {
	options := []oauth2.AuthCodeOption{oidc.Nonce(l.nonce()), oauth2.S256ChallengeOption(l.codeVerifier())}
	if l.MustProve() {
		options = append(options, oauth2.SetAuthURLParam("max_age", "0"))
	}
	return m.oauth.AuthCodeURL(l.state(), options...)
}
