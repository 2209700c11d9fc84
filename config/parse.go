package config

import (
	"fmt"
	"log/slog"
	"time"

	"go.yaml.in/yaml/v3"

	"keyward/authz/urlpath"
	"keyward/config/strictyaml"
)

// Parse parses data, the content of the named file. The error is always
// Problems, and the Config is nil then.
func Parse(file string, data []byte, getenv func(string) (string, bool)) (*Config, error) {
	d := &decoder{Decoder: strictyaml.New(file)}
	if len(data) > maxFile {
		d.Report(0, "longer than %d bytes", maxFile)
		problems, _, _ := d.Found()
		return nil, problems
	}
	cfg := Default()
	cfg.File = file
	if root := d.Document(data, getenv); root != nil {
		d.config(strictyaml.Value{Node: root}, cfg)
		d.console(strictyaml.Value{Node: root}, cfg)
		d.ownIssuer(strictyaml.Value{Node: root}, cfg)
		d.storeFiles(strictyaml.Value{Node: root}, cfg)
		d.warnSharedSubjects(strictyaml.Value{Node: root}, cfg)
	}
	problems, warnings, env := d.Found()
	if len(problems) > 0 {
		return nil, problems
	}
	cfg.env, cfg.Warnings, cfg.Files = env, warnings, d.namedFiles(cfg)
	cfg.ResourceDocuments = cfg.ResourceMetadata.Describe(cfg.Routes, &cfg.Default)
	return cfg, nil
}

// decoder reads a configuration, and keeps the files that it names in the order in which they
// were read.
type decoder struct {
	*strictyaml.Decoder
	files []File
}

// Problem is one mistake and its location.
type Problem = strictyaml.Problem

// Problems are all mistakes in a file, by line. As an error it is never empty, and has one
// line per problem.
type Problems = strictyaml.Problems

// ParseDuration parses what time.ParseDuration does, and an integer with "d" for days of 24
// hours.
func ParseDuration(text string) (time.Duration, error) { return strictyaml.ParseDuration(text) }

// config reads the document. The order matters if one section depends on
// another: TLS on listeners, credentials on identity headers and both on
// overrides, resource metadata on credentials and issuers, and routes on that,
// on the path rules and on the defaults of routes.
func (d *decoder) config(root strictyaml.Value, cfg *Config) {
	d.Mapping(root, strictyaml.Fields{
		{"listen", func(v strictyaml.Value) { d.listen(v, &cfg.Listen) }},
		{"tls", func(v strictyaml.Value) { d.tls(v, cfg) }},
		{"console", func(v strictyaml.Value) { d.consoleSection(v, &cfg.Console, &cfg.Listen) }},
		{"issuer", func(v strictyaml.Value) { d.issuerSection(v, &cfg.Issuer, &cfg.Listen) }},
		{"store", func(v strictyaml.Value) { d.store(v, &cfg.Store) }},
		{"keys", func(v strictyaml.Value) { d.keys(v, &cfg.Keys) }},
		{"users", d.Section(strictyaml.Fields{{"file", d.filename(&cfg.Users.File)}})},
		{"upstream_overrides", func(v strictyaml.Value) { d.upstreamOverrides(v, cfg) }},
		{"identity_headers", func(v strictyaml.Value) { d.identityHeaders(v, cfg) }},
		{"credentials", func(v strictyaml.Value) { d.credentials(v, cfg) }},
		{"jwt", func(v strictyaml.Value) { d.tokens(v, cfg) }},
		{"introspection", func(v strictyaml.Value) { d.introspection(v, cfg) }},
		{"resource_metadata", func(v strictyaml.Value) { d.resourceMetadata(v, cfg) }},
		{"paths", func(v strictyaml.Value) { d.pathRules(v, &cfg.Paths) }},
		{"errors", func(v strictyaml.Value) {
			strictyaml.Choice(d.Decoder, &cfg.Errors, errorStyles)(v)
			cfg.Default.Errors = cfg.Errors
		}},
		{"forward_credentials", func(v strictyaml.Value) {
			d.Boolean(&cfg.ForwardCredentials)(v)
			cfg.Default.ForwardCredentials = cfg.ForwardCredentials
		}},
		{"default", func(v strictyaml.Value) { d.defaultRoute(v, cfg) }},
		{"routes", func(v strictyaml.Value) { d.routes(v, cfg) }},
		{"challenge", func(v strictyaml.Value) { d.challenge(v, &cfg.Challenge) }},
		{"require_https", d.Boolean(&cfg.RequireHTTPS)},
		{"client_address", d.Section(strictyaml.Fields{{"trusted_hops", d.Number(&cfg.ClientAddress.TrustedHops, 0, 100)}})},
		{"cache", func(v strictyaml.Value) { d.cache(v, &cfg.Cache) }},
		{"revocations", d.Section(strictyaml.Fields{{"file", d.filename(&cfg.Revocations.File)}})},
		{"projects", d.Section(strictyaml.Fields{{"file", d.filename(&cfg.Projects.File)}})},
		{"clients", d.Section(strictyaml.Fields{{"file", d.filename(&cfg.Clients.File)}})},
		{"usage", d.Section(strictyaml.Fields{{"file", d.filename(&cfg.Usage.File)}, {"flush", d.Duration(&cfg.Usage.Flush, false)}})},
		{"audit", d.Section(strictyaml.Fields{{"file", d.filename(&cfg.Audit.File)}, {"keep", d.Duration(&cfg.Audit.Keep, true)}})},
		{"state", d.Section(strictyaml.Fields{{"file", d.filename(&cfg.State.File)}})},
		{"rate_limits", func(v strictyaml.Value) { d.rateLimits(v, &cfg.RateLimits) }},
		{"trusted_proxies", func(v strictyaml.Value) { d.trustedProxies(v, cfg) }},
		{"tracing", func(v strictyaml.Value) { d.tracing(v, &cfg.Tracing) }},
		{"log", func(v strictyaml.Value) { d.log(v, &cfg.Log) }},
	})
}

func (d *decoder) keys(v strictyaml.Value, keys *Keys) {
	d.Mapping(v, strictyaml.Fields{
		{"file", d.filename(&keys.File)},
		{"prefixes", d.List(&keys.Prefixes, validPrefix)},
		{"pepper_file", d.filename(&keys.PepperFile)},
		{"max_age", d.Duration(&keys.MaxAge, true)},
		{"expiry_header", d.Boolean(&keys.ExpiryHeader)},
	})
}

func (d *decoder) pathRules(v strictyaml.Value, rules *urlpath.Rules) {
	d.Mapping(v, strictyaml.Fields{
		{"allow", func(list strictyaml.Value) {
			d.Each(list, func(element strictyaml.Value) { d.pathRule(element, rules) })
		}},
		{"case", strictyaml.Choice(d.Decoder, &rules.Case, pathCases)},
	})
}

var pathCases = map[string]urlpath.Case{
	"refuse": urlpath.CaseRefuse, "sensitive": urlpath.CaseSensitive, "insensitive": urlpath.CaseInsensitive,
}

func (d *decoder) pathRule(v strictyaml.Value, rules *urlpath.Rules) {
	if word := urlpath.WordFor(v.Value); word != "" && d.Written(v) == "" {
		d.Wrong(v, "the word that allows it, "+word)
		return
	}
	var allowed *bool
	if strictyaml.Choice(d.Decoder, &allowed, rules.Words())(v); allowed != nil {
		*allowed = true
	}
}

// challenge reads the word none, or a mapping.
func (d *decoder) challenge(v strictyaml.Value, c *Challenge) {
	if v.Kind == yaml.ScalarNode {
		if c.None = v.Value == "none"; !c.None {
			d.Wrong(v, "none, or a mapping with a realm")
		}
		return
	}
	d.Mapping(v, strictyaml.Fields{{"realm", d.Checked(&c.Realm, validRealm)}})
}

func (d *decoder) cache(v strictyaml.Value, c *Cache) {
	d.Mapping(v, strictyaml.Fields{
		{"size", d.Number(&c.Size, 1, 1<<30)},
		{"ttl", d.Duration(&c.TTL, false)},
		{"negative_ttl", d.Duration(&c.NegativeTTL, false)},
	})
}

func (d *decoder) log(v strictyaml.Value, l *Log) {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	d.Mapping(v, strictyaml.Fields{
		{"level", strictyaml.Choice(d.Decoder, &l.Level, levels)},
		{"format", strictyaml.Choice(d.Decoder, &l.Format, map[string]LogFormat{"json": LogJSON, "text": LogText})},
		{"decisions", strictyaml.Choice(d.Decoder, &l.Decisions, map[string]LoggedDecisions{"denied": LogDenied, "all": LogAll, "none": LogNone})},
		{"denials_per_second", d.Number(&l.DenialsPerSecond, 1, 1<<30)},
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
