package provider

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyward/config"
	"keyward/manage/oidclogin"
	"keyward/manage/state"
	"keyward/reuse"
)

// TestOpen: a reload keeps the provider, unless something about it has changed.
func TestOpen(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(secret, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	db, other := openState(t), openState(t)
	cfg := config.Console{PublicURL: "https://console.example.com", OIDC: config.OIDC{
		Issuer: "https://idp.example.com", ClientID: "keyward", ClientSecretFile: secret, UserClaim: "sub",
	}}
	var before *reuse.Generation
	var last *oidclogin.Provider
	for _, c := range []struct {
		what   string
		change func()
		kept   bool
	}{
		{"the first", func() {}, false},
		{"nothing", func() {}, true},
		{"what the pages say", func() { cfg.OIDC.Name, cfg.Title = "example.com", "T" }, true},
		{"who becomes a user", func() { cfg.OIDC.CreateUsers = true }, true},
		{"the secret in the file", func() { write("second\n") }, false},
		{"the newline after it", func() { write("second") }, true},
		{"the claim", func() { cfg.OIDC.UserClaim = "email" }, false},
		{"the roles", func() {
			cfg.OIDC.RolesClaim, cfg.OIDC.Roles = "groups", map[string][]string{"admins": {"keyward:admin"}}
		}, false},
		{"what a role gives", func() { cfg.OIDC.Roles = map[string][]string{"admins": {"keyward:read"}} }, false},
		{"the address of the console", func() { cfg.PublicURL = "https://other.example.com" }, false},
		{"where the marks are", func() { db = other }, false},
		{"nothing again", func() {}, true},
	} {
		c.change()
		next := &reuse.Generation{}
		p, err := Open(next, before, &cfg, db)
		if err != nil || p == nil || (p == last) != c.kept {
			t.Fatalf("%s: kept %t, %v", c.what, p == last, err)
		}
		if before != nil {
			_ = before.Release(next)
		}
		before, last = next, p
	}
	_ = before.Release(nil)

	cfg.OIDC.ClientSecretFile += ".missing"
	if _, err := Open(&reuse.Generation{}, nil, &cfg, db); err == nil || !strings.HasPrefix(err.Error(), "console.oidc: client_secret_file: open ") {
		t.Errorf("no file: %v", err)
	}
	write("\n")
	cfg.OIDC.ClientSecretFile = secret
	if _, err := Open(&reuse.Generation{}, nil, &cfg, db); err == nil || !strings.Contains(err.Error(), "client secret is missing") {
		t.Errorf("an empty file: %v", err)
	}
	if p, err := Open(&reuse.Generation{}, nil, &config.Console{}, db); p != nil || err != nil {
		t.Errorf("none: %v, %v", p, err)
	}
}

func openState(t *testing.T) *state.DB {
	t.Helper()
	db, err := state.Open(t.Context(), state.Config{Path: filepath.Join(t.TempDir(), "keyward.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
