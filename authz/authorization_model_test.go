package authz

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"keyward/chars"
	"keyward/internal/vectors"
)

// modelSources are the settings of a fuzz target, a bit each.
func modelSources(settings uint8) *CredentialSources {
	on := func(bit int) bool { return settings&(1<<bit) != 0 }
	s := &CredentialSources{BasicKeyAsUser: on(4), BasicLatin1: on(5)}
	s.Schemes = s.Schemes.With(SchemeBearer, on(0)).With(SchemeBasic, on(1) || on(4))
	if on(2) {
		s.TokenSchemes = []string{"Token"}
	}
	if on(3) {
		s.TokenSchemes = append(s.TokenSchemes, "")
	}
	if on(6) {
		s.BasicKeyUsers = []string{"key"}
	}
	if on(7) {
		s.BasicKeyUsers, s.Schemes = []string{AnyUser}, s.Schemes.With(SchemeBasic, true)
	}
	return s
}

var (
	modelScheme = regexp.MustCompile(`^(?i:(bearer|token|basic)) +([0-9A-Za-z._~+/-]+=*)$`)
	modelBare   = regexp.MustCompile(`^[0-9A-Za-z._~+/-]+=*$`)
)

// modelAuthorization is a second reader of Authorization, made of the grammar
// and the text of docs/configuration.md. It returns the credential, nil for a
// value that is not one.
func modelAuthorization(s *CredentialSources, value string) *Credential {
	value = strings.Trim(value, " \t")
	parts := modelScheme.FindStringSubmatch(value)
	if parts == nil {
		name := strings.ToLower(value)
		if !slices.Contains(s.TokenSchemes, "") || !modelBare.MatchString(value) || len(value) > 8192 || name == "bearer" || name == "basic" || name == "token" && slices.Contains(s.TokenSchemes, "Token") {
			return nil
		}
		return &Credential{Scheme: SchemeBearer, Secret: NewSecret(value)}
	}
	token := parts[2]
	if len(token) > 8192 {
		return nil
	}
	switch strings.ToLower(parts[1]) {
	case "bearer":
		if s.Schemes.Contains(SchemeBearer) {
			return &Credential{Scheme: SchemeBearer, Secret: NewSecret(token)}
		}
	case "token":
		if slices.Contains(s.TokenSchemes, "Token") {
			return &Credential{Scheme: SchemeBearer, Secret: NewSecret(token)}
		}
	case "basic":
		if s.Schemes.Contains(SchemeBasic) {
			return modelBasic(s, token)
		}
	}
	return nil
}

func modelBasic(s *CredentialSources, token string) *Credential {
	pair, err := base64.StdEncoding.DecodeString(token)
	if err != nil || base64.StdEncoding.EncodeToString(pair) != token {
		return nil
	}
	text := string(pair)
	if s.BasicLatin1 && !utf8.ValidString(text) {
		runes := make([]rune, len(pair))
		for i, b := range pair {
			runes[i] = rune(b)
		}
		text = string(runes)
	}
	user, password, found := strings.Cut(text, ":")
	isKeyUser := slices.Contains(s.BasicKeyUsers, user) || slices.Contains(s.BasicKeyUsers, "*")
	switch {
	case !found || !chars.IsPlain(text):
		return nil
	case s.BasicKeyAsUser && user != "" && (password == "" || password == "x-oauth-basic"):
		return &Credential{Scheme: SchemeBare, Secret: NewSecret(user)}
	case isKeyUser && password == "":
		return nil
	case isKeyUser:
		return &Credential{Scheme: SchemeBare, Secret: NewSecret(password)}
	case user == "" || len(user) > 255:
		return nil
	default:
		return &Credential{Scheme: SchemeBasic, User: user, Secret: NewSecret(password)}
	}
}

// FuzzAuthorizationModel compares the reader of Authorization with the model,
// under any settings.
func FuzzAuthorizationModel(f *testing.F) {
	basic := func(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }
	for _, v := range vectors.Authorizations(f) {
		for _, h := range v.Headers {
			f.Add(h[1], uint8(0xff))
			f.Add(h[1], uint8(3))
		}
	}
	for _, value := range []string{"Token k", "token  k", "k", "Token", "Bearer", basic("k:"), basic(":k"), basic("key:k"), basic("a:x-oauth-basic"), basic("a:\xe4"), "Token Bearer k", "Token k, k"} {
		for settings := range 256 {
			f.Add(value, uint8(settings))
		}
	}
	f.Fuzz(func(t *testing.T, value string, settings uint8) {
		s := modelSources(settings)
		if !s.ReadsAuthorization() {
			return
		}
		want := modelAuthorization(s, value)
		got, reason := s.parseAuthorization(value)
		switch {
		case (reason == OK) != (want != nil):
			t.Fatalf("%q under %08b: %s, the model has %v", value, settings, reason, want != nil)
		case want != nil && (got.Scheme != want.Scheme || got.User != want.User || got.Secret.Reveal() != want.Secret.Reveal()):
			t.Fatalf("%q under %08b: scheme %d, user %q; the model has scheme %d, user %q", value, settings, got.Scheme, got.User, want.Scheme, want.User)
		}
	})
}

// TestAuthorizationVectorsWithAllSettings runs the vectors again with every
// setting on. The lines that change are listed, with the setting that accepts
// them. No other line may change.
func TestAuthorizationVectorsWithAllSettings(t *testing.T) {
	changed := map[string]int{}
	for _, v := range vectors.Authorizations(t) {
		lax := vectorSources
		lax.TokenSchemes, lax.BasicKeyUsers, lax.BasicKeyAsUser, lax.BasicLatin1 = []string{"Token", "ApiKey", ""}, []string{"haplo"}, true, true
		lax.Headers, lax.Protocol, lax.Query.Credential = []string{"x-api-key", "api-key"}, "key.", []string{"key", "code"}
		var outcomes [2]string
		for i, s := range []*CredentialSources{&vectorSources, &lax} {
			r := Request{Target: v.Target}
			for _, h := range v.Headers {
				r.Headers = append(r.Headers, Header{strings.ToLower(h[0]), h[1]})
			}
			outcomes[i] = readAs(&r, s.read(&r), v.Expect)
		}
		if outcomes[0] != outcomes[1] {
			line := outcomes[0] + " -> " + outcomes[1] + ": " + v.Why
			changed[line]++
			if !slices.Contains(changedByAllSettings, line) {
				t.Errorf("not in the list: %s", line)
			}
		}
	}
	for _, line := range changedByAllSettings {
		if changed[line] == 0 {
			t.Errorf("in the list, and did not change: %s", line)
		}
	}
}

// changedByAllSettings are the lines whose outcome another setting changes. None
// of them gets a credential in that is not presented as the setting says, and
// its verifier has yet to accept it.
var changedByAllSettings = []string{
	// schemes: [""], which takes "Bearer+k" and "Bearer/k" for values without a scheme.
	"deny_malformed -> bearer: plus as space",
	"deny_malformed -> bearer: slash",
	// basic_key_as_username
	"basic -> apikey: empty password parses (Stripe-style key as user only if that option is on); never matches a stored password",
	// basic_charset: iso-8859-1
	"deny_malformed -> basic: user-pass: Latin-1 (RFC 7617: no control characters, UTF-8 only)",
}
