package server_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/internal/rawcheck"
	"keyward/internal/records"
	"keyward/store"
)

func (r *running) basic(user, password string) string {
	r.t.Helper()
	header := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	for range 20 {
		got := r.raw(rawcheck.Request{Method: "GET", Target: "/", Headers: [][2]string{{"authorization", header}}}).String()
		if got != "503 overloaded" { // a busy machine hashes slowly; the outcome is kept for the next request
			return got
		}
		time.Sleep(100 * time.Millisecond)
	}
	return "503 overloaded, for two seconds"
}

// TestPasswords: a right password gets in, from the cache too, and what ends it ends it at once.
func TestPasswords(t *testing.T) {
	secret := func(text string) *authz.Secret { s := authz.NewSecret(text); return &s }
	text := baseConfig + "users: {file: DIR/users.jsonl}\ncredentials: {basic: true, basic_key_usernames: [haplo]}\n"
	r := start(t, text, func(r *running) {
		r.create(store.KeyParams{})
		r.user("alice", records.UserPatch{Password: secret("swordfish")})
	})
	for _, each := range []struct{ user, password, want string }{
		{"alice", "swordfish", "200 ok"},
		{"alice", "swordfish", "200 ok"},
		{"alice", "Swordfish", "401 wrong_password"},
		{"alice", "", "401 wrong_password"},
		{"alice", strings.Repeat("x", 73), "401 wrong_password"},
		{"unknown", "swordfish", "401 wrong_password"},
		{"haplo", "swordfish", "401 invalid_token"}, // a key, and none
	} {
		if got := r.basic(each.user, each.password); got != each.want {
			t.Errorf("%s:%s: %s, want %s", each.user, each.password, got, each.want)
		}
	}
	key := r.create(store.KeyParams{User: "alice"})
	r.turns(key, "200 ok")
	yes, no := true, false
	for _, change := range []struct {
		patch       records.UserPatch
		old, fresh  string
		keys, about string
	}{
		{records.UserPatch{Disabled: &yes}, "401 disabled_user", "401 wrong_password", "401 disabled_user", "disabled"},
		{records.UserPatch{Disabled: &no}, "200 ok", "401 wrong_password", "200 ok", "enabled"},
		{records.UserPatch{Password: secret("marlin")}, "401 wrong_password", "200 ok", "200 ok", "another password"},
	} {
		r.user("alice", change.patch)
		start := time.Now()
		for r.basic("alice", "swordfish") != change.old {
			if time.Since(start) > 5*time.Second {
				t.Fatalf("%s: the old password is still %s", change.about, r.basic("alice", "swordfish"))
			}
		}
		if got := r.basic("alice", "marlin"); got != change.fresh {
			t.Errorf("%s: the new password is %s", change.about, got)
		}
		if got := r.bearer(key); got != change.keys {
			t.Errorf("%s: the key is %s", change.about, got)
		}
	}
	// A reload forgets no password that is right.
	r.configure(text + "require_https: false\n")
	r.reload <- struct{}{}
	r.reload <- struct{}{}
	before := time.Now()
	if got := r.basic("alice", "marlin"); got != "200 ok" || time.Since(before) > time.Second {
		t.Errorf("after a reload: %s after %s", got, time.Since(before))
	}
	metrics := body(r.get("/metrics"))
	if !strings.Contains(metrics, "keyward_password_hashes_in_flight 0") || !strings.Contains(metrics, `keyward_cache_entries{cache="password"} 2`) {
		t.Errorf("metrics: %s", metrics)
	}
}
