package issuer

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"keyward/authz"
	"keyward/config"
	"keyward/extauthz"
	"keyward/keyindex"
	"keyward/manage"
	"keyward/manage/account"
	"keyward/manage/oauth"
	"keyward/manage/state"
	"keyward/reuse"
	"keyward/store/postgres/database"
	"keyward/verifier"
)

// Issuer is what the issuer listener serves by.
type Issuer struct {
	*oauth.Service
	Keys     *Keys
	Settings config.Issuer
	// Handler limits, counts and answers logins as the checks do with credentials.
	Handler extauthz.Handler
	// Verifier is that of the checks' tokens, and Clients are those that they know.
	Verifier authz.Verifier
	Clients  *keyindex.Clients

	resources []string // of the API, beside the audience
}

// Parts are what an Issuer works on.
type Parts struct {
	Records  *manage.Service
	Accounts account.Config // of the users who log in
	State    *state.DB
	Clients  *keyindex.Clients
	Database *database.DB // nil: the keys are in files
	Log      *slog.Logger
	Metrics  *Metrics // nil: nothing is counted
}

// Open returns the issuer that the configuration has; nil for none. Its keys are those of old
// unless the configuration says something else of them.
func Open(next, old *reuse.Generation, cfg *config.Config, p Parts) (*Issuer, error) {
	if cfg.Listen.Issuer == "" {
		p.Metrics.follow(nil)
		return nil, nil
	}
	keys, err := openKeys(next, old, &cfg.Issuer, p.Database, p.Log)
	if err != nil {
		return nil, fmt.Errorf("issuer: the signing keys: %w", err)
	}
	p.Metrics.follow(keys)
	p.Accounts.Logins = p.State.IssuerSessions
	return &Issuer{Keys: keys, Settings: cfg.Issuer, Clients: p.Clients, resources: cfg.Resources(), Service: oauth.New(oauth.Config{
		Records: p.Records, Accounts: account.New(p.Accounts), Grants: p.State.Grants, Consents: p.State.Consents, Signer: keys, Issuer: cfg.Issuer.URL, Audience: cfg.Issuer.TokenAudience(),
		AccessTTL: cfg.Issuer.AccessTTL, RefreshTTL: cfg.Issuer.RefreshTTL, LongestTTL: config.MaxAccessTTL, Issued: p.Metrics.countIssued, Reused: p.Metrics.countReuse,
	})}, nil
}

// CheckToken returns who a token stands for, as the checks see it now.
func (i *Issuer) CheckToken(ctx context.Context, token authz.Secret) (*authz.Principal, error) {
	return i.Verifier.Verify(ctx, &authz.Credential{Scheme: authz.SchemeBearer, Secret: token}, time.Now())
}

// Resources are what its tokens may be asked for (RFC 8707).
func (i *Issuer) Resources() []string {
	return append([]string{i.Settings.TokenAudience()}, i.resources...)
}

// ownLeeway is by how much the clocks of the machines that share the keys may differ.
const ownLeeway = 30 * time.Second

// Rules are what the checks accept its tokens by; they are equal if that is the same.
type Rules struct {
	settings  config.Issuer
	resources []string
	keys      *Keys
}

// Rules returns them; of no issuer, the zero Rules.
func (i *Issuer) Rules() Rules {
	if i == nil {
		return Rules{}
	}
	return Rules{i.Settings, i.resources, i.Keys}
}

// Tokens are its tokens, for the verifier of JWTs. Those of a configuration before, with a
// longer life, are accepted too.
func (i *Issuer) Tokens() verifier.JWTIssuer {
	return verifier.JWTIssuer{
		Name: "issuer", AuthMethod: authz.AuthMethodOAuth, Issuer: i.Settings.URL, Audiences: i.Resources(), Algorithms: config.IssuerAlgorithms(),
		Keys: i.Keys, Leeway: ownLeeway, MaxLifetime: config.MaxAccessTTL + time.Second, Users: true, Own: true,
	}
}
