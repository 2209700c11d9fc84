package config

import (
	"strings"
	"testing"
)

// TestEmptyKeySource: an empty source of keys is as good as an absent one, so
// that discovery applies unless another source is named.
func TestEmptyKeySource(t *testing.T) {
	keys := []string{"jwks_url", "jwks_file", "hmac_secret_file"}
	parse := func(issuer, sources string) (*Config, error) {
		return Parse("f", []byte("jwt: [{issuer: '"+issuer+"', audiences: [api]"+sources+"}]"), noEnv)
	}
	for _, empty := range keys {
		cfg, err := parse("https://id.example.com", ", "+empty+": ''")
		if err != nil || !cfg.JWT[0].UsesDiscovery() {
			t.Errorf("an empty %s: %v, want discovery", empty, err)
		}
		if _, err := parse("a name", ", "+empty+": ''"); err == nil || !strings.Contains(err.Error(), "must be an http(s) URL") {
			t.Errorf("an empty %s, and an issuer that is not a URL: %v", empty, err)
		}
		if empty == "jwks_file" {
			continue
		}
		cfg, err = parse("a name", ", "+empty+": '', jwks_file: keys.json")
		if err != nil || cfg.JWT[0].JWKSFile != "keys.json" {
			t.Errorf("an empty %s and a file: %v", empty, err)
		}
	}
}

// TestWrongUseOfIssuers has what config validate says about settings of an
// issuer that cannot be meant: where, what, and what to do instead.
func TestWrongUseOfIssuers(t *testing.T) {
	long := strings.Repeat("x", 256)
	for settings, want := range map[string]string{
		"subject_claim: /":                                "3: jwt.subject_claim: a JSON pointer has no empty part: write /a/b, without a / at the end or twice in a row",
		"subject_claim: /kubernetes.io/":                  "3: jwt.subject_claim: a JSON pointer has no empty part: write /a/b, without a / at the end or twice in a row",
		"subject_claim: /a~b":                             "3: jwt.subject_claim: in a JSON pointer (RFC 6901) each ~ is followed by 0 or 1: write ~0 for ~, and ~1 for / within a name",
		`subject_claim: "#/a/b"`:                          "3: jwt.subject_claim: write a JSON pointer without the #: /a/b",
		`subject_claim: "$.user.id"`:                      "3: jwt.subject_claim: JSONPath is not supported: write a JSON pointer, /a/b, or a dotted path, a.b",
		`subject_claim: ""`:                               "3: jwt.subject_claim: want the name of a claim, of 1 to 255 bytes",
		"subject_claim: [sub]":                            "3: jwt.subject_claim: want a text, not a list",
		"scope_claim: []":                                 "3: jwt.scope_claim: the list is empty, so no scope would ever be granted; leave it out for the claim scope",
		"scope_claim: [scp, roles, scp]":                  `3: jwt.scope_claim: "scp" is in the list twice; remove one of them`,
		"scope_claim: [scp, /scp]":                        `3: jwt.scope_claim: "/scp" is in the list twice; remove one of them`,
		"scope_claim: [scp, /a/]":                         "3: jwt.scope_claim: a JSON pointer has no empty part: write /a/b, without a / at the end or twice in a row",
		"scope_claim: {scp: roles}":                       "3: jwt.scope_claim: want a claim, or a list of them, not a mapping",
		"audience_claim: client_id":                       "2: jwt: audience_claim needs audiences: the values that the claim may have",
		"audience_claim: [aud, client_id]":                "3: jwt.audience_claim: want a text, not a list",
		"claims: [repository]":                            "3: jwt.claims: want a mapping from claims to lists of values, as {repository: [octo-org/*]}, not a list",
		"claims: {repository: octo-org/a}":                `3: jwt.claims.repository: want a list of values, as ["a", "b/*"], not "octo-org/a"`,
		"claims: {repository: []}":                        "3: jwt.claims.repository: the list is empty, so every token would be refused; write the values that the claim may have, or leave the claim out",
		`claims: {repository: [""]}`:                      "3: jwt.claims.repository: a value has 1 to 255 bytes; * stands for any text",
		"claims: {repository: [" + long + "]}":            "3: jwt.claims.repository: a value has 1 to 255 bytes; * stands for any text",
		"claims: {tenant: [42]}":                          `3: jwt.claims.tenant: want a text; write "42" with its quotes`,
		"claims: {email_verified: [true]}":                `3: jwt.claims.email_verified: want a text; write "true" with its quotes`,
		"claims: {a: [x, y, x]}":                          `3: jwt.claims.a: "x" is in the list twice; remove one of them`,
		"claims: {a: [x], a: [y]}":                        "3: key `a` stands on line 3 already",
		"claims: {a: [x], /a: [y]}":                       `3: jwt.claims: "a" and "/a" are the same claim; write all its values in one list`,
		"claims: {/a/: [x]}":                              "3: jwt.claims: a JSON pointer has no empty part: write /a/b, without a / at the end or twice in a row",
		`claims: {"": [x]}`:                               "3: jwt.claims: want the name of a claim, of 1 to 255 bytes",
		"claims: {iss: [x]}":                              "3: jwt.claims: a condition on iss is not possible: `issuer` is compared with it; each issuer has its own entry",
		"claims: {/exp: [x]}":                             "3: jwt.claims: a condition on exp is not possible: it is a time, which `leeway` and `max_lifetime` bound",
		"types: JOSE":                                     `3: jwt.types: want a list ([] for an empty one), not "JOSE"`,
		"types: [logout+jwt]":                             "3: jwt.types: logout+jwt is a logout token: it is never an access token",
		"types: [application/SECEVENT+JWT]":               "3: jwt.types: secevent+jwt is a security event: it is never an access token",
		"types: [none]":                                   "3: jwt.types: leave it out: with kind jwt a token without typ is accepted, and with kind oauth it never is",
		"types: [a b]":                                    "3: jwt.types: want the name of a media type, as JOSE or vnd.example+jwt",
		`types: [""]`:                                     "3: jwt.types: want the name of a media type, as JOSE or vnd.example+jwt",
		"types: [JOSE, application/jose]":                 `3: jwt.types: "application/jose" is in the list twice; remove one of them`,
		"require_kid: no":                                 `3: jwt.require_kid: want true or false, not "no"`,
		"requir_kid: false":                               "3: unknown key `requir_kid`; did you mean `require_kid`?",
		"require_exp: maybe":                              `3: jwt.require_exp: want true or false, not "maybe"`,
		"require_exp: false, kind: oauth, audiences: [a]": "2: jwt: require_exp: false contradicts kind oauth, for which RFC 9068 section 2.2 requires exp; use kind jwt",
		"max_token_bytes: 64KiB":                          `3: jwt.max_token_bytes: want a whole number from 256 to 65536, not "64KiB"`,
		"max_token_bytes: 100000":                         `3: jwt.max_token_bytes: want a whole number from 256 to 65536, not "100000"`,
		"max_token_bytes: 0":                              `3: jwt.max_token_bytes: want a whole number from 256 to 65536, not "0"`,
		"keyward: true, types: [JOSE], audiences: [a]":    "2: jwt: with keyward: true, leave out require_kid, types and audience_claim: the tokens of a Keyward have all that is required",
	} {
		text := "users: {file: u}\njwt:\n- {" + settings + ", issuer: a, jwks_file: f}\nclients: {file: c}\nrevocations: {file: r}\n"
		want = strings.Replace(want, "2: jwt: ", "3: jwt: ", 1)
		if cfg, err := Parse("f", []byte(text), noEnv); cfg != nil || err == nil || err.Error() != "f:"+want {
			t.Errorf("%s: got\n%v, want\nf:%s", settings, err, want)
		}
	}
}

// TestWarningsAboutIssuers has settings that may not be meant.
func TestWarningsAboutIssuers(t *testing.T) {
	const always = "f:1: jwt: require_exp: false: a token that has neither exp nor iat is accepted until it is revoked, or its key is gone"
	for settings, want := range map[string]string{
		"claims: {sub: ['*']}":                           `f:1: jwt.claims.sub: "*" accepts every value of the claim, so that it need only be there`,
		"claims: {sub: ['repo:octo-org*']}":              `f:1: jwt.claims.sub: "repo:octo-org*" accepts longer names too: end the name in front of * with the character that follows it, such as / or :`,
		"claims: {sub: ['*/octo-repo']}":                 `f:1: jwt.claims.sub: "*/octo-repo" accepts every beginning, such as the names of other owners: write the owner in front of *`,
		"claims: {sub: ['repo:octo-org/*'], a: ['*@b']}": "",
		"types: [JWT]":                                   `f:1: jwt.types: "JWT" is of no effect: it is accepted already`,
		"types: [at+jwt]":                                `f:1: jwt.types: "at+jwt" is of no effect: it is accepted already`,
		"types: [JWT], kind: oauth":                      `f:1: jwt.types: "JWT" accepts ID tokens too, if the issuer makes some for these audiences`,
		"types: [JOSE, x-jwt]":                           "",
		"require_exp: false":                             always,
		"require_kid: false":                             "",
		"max_token_bytes: 65536":                         "",
	} {
		cfg, err := Parse("f", []byte("jwt: [{"+settings+", issuer: a, jwks_file: f, audiences: [api]}]"), noEnv)
		if err != nil {
			t.Errorf("%s: %v", settings, err)
		} else if got := cfg.Warnings.Error(); got != want {
			t.Errorf("%s: got %q, want %q", settings, got, want)
		}
	}
	cfg, err := Parse("f", []byte("jwt: [{issuer: a, hmac_secret_file: f, algorithms: [HS256], require_kid: false}]"), noEnv)
	if err != nil || cfg.Warnings.Error() != "f:1: jwt: require_kid: false is of no effect with hmac_secret_file: a secret has no kid" {
		t.Errorf("%v, %v", cfg, err)
	}
}

// TestLongestToken: a credential may be as long as the longest token, and never
// shorter than by default.
func TestLongestToken(t *testing.T) {
	for lengths, want := range map[[2]string]int{{"8192", "8192"}: 0, {"300", "8192"}: 0, {"20000", "300"}: 20000, {"20000", "65536"}: 65536} {
		cfg, err := Parse("f", []byte("jwt: [{name: a, issuer: a, jwks_file: f, max_token_bytes: "+lengths[0]+"}, {name: b, issuer: b, jwks_file: f, max_token_bytes: "+lengths[1]+"}]"), noEnv)
		if err != nil || cfg.Sources.MaxBytes != want {
			t.Errorf("%v: %+v, %v", lengths, cfg, err)
		}
	}
}
