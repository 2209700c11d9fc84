package config

import (
	"fmt"
	"log/slog"

	"go.yaml.in/yaml/v3"

	"keyward/authz"
)

// Parse parses data, the content of the named file. The error is always Problems, and the
// Config is nil then.
func Parse(file string, data []byte, getenv func(string) (string, bool)) (*Config, error) {
	r := &reader{file: file, written: map[*yaml.Node]string{}, reported: map[*yaml.Node]bool{}}
	if len(data) > maxFile {
		r.problem(0, "longer than %d bytes", maxFile)
		return nil, r.problems
	}
	cfg := Default()
	cfg.File = file
	if root := r.document(data, getenv); root != nil {
		r.config(value{root, ""}, cfg)
		r.warnOfSubjects(value{root, ""}, cfg)
	}
	cfg.env = envValues(r.written)
	if len(r.problems) > 0 {
		return nil, r.problems.told(cfg.env)
	}
	cfg.Warnings, cfg.Files = r.warnings.told(cfg.env), r.named(cfg)
	return cfg, nil
}

// config reads the document. The order matters if one section depends on another: TLS on
// listeners, credentials on identity headers and both on overrides, and routes on the
// path rules and on the defaults of routes.
func (r *reader) config(root value, cfg *Config) {
	r.mapping(root, fields{
		{"listen", func(v value) { r.listen(v, &cfg.Listen) }},
		{"tls", func(v value) { r.tls(v, cfg) }},
		{"keys", func(v value) { r.keys(v, &cfg.Keys) }},
		{"users", r.section(fields{{"file", r.filename(&cfg.Users.File)}})},
		{"upstream_overrides", func(v value) { r.upstreamOverrides(v, cfg) }},
		{"identity_headers", func(v value) { r.identityHeaders(v, cfg) }},
		{"credentials", func(v value) { r.credentials(v, cfg) }},
		{"jwt", func(v value) { r.tokens(v, cfg) }},
		{"introspection", func(v value) { r.introspection(v, cfg) }},
		{"paths", func(v value) { r.pathRules(v, &cfg.Paths) }},
		{"errors", func(v value) { choice(r, &cfg.Errors, errorStyles)(v); cfg.Default.Errors = cfg.Errors }},
		{"forward_credentials", func(v value) {
			r.boolean(&cfg.ForwardCredentials)(v)
			cfg.Default.ForwardCredentials = cfg.ForwardCredentials
		}},
		{"default", func(v value) { r.fallback(v, cfg) }},
		{"routes", func(v value) { r.routes(v, cfg) }},
		{"challenge", func(v value) { r.challenge(v, &cfg.Challenge) }},
		{"require_https", r.boolean(&cfg.RequireHTTPS)},
		{"client_address", r.section(fields{{"trusted_hops", r.number(&cfg.ClientAddress.TrustedHops, 0, 100)}})},
		{"cache", func(v value) { r.cache(v, &cfg.Cache) }},
		{"revocations", r.section(fields{{"file", r.filename(&cfg.Revocations.File)}})},
		{"usage", r.section(fields{{"file", r.filename(&cfg.Usage.File)}, {"flush", r.duration(&cfg.Usage.Flush, false)}})},
		{"rate_limits", func(v value) { r.rateLimits(v, &cfg.RateLimits) }},
		{"trusted_proxies", func(v value) { r.trustedProxies(v, cfg) }},
		{"tracing", func(v value) { r.tracing(v, &cfg.Tracing) }},
		{"log", func(v value) { r.log(v, &cfg.Log) }},
	})
}

func (r *reader) keys(v value, keys *Keys) {
	r.mapping(v, fields{
		{"file", r.filename(&keys.File)},
		{"prefixes", r.list(&keys.Prefixes, validPrefix)},
		{"pepper_file", r.filename(&keys.PepperFile)},
		{"max_age", r.duration(&keys.MaxAge, true)},
	})
}

func (r *reader) pathRules(v value, rules *authz.PathRules) {
	r.mapping(v, fields{
		{"allow", func(list value) { r.each(list, func(element value) { r.pathRule(element, rules) }) }},
		{"case", choice(r, &rules.Case, pathCases)},
	})
}

var pathCases = map[string]authz.PathCase{
	"refuse": authz.CaseRefuse, "sensitive": authz.CaseSensitive, "insensitive": authz.CaseInsensitive,
}

func (r *reader) pathRule(v value, rules *authz.PathRules) {
	names := map[string]*bool{
		"semicolon":          &rules.Semicolon,
		"encoded-slash":      &rules.EncodedSlash,
		"encoded-percent":    &rules.EncodedPercent,
		"encoded-unreserved": &rules.EncodedUnreserved,
		"empty-segment":      &rules.EmptySegment,
	}
	var allowed *bool
	if choice(r, &allowed, names)(v); allowed != nil {
		*allowed = true
	}
}

// challenge reads the word none, or a mapping.
func (r *reader) challenge(v value, c *Challenge) {
	if v.Kind == yaml.ScalarNode {
		if c.None = v.Value == "none"; !c.None {
			r.wrong(v, "none, or a mapping with a realm")
		}
		return
	}
	r.mapping(v, fields{{"realm", r.checked(&c.Realm, validRealm)}})
}

func (r *reader) cache(v value, c *Cache) {
	r.mapping(v, fields{
		{"size", r.number(&c.Size, 1, 1<<30)},
		{"ttl", r.duration(&c.TTL, false)},
		{"negative_ttl", r.duration(&c.NegativeTTL, false)},
	})
}

func (r *reader) log(v value, l *Log) {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	r.mapping(v, fields{
		{"level", choice(r, &l.Level, levels)},
		{"format", choice(r, &l.Format, map[string]LogFormat{"json": LogJSON, "text": LogText})},
		{"decisions", choice(r, &l.Decisions, map[string]LoggedDecisions{"denied": LogDenied, "all": LogAll, "none": LogNone})},
		{"denials_per_second", r.number(&l.DenialsPerSecond, 1, 1<<30)},
	})
}

// validRealm accepts what a quoted-string can have without escapes (RFC 9110 section 5.6.4).
func validRealm(realm string) error {
	for i := range len(realm) {
		if c := realm[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return fmt.Errorf("a realm is visible ASCII without quote and backslash")
		}
	}
	if realm == "" {
		return fmt.Errorf("a realm can't be empty; write `challenge: none` for no WWW-Authenticate")
	}
	return nil
}
