package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestShown: the text of a file is shown without passwords and values of the environment.
func TestShown(t *testing.T) {
	const file = `# the password: hunter2-hunter2, and secret = "hunter2 too"
keys: {file: keys.jsonl, pepper_file: /run/secrets/pepper}
users: {file: users.jsonl}
revocations: {file: revocations.jsonl}
store: {url: "postgres://keyward@db.example.com/keyward?sslmode=verify-full", password_file: /run/secrets/database}
rate_limits: {store: "rediss://default:hunter2@redis.example.com:6379/0"}
jwt:
- {issuer: "https://login.example.com", audiences: [api], algorithms: [HS256], hmac_secret_file: "${HMAC_FILE}"}
`
	path := filepath.Join(t.TempDir(), "keyward.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(path, func(name string) (string, bool) { return "/run/secrets/hunter2", name == "HMAC_FILE" })
	if err != nil {
		t.Fatal(err)
	}
	shown := cfg.Shown()
	if strings.Contains(shown, "hunter2") {
		t.Errorf("it has a secret:\n%s", shown)
	}
	for _, kept := range []string{"pepper_file: /run/secrets/pepper", "postgres://…@db.example.com/keyward?sslmode=verify-full", "rediss://…@redis.example.com:6379/0", `hmac_secret_file: "${HMAC_FILE}"`, "password_file: /run/secrets/database", "https://login.example.com"} {
		if !strings.Contains(shown, kept) {
			t.Errorf("it lacks %q:\n%s", kept, shown)
		}
	}
	for text, want := range map[string]string{
		"url: postgres://db/keyward?password=hunter2&x=1":  "url: postgres://db/keyward?password=…&x=1",
		"{password: 'hun ter2', a: 1}":                     "{password: …, a: 1}",
		"https://user:hunter2@a.example https://b.example": "https://…@a.example https://b.example",
		"a: b": "a: b",
	} {
		if got := (&Config{text: text}).Shown(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if Default().Shown() != "" {
		t.Error("the defaults have a text")
	}
}
