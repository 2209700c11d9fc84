package config

import (
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"keyward/authz"
	"keyward/config/grammar"
	"keyward/config/strictyaml"
)

// JWT configures the tokens of one issuer.
type JWT struct {
	Name       string
	AuthMethod authz.AuthMethod // JWT, or OAuth for access tokens by RFC 9068
	Issuer     string           // the iss claim, compared byte for byte
	Audiences  []string         // one of them must be in aud; empty: aud is not checked
	Algorithms []string

	// The source of the issuer's keys: one of these, or none for OIDC
	// discovery.
	JWKSURL, JWKSFile, HMACSecretFile string

	// Names of claims, dotted paths or JSON pointers.
	SubjectClaim, AudienceClaim string
	ScopeClaims                 []string // the scopes of all of them are granted
	Claims                      []ClaimValues

	Leeway, MaxLifetime time.Duration
	Users               bool // subjects are users of the users file

	Types         []string // values of typ that are accepted too
	RequireKid    bool     // a token names its key, if several fit
	RequireExp    bool
	MaxTokenBytes int

	// Keyward is an issuer that is another Keyward's, with the same users and clients.
	Keyward bool
}

// UsesDiscovery reports whether the keys are found by OIDC discovery.
func (t *JWT) UsesDiscovery() bool {
	return t.JWKSURL == "" && t.JWKSFile == "" && t.HMACSecretFile == ""
}

// maxIssuers bounds the length of jwt and of introspection.
const maxIssuers = 100

var (
	symmetric  = []string{"HS256", "HS384", "HS512"}
	asymmetric = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)

// tokens reads the list of issuers.
func (d *decoder) tokens(v strictyaml.Value, cfg *Config) {
	lines := map[string]int{}
	d.Each(v, func(element strictyaml.Value) {
		t, ok := d.issuer(element, cfg)
		if !ok {
			return
		}
		d.checkUnique(element, lines, "name", t.Name, "")
		d.checkUnique(element, lines, "issuer", t.Issuer, "; one entry can have several audiences, and several scope claims: scope_claim: [scp, roles]")
		cfg.JWT = append(cfg.JWT, t)
		if t.MaxTokenBytes > defaultTokenBytes {
			cfg.Sources.MaxBytes = max(cfg.Sources.MaxBytes, t.MaxTokenBytes)
		}
	})
	if len(cfg.JWT) > maxIssuers {
		d.Report(v.Line, "%s: more than %d issuers", v.Name, maxIssuers)
	}
}

// checkUnique reports a second element with the same name or issuer, which
// would make tokens and metrics ambiguous. The hint says what to do instead.
func (d *decoder) checkUnique(v strictyaml.Value, lines map[string]int, what, text, hint string) {
	id := what + " " + text
	if first, taken := lines[id]; taken {
		d.Report(v.Line, "%s: the %s is that of line %d already%s", v.Name, what, first, hint)
		return
	}
	lines[id] = v.Line
}

// issuer reads one element of jwt. The caller must not use it if the result is
// false.
func (d *decoder) issuer(v strictyaml.Value, cfg *Config) (JWT, bool) {
	t := JWT{
		Name: "jwt", AuthMethod: authz.AuthMethodJWT, Algorithms: []string{"RS256"}, SubjectClaim: "sub", AudienceClaim: "aud", ScopeClaims: []string{"scope"},
		Leeway: 30 * time.Second, MaxLifetime: 24 * time.Hour, RequireKid: true, RequireExp: true, MaxTokenBytes: defaultTokenBytes,
	}
	before := d.Count()
	kinds := authMethodsByName(func(m authz.AuthMethodInfo) bool {
		return m.Method == authz.AuthMethodJWT || m.Method == authz.AuthMethodOAuth
	})
	d.Mapping(v, strictyaml.Fields{
		{"name", d.Checked(&t.Name, validSourceName)},
		{"kind", strictyaml.Choice(d.Decoder, &t.AuthMethod, kinds)},
		{"issuer", d.Checked(&t.Issuer, validClaimText)},
		{"audiences", d.List(&t.Audiences, validClaimText)},
		{"algorithms", d.List(&t.Algorithms, validAlgorithm)},
		{"jwks_url", d.Checked(&t.JWKSURL, validOptionalURL)},
		{"jwks_file", d.filename(&t.JWKSFile)},
		{"hmac_secret_file", d.filename(&t.HMACSecretFile)},
		{"subject_claim", d.Checked(&t.SubjectClaim, validClaimPath)},
		{"scope_claim", func(v strictyaml.Value) { d.scopeClaims(v, &t.ScopeClaims) }},
		{"audience_claim", d.Checked(&t.AudienceClaim, validClaimPath)},
		{"claims", func(v strictyaml.Value) { d.claimValues(v, &t.Claims) }},
		{"leeway", func(v strictyaml.Value) { d.atMost(&t.Leeway, 5*time.Minute)(v) }},
		{"max_lifetime", d.Duration(&t.MaxLifetime, false)},
		{"users", d.Boolean(&t.Users)},
		{"types", func(v strictyaml.Value) { d.tokenTypes(v, &t) }},
		{"require_kid", d.Boolean(&t.RequireKid)},
		{"require_exp", d.Boolean(&t.RequireExp)},
		{"max_token_bytes", d.Number(&t.MaxTokenBytes, minTokenBytes, maxTokenBytes)},
		{"keyward", d.Boolean(&t.Keyward)},
	})
	if d.Count() > before {
		return t, false
	}
	d.completeIssuer(v, &t, cfg)
	return t, d.Count() == before
}

// completeIssuer checks what the settings of an issuer need of each other.
func (d *decoder) completeIssuer(v strictyaml.Value, t *JWT, cfg *Config) {
	if t.Keyward {
		t.AuthMethod, t.Users, t.Algorithms = authz.AuthMethodOAuth, true, IssuerAlgorithms()
	}
	for _, problem := range append(t.problems(cfg), t.laxProblems()...) {
		d.Report(v.Line, "%s: %s", v.Name, problem)
	}
	for _, warning := range t.laxWarnings() {
		d.Warn(v.Line, "%s: %s", v.Name, warning)
	}
	if len(t.Audiences) == 0 && t.HMACSecretFile == "" { // other APIs' access tokens, and ID tokens
		d.Warn(v.Line, "%s: no audiences: tokens that were made for others are accepted too", v.Name)
	}
	d.warnPlainHTTP(v, t.JWKSURL)
	if t.UsesDiscovery() {
		d.warnPlainHTTP(v, t.Issuer)
	}
}

// problems returns what is wrong with an issuer, considering all its fields.
func (t *JWT) problems(cfg *Config) (all []string) {
	reportIf := func(is bool, text string) {
		if is {
			all = append(all, text)
		}
	}
	places := 0
	for _, place := range []string{t.JWKSURL, t.JWKSFile, t.HMACSecretFile} {
		if place != "" {
			places++
		}
	}
	isSymmetric := func(a string) bool { return slices.Contains(symmetric, a) }
	reportIf(t.Issuer == "", "an issuer is needed: the iss claim of its tokens")
	reportIf(places > 1, "jwks_url, jwks_file and hmac_secret_file exclude each other")
	reportIf(len(t.Algorithms) == 0, "algorithms can't be empty")
	reportIf(t.HMACSecretFile == "" && slices.ContainsFunc(t.Algorithms, isSymmetric),
		"HS256, HS384 and HS512 need hmac_secret_file: a public key is not a secret")
	reportIf(t.HMACSecretFile != "" && !slices.ContainsFunc(t.Algorithms, isSymmetric),
		"with hmac_secret_file the algorithms are among HS256, HS384 and HS512")
	reportIf(t.HMACSecretFile != "" && slices.ContainsFunc(t.Algorithms, func(a string) bool { return !isSymmetric(a) }),
		"with hmac_secret_file no algorithm but HS256, HS384 and HS512 can stand: a secret and a public key are never of one set")
	reportIf(t.Issuer != "" && t.UsesDiscovery() && validURL(t.Issuer) != nil,
		"with none of jwks_url, jwks_file and hmac_secret_file the issuer is asked for its keys and must be an http(s) URL")
	reportIf(t.AuthMethod == authz.AuthMethodOAuth && len(t.Audiences) == 0, "kind oauth needs audiences (RFC 9068 section 4)")
	reportIf(t.Users && !t.Keyward && cfg.Users.File == "", "users: true needs a users file; users.file names none")
	return all
}

// warnPlainHTTP warns about a URL whose responses an attacker on the network
// can forge.
func (d *decoder) warnPlainHTTP(v strictyaml.Value, address string) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" {
		return
	}
	if !isLoopback(u.Hostname()) {
		d.Warn(v.Line, "%s: plain http is not protected: an attacker on the network can have any token accepted; use https", v.Name)
	}
}

// isLoopback reports whether traffic to the host stays on this machine.
func isLoopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

// atMost reads a positive duration with an upper bound.
func (d *decoder) atMost(to *time.Duration, maximum time.Duration) strictyaml.Field {
	return func(v strictyaml.Value) {
		var parsed time.Duration
		if d.Duration(&parsed, false)(v); parsed > maximum {
			d.Wrong(v, "at most "+maximum.String())
		} else if parsed > 0 {
			*to = parsed
		}
	}
}

func validAlgorithm(name string) error {
	if !slices.Contains(asymmetric, name) && !slices.Contains(symmetric, name) {
		return errors.New("an algorithm is one of " + strings.Join(slices.Concat(asymmetric, symmetric), ", "))
	}
	return nil
}

// validSourceName accepts names that are readable as a metric's label.
func validSourceName(name string) error {
	if !grammar.IsWord(name, "-._") || len(name) > 64 {
		return errors.New("a name is 1 to 64 letters, digits and - . _")
	}
	return nil
}

func validClaimText(text string) error {
	if text == "" || len(text) > 255 {
		return errors.New("want 1 to 255 bytes")
	}
	return nil
}

// validOptionalURL accepts a URL, and the empty text for none.
func validOptionalURL(text string) error {
	if text == "" {
		return nil
	}
	return validURL(text)
}

func validURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return errors.New("want an http or https URL with a host, without user and fragment")
	}
	return nil
}
