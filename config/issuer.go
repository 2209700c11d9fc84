package config

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"keyward/config/strictyaml"
)

// Issuer configures the tokens that Keyward issues itself.
type Issuer struct {
	URL       string // the iss of its tokens, and where clients find it; an origin
	Audience  string // the aud; "": the URL
	Algorithm string // ES256, RS256 or EdDSA

	// KeysDir is where the signing keys are, without a database. With one, they are in it,
	// encrypted under the secret in KeysSecretFile.
	KeysDir, KeysSecretFile string
	// PublishBefore is how long a key is published before it signs, and RotateEvery how long
	// it signs.
	PublishBefore, RotateEvery time.Duration
	// AccessTTL and RefreshTTL are how long a token is valid.
	AccessTTL, RefreshTTL time.Duration
	// Cookie is the name of the cookie with an access token, for logins that ask for it; "":
	// tokens are in bodies alone.
	Cookie string
}

// Bounds of the issuer's times.
const (
	MaxAccessTTL    = 24 * time.Hour
	longAccessTTL   = time.Hour // beyond which a warning says what it costs
	minPublish      = time.Minute
	minRotation     = time.Hour
	maxIssuerCookie = 64
)

var issuerAlgorithms = []string{"ES256", "RS256", "EdDSA"}

// IssuerAlgorithms are those by which tokens may be signed: keys of the one before stay for a
// while after it was changed.
func IssuerAlgorithms() []string { return slices.Clone(issuerAlgorithms) }

// TokenAudience is the aud of the tokens.
func (i *Issuer) TokenAudience() string { return orText(i.Audience, i.URL) }

func (d *decoder) issuerSection(v strictyaml.Value, i *Issuer, l *Listen) {
	d.Mapping(v, strictyaml.Fields{
		{"url", func(v strictyaml.Value) { d.origin(v, &i.URL) }},
		{"audience", d.Checked(&i.Audience, validOptionalClaim)},
		{"algorithm", strictyaml.Choice(d.Decoder, &i.Algorithm, wordsOf(issuerAlgorithms))},
		{"keys_dir", d.filename(&i.KeysDir)},
		{"keys_secret_file", d.filename(&i.KeysSecretFile)},
		{"publish_before", d.Duration(&i.PublishBefore, false)},
		{"rotate_every", d.Duration(&i.RotateEvery, false)},
		{"access_token_ttl", func(v strictyaml.Value) { d.atMost(&i.AccessTTL, MaxAccessTTL)(v) }},
		{"refresh_token_ttl", d.Duration(&i.RefreshTTL, false)},
		{"cookie", d.Checked(&i.Cookie, validCookieName)},
	})
	switch {
	case i.PublishBefore < minPublish:
		d.Report(v.Line, "issuer.publish_before must be at least %s: each Keyward reads the keys once a minute", "1m")
	case i.RotateEvery < minRotation || i.RotateEvery < 2*i.PublishBefore:
		d.Report(v.Line, "issuer.rotate_every must be at least 1h, and twice as long as publish_before")
	case i.RefreshTTL < i.AccessTTL:
		d.Report(v.Line, "issuer.refresh_token_ttl can't be shorter than access_token_ttl")
	}
	if i.AccessTTL > longAccessTTL {
		d.Warn(v.Line, "issuer.access_token_ttl: other servers that verify the tokens accept them for so long after a logout")
	}
	if l.Issuer == "" {
		d.Warn(v.Line, "issuer: of no effect: that listener is off")
	}
}

// wordsOf are the words of a choice that stand for themselves.
func wordsOf(words []string) map[string]string {
	all := make(map[string]string, len(words))
	for _, word := range words {
		all[word] = word
	}
	return all
}

func validOptionalClaim(text string) error {
	if text == "" {
		return nil
	}
	return validClaimText(text)
}

var errCookieName = errors.New("the name of a cookie has letters, digits, - and _, at most 64, and does not begin with __Host-keyward-")

// validCookieName accepts names that no browser or proxy reads in another way. One with the
// prefix of Keyward's own cookies would be cut from requests.
func validCookieName(name string) error {
	ok := func(r rune) bool {
		return r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	if len(name) > maxIssuerCookie || strings.ContainsFunc(name, func(r rune) bool { return !ok(r) }) || strings.HasPrefix(name, "__") {
		return errCookieName
	}
	return nil
}

// ownIssuer checks what the issuer and its tokens need.
func (d *decoder) ownIssuer(root strictyaml.Value, cfg *Config) {
	for i := range cfg.JWT {
		if cfg.JWT[i].Keyward && (cfg.Users.File == "" || cfg.Clients.File == "" || cfg.Revocations.File == "") {
			d.Report(root.Line, "jwt: keyward: true needs users.file, clients.file and revocations.file: they end the tokens")
			break
		}
	}
	if cfg.Listen.Issuer == "" {
		return
	}
	needs := func(there bool, what string) {
		if !there {
			d.Report(root.Line, "listen.issuer needs %s", what)
		}
	}
	shared := cfg.Store.URL != nil
	const keysDir = "issuer.keys_dir"
	if !shared && !slices.ContainsFunc(d.files, func(f File) bool { return f.Key == keysDir }) {
		d.files = append(d.files, File{Key: keysDir, Path: cfg.Issuer.KeysDir})
	}
	needs(cfg.Issuer.URL != "", "issuer.url")
	needs(cfg.Issuer.KeysDir != "" || shared, "issuer.keys_dir")
	needs(cfg.Users.File != "", "users.file")
	needs(cfg.Revocations.File != "", "revocations.file: it ends the tokens of a logout")
	needs(cfg.Audit.File != "" || shared, "audit.file")
	needs(cfg.State.File != "" || shared, "state.file")
	needs(cfg.Clients.File != "", "clients.file")
	switch {
	case shared && cfg.Issuer.KeysSecretFile == "":
		d.Report(root.Line, "issuer.keys_secret_file is needed with store.url: the signing keys in the database are encrypted under it")
	case !shared && cfg.Issuer.KeysSecretFile != "":
		d.Report(root.Line, "issuer.keys_secret_file is for a database: without store.url the signing keys are in issuer.keys_dir")
	}
	if u, err := url.Parse(cfg.Issuer.URL); cfg.Issuer.URL != "" && !cfg.TLS.Issuer.Enabled() && !isLocal(cfg.Listen.Issuer) && (err != nil || u.Scheme != "https") {
		d.Report(root.Line, "listen.issuer is not a loopback address, so that it needs tls.issuer, or an https issuer.url where a proxy ends TLS: passwords would travel in the clear")
	}
	if slices.ContainsFunc(cfg.JWT, func(t JWT) bool { return t.Issuer == cfg.Issuer.URL }) {
		d.Report(root.Line, "jwt: an entry has the issuer %s, which is issuer.url: its tokens are accepted without an entry", cfg.Issuer.URL)
	}
}

// OwnIssuer reports whether this Keyward issues tokens.
func (c *Config) OwnIssuer() bool { return c.Listen.Issuer != "" }

// OwnTokens reports whether the checks accept tokens of Keyward's own issuer, of this process or
// another one.
func (c *Config) OwnTokens() bool {
	return c.OwnIssuer() || slices.ContainsFunc(c.JWT, func(t JWT) bool { return t.Keyward })
}

// Managing reports whether this Keyward has a listener by which records are changed or tokens
// are issued.
func (l *Listen) Managing() bool { return l.Console != "" || l.Issuer != "" }
