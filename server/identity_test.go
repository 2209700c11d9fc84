package server_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyward/internal/rawcheck"
	"keyward/internal/recordfile"
	"keyward/internal/records"
	"keyward/store"
	"keyward/store/filestore"
)

// TestSubjectsOfIssuers: alice of one issuer is not alice of another to an
// upstream that gets the issuer.
func TestSubjectsOfIssuers(t *testing.T) {
	issuer, onFile, remote := newAuthServer(t), newSigner(t, "one"), newSigner(t, "one")
	issuer.keys.Store(&remote.set)
	text := strings.ReplaceAll(tokensConfig, "URL", issuer.URL) + "identity_headers: {x-auth-subject: subject, x-auth-issuer: issuer}\n"
	var key string
	r := start(t, text, func(r *running) {
		key = r.create(store.KeyParams{User: "alice"})
		r.write("secret", hmacSecret+"\n")
		r.write("jwks.json", onFile.set)
		r.user("alice", records.UserPatch{})
	})
	for token, want := range map[string]string{
		key: "x-auth-subject: alice",
		signed(t, jwt.NewWithClaims(jwt.SigningMethodHS256, claims("own", "alice")), []byte(hmacSecret)): "x-auth-issuer: own, x-auth-subject: alice",
		onFile.token(t, "one", "file", "alice"):                                                          "x-auth-issuer: file, x-auth-subject: alice",
		remote.token(t, "one", "away", "alice"):                                                          "x-auth-issuer: away, x-auth-subject: alice",
		"opaque-good":                                                                                    "x-auth-issuer: opaque, x-auth-subject: carol", // the server names no issuer
	} {
		r.turns(token, "200 ok")
		answer := r.raw(rawcheck.Request{Method: "GET", Target: "/", Headers: [][2]string{{"authorization", "Bearer " + token}}})
		var told []string
		for _, h := range answer.Response.GetOkResponse().GetHeaders() {
			told = append(told, h.GetHeader().GetKey()+": "+string(h.GetHeader().GetRawValue())+h.GetHeader().GetValue())
		}
		slices.Sort(told)
		if got := strings.Join(told, ", "); got != want {
			t.Errorf("%.10s…: the upstream receives %s, want %s", token, got, want)
		}
	}
}

// TestUserMadeAgain: a running server refuses what a deleted user had, in its
// caches or not, and a revocation reaches tokens of an issuer whose clock is ahead.
func TestUserMadeAgain(t *testing.T) {
	issuer, remote := newAuthServer(t), newSigner(t, "one")
	issuer.keys.Store(&remote.set)
	var key string
	r := start(t, strings.ReplaceAll(tokensConfig, "URL", issuer.URL), func(r *running) {
		key = r.create(store.KeyParams{User: "alice"})
		r.write("secret", hmacSecret+"\n")
		r.write("jwks.json", remote.set)
		r.user("alice", records.UserPatch{})
		r.user("bob", records.UserPatch{})
	})
	mint := func(subject string, ahead time.Duration) string {
		c := claims("own", subject)
		c["iat"], c["jti"] = time.Now().Add(ahead).Unix(), ahead.String()
		return signed(t, jwt.NewWithClaims(jwt.SigningMethodHS256, c), []byte(hmacSecret))
	}
	old, ahead := mint("alice", -time.Minute), mint("alice", 20*time.Second)
	for _, each := range []string{key, old, ahead} {
		r.turns(each, "200 ok")
	}
	if err := recordfile.NewUserFile(filestore.UserFileConfig{Path: r.path("users.jsonl")}, nil).Delete(context.Background(), "alice", "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	next := r.create(store.KeyParams{User: "alice"})
	r.user("alice", records.UserPatch{Scopes: &[]string{"admin"}})
	r.turns(next, "200 ok")
	for each, want := range map[string]string{key: "401 revoked_key", old: "401 revoked_token", ahead: "401 revoked_token"} {
		r.turns(each, want) // the users are followed apart from the keys
	}

	tokens := []string{mint("bob", 0), mint("bob", 5*time.Second), mint("bob", 25*time.Second)}
	for _, token := range tokens {
		r.turns(token, "200 ok")
	}
	if _, err := recordfile.NewRevocationFile(filestore.RevocationFileConfig{Path: r.path("revocations.jsonl")}, nil).RevokeSubject(context.Background(), "bob", time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, token := range tokens {
		r.turns(token, "401 revoked_token")
	}
}
