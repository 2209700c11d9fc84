package verifier_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keyward/authz"
	"keyward/verifier"
	"keyward/verifier/admission"
)

// oneFailureGate admits one failure, of a client and of all clients together.
func oneFailureGate(c *verifier.JWTConfig, _ *verifier.JWTIssuer) {
	c.Gate = admission.New(admission.Config{Slots: 1, FailedWork: 1e-9, MaxWait: time.Millisecond})
}

// verifyFrom verifies a token that the client at an address presents.
func (f *jwtFixture) verifyFrom(client, token string) authz.Reason {
	f.t.Helper()
	_, err := f.Verify(f.t.Context(), &authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(token), Client: authz.RawAddress(client)}, f.now)
	refusal, refused := errors.AsType[*authz.CredentialError](err)
	switch {
	case err == nil:
		return authz.OK
	case refused:
		return refusal.Reason
	default:
		f.t.Error(err)
		return authz.Internal
	}
}

// TestFailuresAreCharged checks that a bad token whose signature was verified
// is charged to its client and to the budget of all unknown clients. Clients
// whose tokens were valid are still admitted, and cached tokens cost nothing.
func TestFailuresAreCharged(t *testing.T) {
	for name, c := range map[string]struct {
		claims map[string]any
		forge  bool
		want   authz.Reason
	}{
		"forged":                {nil, true, authz.InvalidToken},
		"expired":               {map[string]any{"exp": tokenNow.Unix() - 3600, "iat": nil}, false, authz.ExpiredToken},
		"of another audience":   {map[string]any{"aud": []string{"another"}}, false, authz.InvalidToken},
		"with unfit scopes":     {map[string]any{"scope": []any{"", 5}}, false, authz.InvalidToken},
		"with twice the member": {map[string]any{"nested": 1}, true, authz.InvalidToken},
	} {
		t.Run(name, func(t *testing.T) {
			f := newJWTFixture(t, oneFailureGate)
			known := f.mint("EdDSA", map[string]any{"jti": "known"})
			if got := f.verifyFrom("192.0.2.1", known); got != authz.OK {
				t.Fatal(got)
			}
			bad := func(n int) string {
				changes := map[string]any{"n": n}
				for name, v := range c.claims {
					changes[name] = v
				}
				token := f.mint("EdDSA", changes)
				if c.forge {
					token = token[:len(token)-8] + "AAAAAAAA"
				}
				return token
			}
			for n, want := range []authz.Reason{c.want, authz.RateLimited, authz.RateLimited} {
				if got := f.verifyFrom("198.51.100.1", bad(n)); got != want {
					t.Errorf("number %d: %s, want %s", n, got, want)
				}
			}
			for client, want := range map[string]authz.Reason{
				"198.51.100.1": authz.RateLimited, "203.0.113.1": authz.Overloaded, "192.0.2.1": authz.OK,
			} {
				if got := f.verifyFrom(client, f.mint("EdDSA", map[string]any{"jti": client})); got != want {
					t.Errorf("a good token of %s: %s, want %s", client, got, want)
				}
				if got := f.verifyFrom(client, known); got != authz.OK {
					t.Errorf("a cached token, presented by %s: %s", client, got)
				}
			}
		})
	}
}

// TestUnverifiedTokensAreNotCharged checks that a token that is refused before
// its signature is verified is not charged.
func TestUnverifiedTokensAreNotCharged(t *testing.T) {
	f := newJWTFixture(t, oneFailureGate)
	for _, token := range []string{
		"a.b.c", f.mint("EdDSA", map[string]any{"iss": "another"}), f.mint("EdDSA", map[string]any{"aud": "another"}),
		f.mint("EdDSA", map[string]any{"cnf": map[string]any{"jkt": "x"}}), f.sign(t, "EdDSA", `{"alg":"EdDSA","kid":"another"}`, claims(nil)),
	} {
		for range 3 {
			if got := f.verifyFrom("198.51.100.1", token); got != authz.InvalidToken {
				t.Error(got)
			}
		}
	}
	if got := f.verifyFrom("198.51.100.1", f.mint("EdDSA", nil)); got != authz.OK {
		t.Error(got)
	}
}

// TestInternalErrorsAreNotCharged checks that a genuine token is not charged
// while revocations cannot be looked up.
func TestInternalErrorsAreNotCharged(t *testing.T) {
	list := &revocationList{err: errors.New("not loaded")}
	f := newJWTFixture(t, func(c *verifier.JWTConfig, i *verifier.JWTIssuer) { oneFailureGate(c, i); c.Revocations = list })
	token := f.mint("EdDSA", nil)
	for range 3 {
		if _, got := f.verifyBearer(token); got != authz.Unavailable {
			t.Error(got)
		}
	}
	list.err = nil
	if _, got := f.verifyBearer(token); got != authz.OK {
		t.Error(got)
	}
}

// TestSharedVerificationOverBudget checks that a client that shares the
// verification with one over its budget is not refused for it.
func TestSharedVerificationOverBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newJWTFixture(t, oneFailureGate)
		token := f.mint("EdDSA", nil)
		if got := f.verifyFrom("192.0.2.1", f.mint("EdDSA", map[string]any{"jti": "trusted"})); got != authz.OK {
			t.Error(got)
		}
		_ = f.config.Gate.Do(t.Context(), verifier.ClientOf("198.51.100.1"), 1, func() bool { time.Sleep(time.Millisecond); return false })
		release := make(chan struct{})
		f.keys.beforeFind = func(context.Context) error { <-release; return nil }
		reasons := map[string]chan authz.Reason{"198.51.100.1": make(chan authz.Reason, 1), "192.0.2.1": make(chan authz.Reason, 1)}
		for _, client := range []string{"198.51.100.1", "192.0.2.1"} {
			go func() { reasons[client] <- f.verifyFrom(client, token) }()
			synctest.Wait()
		}
		close(release)
		if got := <-reasons["198.51.100.1"]; got != authz.RateLimited {
			t.Errorf("the client over its budget: %s", got)
		}
		if got := <-reasons["192.0.2.1"]; got != authz.OK {
			t.Errorf("the other client: %s", got)
		}
	})
}

// TestForgedTokenIsParsedInOutline checks that claims are parsed only in
// outline before the signature is verified.
func TestForgedTokenIsParsedInOutline(t *testing.T) {
	f := newJWTFixture(t, nil)
	var list []string
	for n := range 1000 {
		list = append(list, fmt.Sprintf("%02x", n%256))
	}
	for name, scope := range map[string]any{"a list": list, "a text": strings.Join(list, " ")} {
		token := f.mint("EdDSA", map[string]any{"scope": scope})
		forged := token[:len(token)-8] + "AAAAAAAA"
		small := f.mint("EdDSA", nil)
		smallForged := small[:len(small)-8] + "AAAAAAAA"
		allocations := func(token string) float64 {
			return testing.AllocsPerRun(10, func() { f.verifyBearer(token) })
		}
		if few, many := allocations(smallForged), allocations(forged); many > few+10 {
			t.Errorf("scopes in %s: %v allocations, and %v for a short token", name, many, few)
		}
		if _, got := f.verifyBearer(token); got != authz.OK {
			t.Errorf("%s: %s", name, got)
		}
	}
}
