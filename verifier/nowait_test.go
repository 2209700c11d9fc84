package verifier_test

import (
	"context"
	"testing"

	"keyward/authz"
	"keyward/authz/nowait"
	"keyward/internal/records"
	"keyward/verifier"
)

// atOnce is the context of a check that cannot wait.
var atOnce = nowait.Context(context.Background())

func TestTokensAtOnce(t *testing.T) {
	f := newJWTFixture(t, nil)
	for _, token := range []string{f.mint("RS256", nil), f.mint("RS256", map[string]any{"aud": "other"})} {
		if p, reason := verifyToken(f.JWT, atOnce, token, f.now); reason != authz.Unavailable || p != nil {
			t.Errorf("a token that is not known: %s", reason)
		}
	}
	if f.keys.finds.Load() != 0 {
		t.Error("keys were looked for")
	}
	token := f.mint("RS256", nil)
	f.expect(token, authz.OK, "a check that may wait")
	if _, reason := verifyToken(f.JWT, atOnce, token, f.now); reason != authz.OK {
		t.Errorf("a known token: %s", reason)
	}
}

func TestIntrospectionAtOnce(t *testing.T) {
	server := &fakeServer{response: verifier.TokenInfo{Active: true, Subject: "alice"}}
	f := newIntrospectionFixture(t, nil, server)
	if _, reason := f.verify(atOnce, "opaque"); reason != authz.Unavailable || server.calls.Load() != 0 {
		t.Errorf("an unknown token: %s, with %d calls", reason, server.calls.Load())
	}
	f.expect("opaque", authz.OK)
	if _, reason := f.verify(atOnce, "opaque"); reason != authz.OK {
		t.Errorf("a known token: %s", reason)
	}
	server.set(verifier.TokenInfo{}, nil)
	f.expect("inactive", authz.InvalidToken)
	if _, reason := f.verify(atOnce, "inactive"); reason != authz.InvalidToken || server.calls.Load() != 2 {
		t.Errorf("a token known to be inactive: %s, with %d calls", reason, server.calls.Load())
	}
}

func TestPasswordsAtOnce(t *testing.T) {
	f := newBasicFixture(t).withFile().open()
	f.password("alice", "correct horse")
	f.set("alice", records.UserPatch{Scopes: &[]string{"read"}})
	if _, reason := f.loginWith(atOnce, "alice", "correct horse", ""); reason != authz.Unavailable || f.hashes() != 0 {
		t.Errorf("a password that is not known: %s", reason)
	}
	f.expect("alice", "correct horse", authz.OK, 1)
	if _, reason := f.loginWith(atOnce, "alice", "correct horse", ""); reason != authz.OK {
		t.Errorf("a known password: %s", reason)
	}
	f.expect("alice", "wrong", authz.WrongPassword, 1)
	if _, reason := f.loginWith(atOnce, "alice", "wrong", ""); reason != authz.WrongPassword {
		t.Errorf("a password known to be wrong: %s", reason)
	}
}
