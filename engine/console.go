package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/config"
	"keyward/engine/issuer"
	"keyward/engine/provider"
	"keyward/extauthz"
	"keyward/manage"
	"keyward/manage/account"
	"keyward/manage/observed"
	"keyward/manage/oidclogin"
	"keyward/manage/session"
	"keyward/manage/state"
	"keyward/reuse"
	"keyward/store"
	"keyward/store/postgres/database"
	"keyward/store/replica"
	"keyward/verifier"
	"keyward/verifier/login"
)

// console is what the console listener serves by.
type console struct {
	service  *manage.Service
	accounts *account.Service
	files    *managedFiles // nil with a central store
	state    *managedState
	handler  extauthz.Handler

	provider *oidclogin.Provider // nil: people log in by passwords alone
	counter  keyCounter
	sessions session.Verifier
	logins   *login.Authenticator
}

// Issuer returns what the issuer listener serves by; nil without one.
func (s *Snapshot) Issuer() *issuer.Issuer { return s.issuer }

// Service returns the service that changes keys and users; nil without a console.
func (s *Snapshot) Service() *manage.Service { return s.console.service }

// Accounts returns the service by which people come in and go; nil without a console.
func (s *Snapshot) Accounts() *account.Service { return s.console.accounts }

// Provider returns the OpenID provider by which people log in; nil if there is none.
func (s *Snapshot) Provider() *oidclogin.Provider { return s.console.provider }

// State returns what managing remembers that is not a record; nil without a console.
func (s *Snapshot) State() *state.DB {
	if s.console.state == nil {
		return nil
	}
	return s.console.state.DB
}

// Console returns what authenticates the callers of the management API. It decides
// as all checks do, by routes of its own.
func (s *Snapshot) Console() *extauthz.Handler { return &s.console.handler }

// Origin returns where browsers find the console.
func (s *Snapshot) Origin() session.Origin { return session.Origin{Public: s.cfg.Console.PublicURL} }

// ConsoleSettings are what the configuration says of the pages, and the scopes that the
// routes of the policy name.
func (s *Snapshot) ConsoleSettings() (config.Console, []string) {
	named := map[string]bool{}
	for _, scope := range s.cfg.Default.NamedScopes().Names() {
		named[scope] = true
	}
	for i := range s.cfg.Routes {
		for _, scope := range s.cfg.Routes[i].Route.NamedScopes().Names() {
			named[scope] = true
		}
	}
	return s.cfg.Console, slices.Sorted(maps.Keys(named))
}

// Configuration is the configuration in force, for people; see [config.Config.Shown].
func (s *Snapshot) Configuration() (file, shown string, warnings []string) {
	for _, w := range s.cfg.Warnings {
		warnings = append(warnings, w.String())
	}
	return s.cfg.File, s.cfg.Shown(), warnings
}

// openConsole makes the service over the records.
func (s *Snapshot) openConsole(old *reuse.Generation) error {
	if !s.cfg.Listen.Managing() {
		return nil
	}
	if err := s.openState(old); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	records, err := s.openRecords(old)
	if err == nil {
		s.console.provider, err = provider.Open(&s.generation, old, &s.cfg.Console, s.State())
	}
	if err != nil {
		return err
	}
	maxAge := s.cfg.Keys.MaxAge
	s.console.sessions = session.Verifier{Sessions: s.console.state.Sessions, Users: records.Users}
	s.console.service = manage.New(manage.Config{
		Stores: records.Stores, Hasher: s.stores.keys.hasher, Prefixes: s.cfg.Keys.Prefixes, KeysInBasic: s.cfg.Sources.KeysInBasic(), KeyRate: s.cfg.RateLimits.ByMethod[authz.AuthMethodAPIKey].Rate,
		HashPassword: s.passwordHasher(),
		Rules: func(ctx context.Context) (store.KeyRules, error) {
			ended, err := records.Users.Ended(ctx)
			return store.KeyRules{MaxAge: maxAge, Ended: ended}, err
		},
		SessionExists: s.console.state.Sessions.Exists, Await: s.awaitChange, Refusals: records.refused, Changed: s.env.metrics.countChange,
		KeyCounts: func() manage.KeyCounts { return manage.KeyCounts(s.console.counter.of(&s.stores, time.Now())) },
		Limits:    s, Usage: s.usage.Get, LastUse: s.lastUse(), Observed: observed.Config{Denials: s.env.denials, Current: s, Days: s.usage.Days},
	})
	accounts := account.Config{Records: s.console.service, State: s.console.state.DB, CheckPassword: s.checkPassword, FirstLogin: account.FirstLogin(s.cfg.Console.FirstLogin), CreateUsers: s.cfg.Console.OIDC.CreateUsers}
	s.console.accounts = account.New(accounts)
	var db *database.DB
	if s.central != nil {
		db = s.central.DB
	}
	s.issuer, err = issuer.Open(&s.generation, old, s.cfg, issuer.Parts{Records: s.console.service, Accounts: accounts, State: s.console.state.DB, Clients: s.stores.clientRecords(), Database: db, Log: s.env.logger, Metrics: s.env.metrics.tokens})
	return err
}

// checkPassword returns the stored hash that the user's password matches, within the
// limits of failed logins that hold for Basic credentials too.
func (s *Snapshot) checkPassword(ctx context.Context, user string, password authz.Secret, client authz.RawAddress) (authz.Secret, error) {
	account, err := s.console.logins.Authenticate(ctx, login.Attempt{User: user, Password: password, Client: client}, time.Now())
	if err != nil {
		return authz.Secret{}, err
	}
	return account.User.Password, nil
}

// assembleConsole makes the Checker of the console: the same credentials, limits and
// observers as those of other checks, for API keys in Authorization and sessions in
// their cookie alone.
func (s *Snapshot) assembleConsole(keys authz.Verifier, limiter authz.Limiter) error {
	if !s.cfg.Listen.Managing() {
		return nil
	}
	own := keys.(*verifier.APIKey)
	identity, err := s.cfg.Identity()
	if err != nil {
		return err
	}
	checker, err := authz.NewChecker(authz.Config{
		// The first administrator may come before the first key: a verifier that has
		// nothing loaded says so itself.
		Limiter: limiter, Ready: func() error { return nil }, Policy: consolePolicy{},
		Sources:  authz.CredentialSources{Schemes: authz.NewSchemeSet(authz.SchemeBearer), Session: session.CookieName},
		Verifier: verifier.Chain{s.console.sessions, own, own.Unprefixed()}, Identity: identity,
		TrustedHops: s.cfg.ClientAddress.TrustedHops, Observers: s.observers(),
		Now: time.Now, Since: time.Since, NewID: newDecisionID,
	})
	if err != nil {
		return err
	}
	s.console.handler = extauthz.Handler{
		Checker: checker, Trusted: s.cfg.TrustedProxies,
		// What the configuration says of denials is for the API behind the proxy.
		Renderer: extauthz.Renderer{
			Errors: authz.StyleProblem, Now: time.Now, Overrides: extauthz.NewOverrides(checker.Overrides()),
			Challenge: extauthz.Challenge{Realm: "keyward", Schemes: authz.NewSchemeSet(authz.SchemeBearer)},
		},
	}
	if s.issuer != nil { // which answers as the API does
		s.issuer.Handler = extauthz.Handler{Checker: checker, Trusted: s.cfg.TrustedProxies, Renderer: rendererOf(s.cfg, checker)}
	}
	return nil
}

// consolePolicy is the policy of the console: every request needs an API key or a
// session. What a key may do behind the proxy, its paths and its project, does not
// matter here; what the caller may manage is for manage.Service.
type consolePolicy struct{}

var consoleRoute = authz.Route{Name: "console", Identity: "console", Auth: authz.AuthRequired, AcceptAuth: []authz.AuthMethod{authz.AuthMethodAPIKey, authz.AuthMethodSession}}

// Route implements authz.Policy.
func (consolePolicy) Route(*authz.Request, urlpath.Path) (*authz.Route, authz.Reason) {
	return &consoleRoute, authz.OK
}

// Authorize implements authz.Policy.
func (consolePolicy) Authorize(p *authz.Principal, _ urlpath.Path, _ *authz.Route) authz.Reason {
	switch {
	case p == nil:
		return authz.WrongKind
	case p.AuthMethod == authz.AuthMethodAPIKey && p.KeyID != "", p.AuthMethod == authz.AuthMethodSession && p.User != "":
		return authz.OK
	default:
		return authz.WrongKind
	}
}

// How long a step waits to be in force in this process, and how much longer for each of
// its changes: many are applied at the pace of background work.
const (
	inForceWait      = time.Second
	inForcePerChange = 200 * time.Microsecond
)

var errNotInForce = errors.New("the change is made, and not in force in this process in time")

// awaitChange waits until the change seq to a record of the kind is in force in this
// process, the last of a step of that many.
func (s *Snapshot) awaitChange(ctx context.Context, kind string, seq int64, changes int) error {
	ctx, cancel := context.WithTimeout(ctx, inForceWait+time.Duration(changes)*inForcePerChange)
	defer cancel()
	var err error
	if s.central != nil {
		err = s.central.Await(ctx, replica.Kind(kind), seq)
	} else {
		err = s.stores.await(ctx, replica.Kind(kind))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errNotInForce, err)
	}
	return nil
}
