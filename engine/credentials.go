package engine

import (
	"fmt"

	"keyward/authz"
	"keyward/config"
	"keyward/engine/issuer"
	"keyward/reuse"
	"keyward/verifier"
	"keyward/verifier/fingerprint"
	"keyward/verifier/issuerhttp"
	"keyward/verifier/tokensource"
)

// The names of the verifiers in a generation. They are not auth methods: the
// verifier of JWTs makes principals of two (authz.AuthMethod).
const (
	verifierAPIKey   = "API key"
	verifierPassword = "password"
	verifierJWT      = "JWT"
	verifierOpaque   = "opaque token"
)

// verifierChain makes the chain of credential kinds. Its order is documented: a
// known prefix marks an API key; then three segments mark a JWT; then come keys
// without a prefix; anything else is for the authorization servers.
func (s *Snapshot) verifierChain(old *reuse.Generation) (verifier.Chain, error) {
	keys, err := s.verifierFor(verifierAPIKey, old, keyRules{s.cfg.Keys, len(s.cfg.Introspection) > 0}, s.apiKeys)
	if err != nil {
		return nil, err
	}
	s.apiKey = keys.Verifier.(*verifier.APIKey)
	chain := verifier.Chain{keys}
	if s.verifiesPasswords() {
		passwords, err := s.verifierFor(verifierPassword, old, nil, s.passwords)
		if err != nil {
			return nil, err
		}
		s.console.logins = passwords.Verifier.(*verifier.Basic).Logins()
		if s.cfg.Passwords {
			chain = append(chain, passwords)
		}
	}
	if len(s.cfg.JWT) > 0 || s.issuer != nil {
		tokens, err := s.verifierFor(verifierJWT, old, tokenRules{s.cfg.JWT, s.issuer.Rules()}, s.tokens)
		if err != nil {
			return nil, err
		}
		chain = append(chain, tokens)
		if s.issuer != nil {
			s.issuer.Verifier = tokens.Verifier
		}
	}
	chain = append(chain, s.apiKey.Unprefixed())
	if len(s.cfg.Introspection) > 0 {
		rules, err := newIntrospectionRules(s.cfg.Introspection)
		if err != nil {
			return nil, err
		}
		opaque, err := s.verifierFor(verifierOpaque, old, rules, func(v *verifierEntry) error { return s.opaqueTokens(v, rules) })
		if err != nil {
			return nil, err
		}
		chain = append(chain, opaque)
	}
	return chain, nil
}

// tokenRules are what the verifier of JWTs is made of.
type tokenRules struct {
	issuers []config.JWT
	own     issuer.Rules
}

// keyRules are the part of the configuration that the verifier of API keys has.
type keyRules struct {
	config.Keys
	opaqueTokens bool
}

// keyCacheFraction is the part of cache.size that is for API keys: one in so many.
// Their store is in memory too, in a form that the garbage collector does not
// scan. A lookup there costs little more than one in a large cache, and the
// collector marks every entry of the cache in each cycle. With 100,000 entries
// that cost a check 2 µs, more than all other work for the key. At saturation the
// slowest of a thousand checks took 16 ms with an eighth of them, and 11 ms with
// this fraction.
const keyCacheFraction = 32

// apiKeys makes the verifier of API keys.
func (s *Snapshot) apiKeys(v *verifierEntry) error {
	principals, err := newCache[*verifier.CachedKey](v, "key", max(1, v.inputs.cache.Size/keyCacheFraction), s.cfg.Cache.TTL)
	if err != nil {
		return err
	}
	v.Verifier, err = verifier.NewAPIKey(verifier.APIKeyConfig{
		Keys: s.stores.keys.records, Hasher: s.stores.keys.hasher, Users: s.stores.userStore(),
		Prefixes: s.cfg.Keys.Prefixes, OpaqueTokens: len(s.cfg.Introspection) > 0, MaxAge: s.cfg.Keys.MaxAge,
		Principals: principals,
	})
	return err
}

// tokens makes the verifier of JWTs.
func (s *Snapshot) tokens(v *verifierEntry) error {
	known, err := newCache[verifier.CachedToken](v, "token", v.inputs.cache.Size, s.cfg.Cache.TTL)
	if err != nil {
		return err
	}
	cfg := verifier.JWTConfig{
		Users: s.stores.userStore(), Revocations: s.stores.revoked(), Tokens: known, Fingerprints: fingerprint.NewHasher(),
		Gate: s.env.gate,
	}
	for i := range s.cfg.JWT {
		t := &s.cfg.JWT[i]
		cfg.Issuers = append(cfg.Issuers, verifier.JWTIssuer{
			Name: t.Name, AuthMethod: t.AuthMethod, Issuer: t.Issuer, Audiences: t.Audiences, Algorithms: t.Algorithms,
			Keys: s.keySources[keySourceIDOf(t)], SubjectClaim: t.SubjectClaim, ScopeClaims: t.ScopeClaims, AudienceClaim: t.AudienceClaim, Claims: claimConditions(t.Claims),
			Leeway: t.Leeway, MaxLifetime: t.MaxLifetime, Users: t.Users, Own: t.Keyward,
			Types: t.Types, OptionalKid: !t.RequireKid, OptionalExp: !t.RequireExp, MaxBytes: t.MaxTokenBytes,
		})
	}
	if clients := s.stores.clientRecords(); clients != nil {
		cfg.Clients = clients
	}
	if s.issuer != nil {
		cfg.Issuers = append(cfg.Issuers, s.issuer.Tokens())
	}
	v.Verifier, err = verifier.NewJWT(cfg)
	return err
}

func claimConditions(claims []config.ClaimValues) []verifier.ClaimConditions {
	conditions := make([]verifier.ClaimConditions, len(claims))
	for i, c := range claims {
		conditions[i] = verifier.ClaimConditions(c)
	}
	return conditions
}

// introspectionRules are what introspection is built from. A changed secret in the
// same file is a changed rule.
type introspectionRules struct {
	servers []config.Introspection
	secrets []authz.Secret
}

func newIntrospectionRules(servers []config.Introspection) (introspectionRules, error) {
	rules := introspectionRules{servers: servers, secrets: make([]authz.Secret, len(servers))}
	for i, server := range servers {
		if server.ClientSecretFile == "" {
			continue
		}
		var err error
		if rules.secrets[i], err = issuerhttp.ReadClientSecret(server.ClientSecretFile); err != nil {
			return introspectionRules{}, fmt.Errorf("introspection %s: client_secret_file: %w", server.Name, err)
		}
	}
	return rules, nil
}

// opaqueTokens makes the verifier of opaque tokens.
func (s *Snapshot) opaqueTokens(v *verifierEntry, rules introspectionRules) error {
	ttl := s.cfg.Cache.TTL
	for _, i := range rules.servers {
		ttl = max(ttl, i.CacheTTL) // each token is cached no longer than it is valid
	}
	known, err := newCache[verifier.CachedGrant](v, "token", v.inputs.cache.Size, ttl)
	if err != nil {
		return err
	}
	inactive, err := newCache[*authz.CredentialError](v, "negative", v.inputs.cache.Size, s.cfg.Cache.NegativeTTL)
	if err != nil {
		return err
	}
	cfg := verifier.IntrospectionConfig{
		Revocations: s.stores.revoked(), Tokens: known, Negative: inactive, Fingerprints: fingerprint.NewHasher(),
	}
	for n, i := range rules.servers {
		server, err := tokensource.NewIntrospector(tokensource.IntrospectorConfig{
			Name: i.Name, URL: i.URL, ClientID: i.ClientID, ClientSecret: rules.secrets[n], Timeout: i.Timeout, Log: s.env.logger,
		})
		if err != nil {
			return fmt.Errorf("introspection %s: %w", i.Name, err)
		}
		v.servers = append(v.servers, server)
		cfg.Sources = append(cfg.Sources, verifier.IntrospectionSource{Name: i.Name, Introspector: server, CacheTTL: i.CacheTTL, Audiences: i.Audiences})
		cfg.Timeout += i.Timeout // the servers are asked one after the other
	}
	v.Verifier, err = verifier.NewIntrospection(cfg)
	return err
}
