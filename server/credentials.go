package server

import (
	"fmt"
	"os"
	"strings"

	"keyward/authz"
	"keyward/config"
	"keyward/verifier"
	"keyward/verifier/fingerprint"
	"keyward/verifier/tokensource"
)

// The kinds of credential, as a Core names their verifiers.
const (
	kindAPIKey   = "API key"
	kindPassword = "password"
	kindToken    = "JWT"
	kindGrant    = "opaque token"
)

// verifiers makes the chain of credential kinds. Its order is the contract's:
// what a prefix marks as a key is one; then who has three segments is a JWT;
// then keys without a prefix; all else is for the authorization servers.
func (c *Core) verifiers(old *Core) (verifier.Chain, error) {
	keys, err := c.kindOf(kindAPIKey, old, keyRules{c.cfg.Keys, c.cfg.BasicKeyUsernames}, c.apiKeys)
	if err != nil {
		return nil, err
	}
	chain := verifier.Chain{keys}
	if c.cfg.Passwords {
		passwords, err := c.kindOf(kindPassword, old, nil, c.passwords)
		if err != nil {
			return nil, err
		}
		chain = append(chain, passwords)
	}
	if len(c.cfg.JWT) > 0 {
		tokens, err := c.kindOf(kindToken, old, c.cfg.JWT, c.tokens)
		if err != nil {
			return nil, err
		}
		chain = append(chain, tokens)
	}
	chain = append(chain, keys.Verifier.(*verifier.APIKey).Unprefixed())
	if len(c.cfg.Introspection) > 0 {
		rules, err := newGrantRules(c.cfg.Introspection)
		if err != nil {
			return nil, err
		}
		grants, err := c.kindOf(kindGrant, old, rules, func(r *remembered) error { return c.grants(r, rules) })
		if err != nil {
			return nil, err
		}
		chain = append(chain, grants)
	}
	return chain, nil
}

// keyRules are the verifier of API keys' part of the configuration.
type keyRules struct {
	config.Keys
	basicUsers []string
}

// keyCachePart is the part of cache.size that API keys get. Their store is in
// memory too, in a form that the garbage collector need not walk: to look one up
// there costs little more than to find one in a large cache, and what is in the cache
// the collector marks again and again. With 100,000 of them that cost a check 2 µs,
// more than all that is done with the key; with an eighth of that the slowest of a
// thousand checks at saturation took 16 ms, with this part 11.
const keyCachePart = 32

func (c *Core) apiKeys(r *remembered) error {
	principals, err := newCache[*verifier.CachedKey](r, "key", max(1, r.madeOf.cache.Size/keyCachePart), c.cfg.Cache.TTL)
	if err != nil {
		return err
	}
	r.Verifier, err = verifier.NewAPIKey(verifier.APIKeyConfig{
		Keys: c.parts.stores.keys, Hasher: c.parts.stores.hasher, Users: c.parts.stores.userStore(),
		Prefixes: c.cfg.Keys.Prefixes, BasicUsers: c.cfg.BasicKeyUsernames, MaxAge: c.cfg.Keys.MaxAge,
		Principals: principals,
	})
	return err
}

// tokens makes the verifier of JWTs.
func (c *Core) tokens(r *remembered) error {
	known, err := newCache[verifier.CachedToken](r, "token", r.madeOf.cache.Size, c.cfg.Cache.TTL)
	if err != nil {
		return err
	}
	cfg := verifier.JWTConfig{
		Users: c.parts.stores.userStore(), Revocations: c.parts.stores.revoked(), Tokens: known, Fingerprints: fingerprint.NewHasher(),
		Gate: c.parts.gate,
	}
	for i := range c.cfg.JWT {
		t := &c.cfg.JWT[i]
		cfg.Issuers = append(cfg.Issuers, verifier.JWTIssuer{
			Name: t.Name, AuthMethod: t.AuthMethod, Issuer: t.Issuer, Audiences: t.Audiences, Algorithms: t.Algorithms,
			Keys: c.parts.issuers.places[keyPlaceOf(t)], SubjectClaim: t.SubjectClaim, ScopeClaim: t.ScopeClaim,
			Leeway: t.Leeway, MaxLifetime: t.MaxLifetime, Users: t.Users,
		})
	}
	r.Verifier, err = verifier.NewJWT(cfg)
	return err
}

// grantRules are what introspection is made of: another secret in the same file is another rule.
type grantRules struct {
	servers []config.Introspection
	secrets []authz.Secret
}

func newGrantRules(servers []config.Introspection) (grantRules, error) {
	rules := grantRules{servers: servers, secrets: make([]authz.Secret, len(servers))}
	for i, server := range servers {
		if server.ClientSecretFile == "" {
			continue
		}
		text, err := os.ReadFile(server.ClientSecretFile)
		if err != nil {
			return grantRules{}, fmt.Errorf("introspection %s: client_secret_file: %w", server.Name, err)
		}
		rules.secrets[i] = authz.NewSecret(strings.TrimRight(string(text), "\r\n"))
	}
	return rules, nil
}

// grants makes the verifier of opaque tokens.
func (c *Core) grants(r *remembered, rules grantRules) error {
	ttl := c.cfg.Cache.TTL
	for _, i := range rules.servers {
		ttl = max(ttl, i.CacheTTL) // each grant has an end of its own
	}
	known, err := newCache[verifier.CachedGrant](r, "token", r.madeOf.cache.Size, ttl)
	if err != nil {
		return err
	}
	inactive, err := newCache[*authz.CredentialError](r, "negative", r.madeOf.cache.Size, c.cfg.Cache.NegativeTTL)
	if err != nil {
		return err
	}
	cfg := verifier.IntrospectionConfig{
		Revocations: c.parts.stores.revoked(), Tokens: known, Negative: inactive, Fingerprints: fingerprint.NewHasher(),
	}
	for n, i := range rules.servers {
		server, err := tokensource.NewIntrospector(tokensource.IntrospectorConfig{
			Name: i.Name, URL: i.URL, ClientID: i.ClientID, ClientSecret: rules.secrets[n], Timeout: i.Timeout, Log: c.parts.logger,
		})
		if err != nil {
			return fmt.Errorf("introspection %s: %w", i.Name, err)
		}
		r.servers = append(r.servers, server)
		cfg.Sources = append(cfg.Sources, verifier.IntrospectionSource{Name: i.Name, Introspector: server, CacheTTL: i.CacheTTL, Audiences: i.Audiences})
		cfg.Timeout += i.Timeout // they are asked one after the other
	}
	r.Verifier, err = verifier.NewIntrospection(cfg)
	return err
}
