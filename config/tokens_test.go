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
