package config

import (
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"keyward/authz"
)

// JWT configures the tokens of one issuer.
type JWT struct {
	Name       string
	AuthMethod authz.AuthMethod // JWT, or OAuth for access tokens by RFC 9068
	Issuer     string           // the iss claim, compared byte for byte
	Audiences  []string         // one of them must be in aud; empty: aud is not checked
	Algorithms []string

	// The source of the issuer's keys: one of these, or none for OIDC discovery.
	JWKSURL, JWKSFile, HMACSecretFile string

	SubjectClaim, ScopeClaim string
	Leeway, MaxLifetime      time.Duration
	Users                    bool // subjects are users of the users file
}

// Introspection configures a server that is queried about opaque tokens (RFC 7662).
type Introspection struct {
	Name                       string
	URL                        string
	Audiences                  []string // one of them must be in aud; empty: aud is not checked
	ClientID, ClientSecretFile string
	CacheTTL, Timeout          time.Duration
}

// Discovered reports whether the keys are found by OIDC discovery.
func (t *JWT) Discovered() bool { return t.JWKSURL == "" && t.JWKSFile == "" && t.HMACSecretFile == "" }

// maxIssuers bounds the length of jwt and of introspection.
const maxIssuers = 100

var (
	symmetric  = []string{"HS256", "HS384", "HS512"}
	asymmetric = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)

// tokens reads the list of issuers.
func (r *reader) tokens(v value, cfg *Config) {
	lines := map[string]int{}
	r.each(v, func(element value) {
		t, ok := r.issuer(element, cfg)
		if !ok {
			return
		}
		r.unlikeOthers(element, lines, "name", t.Name)
		r.unlikeOthers(element, lines, "issuer", t.Issuer)
		cfg.JWT = append(cfg.JWT, t)
	})
	if len(cfg.JWT) > maxIssuers {
		r.problem(v.Line, "%s: more than %d issuers", v.name, maxIssuers)
	}
}

// unlikeOthers reports a second element with the same name or issuer, which would make
// tokens and metrics ambiguous.
func (r *reader) unlikeOthers(v value, lines map[string]int, what, text string) {
	id := what + " " + text
	if first, taken := lines[id]; taken {
		r.problem(v.Line, "%s: the %s is that of line %d already", v.name, what, first)
		return
	}
	lines[id] = v.Line
}

// issuer reads one element of jwt. The caller must not use it if the result is false.
func (r *reader) issuer(v value, cfg *Config) (JWT, bool) {
	t := JWT{
		Name: "jwt", AuthMethod: authz.AuthMethodJWT, Algorithms: []string{"RS256"}, SubjectClaim: "sub", ScopeClaim: "scope",
		Leeway: 30 * time.Second, MaxLifetime: 24 * time.Hour,
	}
	before := len(r.problems)
	kinds := authMethodsByName(func(m authz.AuthMethodInfo) bool {
		return m.Method == authz.AuthMethodJWT || m.Method == authz.AuthMethodOAuth
	})
	r.mapping(v, fields{
		{"name", r.checked(&t.Name, validSourceName)},
		{"kind", choice(r, &t.AuthMethod, kinds)},
		{"issuer", r.checked(&t.Issuer, validClaimText)},
		{"audiences", r.list(&t.Audiences, validClaimText)},
		{"algorithms", r.list(&t.Algorithms, validAlgorithm)},
		{"jwks_url", r.checked(&t.JWKSURL, validURL)},
		{"jwks_file", r.filename(&t.JWKSFile)},
		{"hmac_secret_file", r.filename(&t.HMACSecretFile)},
		{"subject_claim", r.checked(&t.SubjectClaim, validClaimText)},
		{"scope_claim", r.checked(&t.ScopeClaim, validClaimText)},
		{"leeway", func(v value) { r.atMost(&t.Leeway, 5*time.Minute)(v) }},
		{"max_lifetime", r.duration(&t.MaxLifetime, false)},
		{"users", r.boolean(&t.Users)},
	})
	if len(r.problems) > before {
		return t, false
	}
	for _, complaint := range t.complaints(cfg) {
		r.problem(v.Line, "%s: %s", v.name, complaint)
	}
	if len(t.Audiences) == 0 && t.HMACSecretFile == "" { // other APIs' access tokens, and ID tokens
		r.warn(v.Line, "%s: no audiences: tokens that were made for others are accepted too", v.name)
	}
	r.warnPlainHTTP(v, t.JWKSURL)
	if t.Discovered() {
		r.warnPlainHTTP(v, t.Issuer)
	}
	return t, len(r.problems) == before
}

// complaints returns what is wrong with an issuer, considering all its fields.
func (t *JWT) complaints(cfg *Config) (all []string) {
	complain := func(is bool, text string) {
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
	complain(t.Issuer == "", "an issuer is needed: the iss claim of its tokens")
	complain(places > 1, "jwks_url, jwks_file and hmac_secret_file exclude each other")
	complain(len(t.Algorithms) == 0, "algorithms can't be empty")
	complain(t.HMACSecretFile == "" && slices.ContainsFunc(t.Algorithms, isSymmetric),
		"HS256, HS384 and HS512 need hmac_secret_file: a public key is not a secret")
	complain(t.HMACSecretFile != "" && !slices.ContainsFunc(t.Algorithms, isSymmetric),
		"with hmac_secret_file the algorithms are among HS256, HS384 and HS512")
	complain(t.HMACSecretFile != "" && slices.ContainsFunc(t.Algorithms, func(a string) bool { return !isSymmetric(a) }),
		"with hmac_secret_file no algorithm but HS256, HS384 and HS512 can stand: a secret and a public key are never of one set")
	complain(t.Issuer != "" && t.Discovered() && validURL(t.Issuer) != nil,
		"with none of jwks_url, jwks_file and hmac_secret_file the issuer is asked for its keys and must be an http(s) URL")
	complain(t.AuthMethod == authz.AuthMethodOAuth && len(t.Audiences) == 0, "kind oauth needs audiences (RFC 9068 section 4)")
	complain(t.Users && cfg.Users.File == "", "users: true needs a users file; users.file names none")
	return all
}

// introspection reads the list of servers.
func (r *reader) introspection(v value, cfg *Config) {
	lines := map[string]int{}
	r.each(v, func(element value) {
		i := Introspection{Name: "oauth", CacheTTL: 30 * time.Second, Timeout: 150 * time.Millisecond}
		before := len(r.problems)
		var kind authz.AuthMethod
		r.mapping(element, fields{
			{"name", r.checked(&i.Name, validSourceName)},
			{"kind", choice(r, &kind, map[string]authz.AuthMethod{authz.AuthMethodOAuth.String(): authz.AuthMethodOAuth})},
			{"url", r.checked(&i.URL, validURL)},
			{"audiences", r.list(&i.Audiences, validClaimText)},
			{"client_id", r.text(&i.ClientID)},
			{"client_secret_file", r.filename(&i.ClientSecretFile)},
			{"cache_ttl", r.duration(&i.CacheTTL, false)},
			{"timeout", r.atMost(&i.Timeout, 10*time.Second)},
		})
		if len(r.problems) > before {
			return
		}
		switch {
		case i.URL == "":
			r.problem(element.Line, "%s: a url is needed", element.name)
		case (i.ClientID == "") != (i.ClientSecretFile == ""):
			r.problem(element.Line, "%s: client_id and client_secret_file go together", element.name)
		}
		if i.Timeout >= 250*time.Millisecond {
			r.warn(element.Line, "%s: a timeout of %s is not less than the 0.25 s that Envoy waits as envoy.yaml has it", element.name, i.Timeout)
		}
		r.warnPlainHTTP(element, i.URL)
		r.unlikeOthers(element, lines, "name", i.Name)
		cfg.Introspection = append(cfg.Introspection, i)
	})
	if len(cfg.Introspection) > maxIssuers {
		r.problem(v.Line, "%s: more than %d servers", v.name, maxIssuers)
	}
}

// warnPlainHTTP warns about a URL whose responses an attacker on the network can forge.
func (r *reader) warnPlainHTTP(v value, address string) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" {
		return
	}
	if !isLoopback(u.Hostname()) {
		r.warn(v.Line, "%s: plain http is not protected: an attacker on the network can have any token accepted; use https", v.name)
	}
}

// isLoopback reports whether traffic to the host stays on this machine.
func isLoopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

// atMost reads a positive duration with an upper bound.
func (r *reader) atMost(to *time.Duration, most time.Duration) field {
	return func(v value) {
		var d time.Duration
		if r.duration(&d, false)(v); d > most {
			r.wrong(v, "at most "+most.String())
		} else if d > 0 {
			*to = d
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
	if !isWord(name, "-._") || len(name) > 64 {
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

func validURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return errors.New("want an http or https URL with a host, without user and fragment")
	}
	return nil
}
