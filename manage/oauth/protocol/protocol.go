// Package protocol answers the endpoints of OAuth 2.0 and OpenID Connect, with
// github.com/luikyv/go-oidc. What the library leaves to others, or does otherwise than
// Keyward promises, is done around it: a guard reads each request and authenticates its
// client before the library sees it, the library's storage is [oauth.Service], and its answer
// is read before it goes out. No other package imports the library.
package protocol

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/luikyv/go-oidc/pkg/goidc"
	"github.com/luikyv/go-oidc/pkg/provider"

	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/gate"
	"keyward/manage/oauth"
	"keyward/manage/session"
	"keyward/manage/signingkeys"
)

// The paths of the endpoints.
const (
	AuthorizePath  = "/oauth/authorize"
	LoginPath      = "/oauth/login"   // where the login page sends its form
	ConsentPath    = "/oauth/consent" // where the consent page does
	TokenPath      = "/oauth/token"
	RevokePath     = "/oauth/revoke"
	IntrospectPath = "/oauth/introspect"
	UserInfoPath   = "/oauth/userinfo"
	KeySetPath     = "/.well-known/jwks.json"

	openIDPath = "/.well-known/openid-configuration"
	serverPath = "/.well-known/oauth-authorization-server" // RFC 8414 section 3
)

// KeySet are the issuer's keys.
type KeySet interface {
	// SigningKey returns the key that signs now.
	SigningKey() (signingkeys.Key, error)
	// Public is the JWKS document (RFC 7517 section 5) of all keys that are published.
	Public() []byte
}

// Config is what a Protocol is made of. All are required.
type Config struct {
	Service *oauth.Service
	Keys    KeySet
	Pages   Pages
	Gate    *gate.Gate
	Origin  session.Origin // where browsers find the issuer
	CallOf  func(*http.Request) access.Call
	// Check has a client's secret that was sent to the path verified as every credential is:
	// limited, counted and logged. It returns the denial, nil for none.
	Check func(hr *http.Request, path string, secret authz.Secret, v authz.Verifier) *Denial
	// Login begins a session of the issuer's pages, within the limits of failed attempts.
	Login func(hr *http.Request, call access.Call, user string, password, presented authz.Secret) (authz.Secret, error)
	// CheckToken returns who an access token stands for, as the checks see it now; a
	// CredentialError is one that they refuse.
	CheckToken func(ctx context.Context, token authz.Secret) (*authz.Principal, error)
	// AllowsOrigin reports whether scripts of that origin are those of a public client.
	AllowsOrigin func(origin string) bool
	// Resources are what tokens may be asked for (RFC 8707).
	Resources []string
	Log       *slog.Logger
}

// Denial is why the secret of a client was not accepted.
type Denial struct {
	Reason authz.Reason
	// RetryAfter is the value of the header field; "" for none.
	RetryAfter string
}

// Protocol answers the endpoints.
type Protocol struct {
	Config
	library  http.Handler
	metadata []byte
	mux      *http.ServeMux
	read     atomic.Pointer[readKeys]
}

// readKeys are the keys as they were read last, which the library asks for several times for
// each token.
type readKeys struct {
	document []byte
	id       string // of the key that signs
	set      goidc.JSONWebKeySet
}

// New returns a Protocol.
func New(cfg Config) (*Protocol, error) {
	p := &Protocol{Config: cfg, mux: http.NewServeMux()}
	key, err := cfg.Keys.SigningKey()
	if err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	op, err := p.provider(goidc.SignatureAlgorithm(key.Algorithm))
	if err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	p.library = op.Handler()
	if p.metadata, err = p.readMetadata(); err != nil {
		return nil, fmt.Errorf("oauth: the metadata: %w", err)
	}
	for path, serve := range map[string]http.HandlerFunc{
		AuthorizePath: p.authorize, LoginPath: p.login, ConsentPath: p.consent, TokenPath: p.token, RevokePath: p.revoke,
		IntrospectPath: p.introspect, UserInfoPath: p.userInfo,
	} {
		p.mux.HandleFunc(path, p.bounded(serve))
	}
	p.mux.HandleFunc("GET "+openIDPath, p.serveMetadata)
	p.mux.HandleFunc("GET "+serverPath, p.serveMetadata)
	return p, nil
}

// ServeHTTP implements http.Handler.
func (p *Protocol) ServeHTTP(w http.ResponseWriter, hr *http.Request) { p.mux.ServeHTTP(w, hr) }

// Paths are those that it answers, as for http.ServeMux.
func Paths() []string {
	return []string{"/oauth/", openIDPath, serverPath}
}

// bounded has a request take one of the places, and a time.
func (p *Protocol) bounded(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, hr *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !p.Gate.Enter() {
			writeError(w, unavailable)
			return
		}
		defer p.Gate.Leave()
		ctx, cancel := context.WithTimeout(hr.Context(), gate.RequestTime)
		defer cancel()
		serve(w, hr.WithContext(ctx))
	}
}

// anyScope is a scope of the library that stands for all: which ones a client gets is for
// [oauth.Granted].
const anyScope = "any"

// provider returns the library's part. The algorithm is the one that keys have now; each
// token names that of its key.
func (p *Protocol) provider(algorithm goidc.SignatureAlgorithm) (*provider.Provider, error) {
	s := storage{p}
	options := []provider.Option{
		provider.WithAuthorizeEndpoint(AuthorizePath), provider.WithTokenEndpoint(TokenPath), provider.WithTokenRevocationEndpoint(RevokePath),
		provider.WithTokenIntrospectionEndpoint(IntrospectPath), provider.WithUserInfoEndpoint(UserInfoPath), provider.WithJWKSEndpoint(KeySetPath),
		provider.WithAuthCodeGrant(s, goidc.ResponseTypeCode), provider.WithRefreshTokenGrant(s), provider.WithClientCredentialsGrant(),
		provider.WithRefreshTokenRotation(), provider.WithRefreshTokenFunc(s.rotate), provider.WithRefreshTokenShouldIssue(never),
		provider.WithGrantIDFunc(newGrantID), provider.WithGrantHandler(s.handleGrant),
		provider.WithPKCE(goidc.CodeChallengeMethodSHA256), provider.WithIssuerResponseParameter(),
		provider.WithSecretPostAuthn(), provider.WithNoneAuthn(), provider.WithClientSecretVerifier(verifySecret),
		// Clients are read by their id through what registers them; nothing is registered.
		provider.WithDCR(s), provider.WithDCRInitialTokenValidator(func(context.Context, string) error { return errClosed }),
		provider.WithScopes(goidc.ScopeOpenID, goidc.NewDynamicScope(anyScope, func(string) bool { return true })),
		provider.WithTokenOptions(p.tokenOptions), provider.WithTokenClaims(s.tokenClaims), provider.WithTokenHandler(s.countToken),
		provider.WithIDTokenSignatureAlgs(algorithm, "ES256", "RS256", "EdDSA"), provider.WithIDTokenLifetime(int(p.Service.AccessTTL.Seconds())), provider.WithIDTokenClaims(idTokenClaims),
		provider.WithUserInfoClaims(func(_ context.Context, g *goidc.Grant) map[string]any {
			return map[string]any{"preferred_username": g.Subject}
		}),
		provider.WithTokenIntrospection(func(context.Context, *goidc.Client, goidc.TokenInfo) bool { return true }), provider.WithTokenRevocation(func(context.Context, *goidc.Client) bool { return true }),
		provider.WithTokenRevocationRevokeGrantOnAccessToken(),
		provider.WithPolicies(goidc.NewPolicy("pages", func(*http.Request, *goidc.AuthnSession, *goidc.Client) bool { return true }, p.decide)),
		provider.WithErrorRenderer(renderError), provider.WithErrorHandler(keepFailure), provider.WithJTIConsumer(func(context.Context, string) error { return errClosed }),
	}
	if len(p.Resources) > 0 {
		options = append(options, provider.WithResourceIndicators(p.Resources[0], p.Resources[1:]...))
	}
	return provider.New(p.Service.Issuer, s, p.keys, options...)
}

// errClosed is what is not offered.
var errClosed = errors.New("not offered")

// never has the library make no refresh token when a code is made: one comes with the first
// tokens.
func never(context.Context, *goidc.Client, *goidc.Grant) bool { return false }

// algorithm is that of the key that signs now.
func (p *Protocol) algorithm() goidc.SignatureAlgorithm {
	key, err := p.Keys.SigningKey()
	if err != nil { // which the library finds out when it signs
		return goidc.ES256
	}
	return goidc.SignatureAlgorithm(key.Algorithm)
}

func (p *Protocol) tokenOptions(context.Context, *goidc.Grant, *goidc.Client) goidc.TokenOptions {
	return goidc.NewJWTTokenOptions(p.algorithm(), int(p.Service.AccessTTL.Seconds()))
}

// keys are the keys for the library, which signs with the first that is of an algorithm. It
// gets the private key, since its other way cannot sign by EdDSA.
func (p *Protocol) keys(context.Context) (goidc.JSONWebKeySet, error) {
	key, err := p.Keys.SigningKey()
	if err != nil {
		return goidc.JSONWebKeySet{}, err
	}
	document := p.Keys.Public()
	if read := p.read.Load(); read != nil && read.id == key.ID && bytes.Equal(read.document, document) {
		return read.set, nil
	}
	var all goidc.JSONWebKeySet
	if err := all.UnmarshalJSON(document); err != nil {
		return goidc.JSONWebKeySet{}, err
	}
	signing := goidc.JSONWebKey{Key: key.Private, KeyID: key.ID, Algorithm: string(key.Algorithm), Use: string(goidc.KeyUsageSignature)}
	kept := []goidc.JSONWebKey{signing}
	for _, public := range all.Keys {
		if public.KeyID != key.ID {
			kept = append(kept, public)
		}
	}
	p.read.Store(&readKeys{document, key.ID, goidc.JSONWebKeySet{Keys: kept}})
	return goidc.JSONWebKeySet{Keys: kept}, nil
}
