package spelling

import (
	"strings"
	"testing"
)

func TestSuggest(t *testing.T) {
	known := []string{"prefixes", "file", "pepper_file", "max_age", "negative_ttl", "ttl"}
	for word, want := range map[string]string{
		"prefix": "prefixes", "fiel": "file", "pepper-file": "pepper_file", "maxage": "max_age", "TTL": "ttl",
		"": "", "zzz": "", "xy": "", strings.Repeat("file", 50): "",
	} {
		if got := Suggest(word, known); got != want {
			t.Errorf("Suggest(%q) = %q, want %q", word, got, want)
		}
	}
}
