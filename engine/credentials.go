package engine

import (
	"fmt"
	"os"
	"strings"

	"keyward/authz"
	"keyward/config"
	"keyward/reuse"
	"keyward/verifier"
	"keyward/verifier/fingerprint"
	"keyward/verifier/tokensource"
)

// The kinds of credential, as a generation names their verifiers.
const (
	kindAPIKey   = "API key"
	kindPassword = "password"
	kindJWT      = "JWT"
	kindOpaque   = "opaque token"
)

// verifierChain makes the chain of credential kinds. Its order is documented: a
// known prefix marks an API key; then three segments mark a JWT; then come keys
// without a prefix; anything else is for the authorization servers.
func (s *Snapshot) verifierChain(old *reuse.Generation) (verifier.Chain, error) {
	keys, err := s.verifierFor(kindAPIKey, old, keyRules{s.cfg.Keys, s.cfg.BasicKeyUsernames}, s.apiKeys)
	if err != nil {
		return nil, err
	}
	chain := verifier.Chain{keys}
	if s.cfg.Passwords {
		passwords, err := s.verifierFor(kindPassword, old, nil, s.passwords)
		if err != nil {
			return nil, err
		}
		chain = append(chain, passwords)
	}
	if len(s.cfg.JWT) > 0 {
		tokens, err := s.verifierFor(kindJWT, old, s.cfg.JWT, s.tokens)
		if err != nil {
			return nil, err
		}
		chain = append(chain, tokens)
	}
	chain = append(chain, keys.Verifier.(*verifier.APIKey).Unprefixed())
	if len(s.cfg.Introspection) > 0 {
		rules, err := newIntrospectionRules(s.cfg.Introspection)
		if err != nil {
			return nil, err
		}
		opaque, err := s.verifierFor(kindOpaque, old, rules, func(v *verifierEntry) error { return s.opaqueTokens(v, rules) })
		if err != nil {
			return nil, err
		}
		chain = append(chain, opaque)
	}
	return chain, nil
}

// keyRules are the verifier of API keys' part of the configuration.
type keyRules struct {
	config.Keys
	basicUsers []string
}

// 1/keyCacheFraction of cache.size is for API keys. Their store is in
// memory too, in a form that the garbage collector need not walk: to look one up
// there costs little more than to find one in a large cache, and what is in the cache
// the collector marks again and again. With 100,000 of them that cost a check 2 µs,
// more than all that is done with the key; with an eighth of that the slowest of a
// thousand checks at saturation took 16 ms, with this part 11.
const keyCacheFraction = 32

// apiKeys makes the verifier of API keys.
func (s *Snapshot) apiKeys(v *verifierEntry) error {
	principals, err := newCache[*verifier.CachedKey](v, "key", max(1, v.inputs.cache.Size/keyCacheFraction), s.cfg.Cache.TTL)
	if err != nil {
		return err
	}
	v.Verifier, err = verifier.NewAPIKey(verifier.APIKeyConfig{
		Keys: s.stores.keys.records, Hasher: s.stores.keys.hasher, Users: s.stores.userStore(),
		Prefixes: s.cfg.Keys.Prefixes, BasicUsers: s.cfg.BasicKeyUsernames, MaxAge: s.cfg.Keys.MaxAge,
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
			Keys: s.keySources[keySourceIDOf(t)], SubjectClaim: t.SubjectClaim, ScopeClaim: t.ScopeClaim,
			Leeway: t.Leeway, MaxLifetime: t.MaxLifetime, Users: t.Users,
		})
	}
	v.Verifier, err = verifier.NewJWT(cfg)
	return err
}

// introspectionRules are what introspection is built from: another secret in the
// same file is another rule.
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
		text, err := os.ReadFile(server.ClientSecretFile)
		if err != nil {
			return introspectionRules{}, fmt.Errorf("introspection %s: client_secret_file: %w", server.Name, err)
		}
		rules.secrets[i] = authz.NewSecret(strings.TrimRight(string(text), "\r\n"))
	}
	return rules, nil
}

// grants makes the verifier of opaque tokens.
func (s *Snapshot) opaqueTokens(v *verifierEntry, rules introspectionRules) error {
	ttl := s.cfg.Cache.TTL
	for _, i := range rules.servers {
		ttl = max(ttl, i.CacheTTL) // each token has an end of its own
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
		cfg.Timeout += i.Timeout // they are asked one after the other
	}
	v.Verifier, err = verifier.NewIntrospection(cfg)
	return err
}
