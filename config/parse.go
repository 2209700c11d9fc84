package config

import (
	"fmt"
	"log/slog"

	"go.yaml.in/yaml/v3"

	"keyward/authz/urlpath"
)

// Parse parses data, the content of the named file. The error is always
// Problems, and the Config is nil then.
func Parse(file string, data []byte, getenv func(string) (string, bool)) (*Config, error) {
	d := &decoder{file: file, written: map[*yaml.Node]string{}, reported: map[*yaml.Node]bool{}}
	if len(data) > maxFile {
		d.problem(0, "longer than %d bytes", maxFile)
		return nil, d.problems
	}
	cfg := Default()
	cfg.File = file
	if root := d.document(data, getenv); root != nil {
		d.config(value{root, ""}, cfg)
		d.console(value{root, ""}, cfg)
		d.storeFiles(value{root, ""}, cfg)
		d.warnSharedSubjects(value{root, ""}, cfg)
	}
	cfg.env = envValues(d.written)
	if len(d.problems) > 0 {
		return nil, d.problems.sortedAndHidden(cfg.env)
	}
	cfg.Warnings, cfg.Files = d.warnings.sortedAndHidden(cfg.env), d.namedFiles(cfg)
	return cfg, nil
}

// config reads the document. The order matters if one section depends on
// another: TLS on listeners, credentials on identity headers and both on
// overrides, and routes on the path rules and on the defaults of routes.
func (d *decoder) config(root value, cfg *Config) {
	d.mapping(root, fields{
		{"listen", func(v value) { d.listen(v, &cfg.Listen) }},
		{"tls", func(v value) { d.tls(v, cfg) }},
		{"console", func(v value) { d.consoleSection(v, &cfg.Console, &cfg.Listen) }},
		{"store", func(v value) { d.store(v, &cfg.Store) }},
		{"keys", func(v value) { d.keys(v, &cfg.Keys) }},
		{"users", d.section(fields{{"file", d.filename(&cfg.Users.File)}})},
		{"upstream_overrides", func(v value) { d.upstreamOverrides(v, cfg) }},
		{"identity_headers", func(v value) { d.identityHeaders(v, cfg) }},
		{"credentials", func(v value) { d.credentials(v, cfg) }},
		{"jwt", func(v value) { d.tokens(v, cfg) }},
		{"introspection", func(v value) { d.introspection(v, cfg) }},
		{"paths", func(v value) { d.pathRules(v, &cfg.Paths) }},
		{"errors", func(v value) { choice(d, &cfg.Errors, errorStyles)(v); cfg.Default.Errors = cfg.Errors }},
		{"forward_credentials", func(v value) {
			d.boolean(&cfg.ForwardCredentials)(v)
			cfg.Default.ForwardCredentials = cfg.ForwardCredentials
		}},
		{"default", func(v value) { d.defaultRoute(v, cfg) }},
		{"routes", func(v value) { d.routes(v, cfg) }},
		{"challenge", func(v value) { d.challenge(v, &cfg.Challenge) }},
		{"require_https", d.boolean(&cfg.RequireHTTPS)},
		{"client_address", d.section(fields{{"trusted_hops", d.number(&cfg.ClientAddress.TrustedHops, 0, 100)}})},
		{"cache", func(v value) { d.cache(v, &cfg.Cache) }},
		{"revocations", d.section(fields{{"file", d.filename(&cfg.Revocations.File)}})},
		{"projects", d.section(fields{{"file", d.filename(&cfg.Projects.File)}})},
		{"clients", d.section(fields{{"file", d.filename(&cfg.Clients.File)}})},
		{"usage", d.section(fields{{"file", d.filename(&cfg.Usage.File)}, {"flush", d.duration(&cfg.Usage.Flush, false)}})},
		{"audit", d.section(fields{{"file", d.filename(&cfg.Audit.File)}, {"keep", d.duration(&cfg.Audit.Keep, true)}})},
		{"state", d.section(fields{{"file", d.filename(&cfg.State.File)}})},
		{"rate_limits", func(v value) { d.rateLimits(v, &cfg.RateLimits) }},
		{"trusted_proxies", func(v value) { d.trustedProxies(v, cfg) }},
		{"tracing", func(v value) { d.tracing(v, &cfg.Tracing) }},
		{"log", func(v value) { d.log(v, &cfg.Log) }},
	})
}

func (d *decoder) keys(v value, keys *Keys) {
	d.mapping(v, fields{
		{"file", d.filename(&keys.File)},
		{"prefixes", d.list(&keys.Prefixes, validPrefix)},
		{"pepper_file", d.filename(&keys.PepperFile)},
		{"max_age", d.duration(&keys.MaxAge, true)},
		{"expiry_header", d.boolean(&keys.ExpiryHeader)},
	})
}

func (d *decoder) pathRules(v value, rules *urlpath.Rules) {
	d.mapping(v, fields{
		{"allow", func(list value) { d.each(list, func(element value) { d.pathRule(element, rules) }) }},
		{"case", choice(d, &rules.Case, pathCases)},
	})
}

var pathCases = map[string]urlpath.Case{
	"refuse": urlpath.CaseRefuse, "sensitive": urlpath.CaseSensitive, "insensitive": urlpath.CaseInsensitive,
}

func (d *decoder) pathRule(v value, rules *urlpath.Rules) {
	names := map[string]*bool{
		"semicolon":          &rules.Semicolon,
		"encoded-slash":      &rules.EncodedSlash,
		"encoded-percent":    &rules.EncodedPercent,
		"encoded-unreserved": &rules.EncodedUnreserved,
		"empty-segment":      &rules.EmptySegment,
	}
	var allowed *bool
	if choice(d, &allowed, names)(v); allowed != nil {
		*allowed = true
	}
}

// challenge reads the word none, or a mapping.
func (d *decoder) challenge(v value, c *Challenge) {
	if v.Kind == yaml.ScalarNode {
		if c.None = v.Value == "none"; !c.None {
			d.wrong(v, "none, or a mapping with a realm")
		}
		return
	}
	d.mapping(v, fields{{"realm", d.checked(&c.Realm, validRealm)}})
}

func (d *decoder) cache(v value, c *Cache) {
	d.mapping(v, fields{
		{"size", d.number(&c.Size, 1, 1<<30)},
		{"ttl", d.duration(&c.TTL, false)},
		{"negative_ttl", d.duration(&c.NegativeTTL, false)},
	})
}

func (d *decoder) log(v value, l *Log) {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	d.mapping(v, fields{
		{"level", choice(d, &l.Level, levels)},
		{"format", choice(d, &l.Format, map[string]LogFormat{"json": LogJSON, "text": LogText})},
		{"decisions", choice(d, &l.Decisions, map[string]LoggedDecisions{"denied": LogDenied, "all": LogAll, "none": LogNone})},
		{"denials_per_second", d.number(&l.DenialsPerSecond, 1, 1<<30)},
	})
}

// validRealm accepts what a quoted-string can have without escapes (RFC 9110
// section 5.6.4).
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
