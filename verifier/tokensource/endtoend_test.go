package tokensource_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/cache"
	"keyward/internal/eventually"
	"keyward/verifier"
	"keyward/verifier/fingerprint"
	"keyward/verifier/tokensource"
)

var (
	_ verifier.KeySource    = (*tokensource.Remote)(nil)
	_ verifier.KeySource    = (*tokensource.File)(nil)
	_ verifier.Introspector = (*tokensource.Introspector)(nil)
)

// newIntrospection returns a verifier of opaque tokens with a real client of
// the server at the URL.
func newIntrospection(t *testing.T, url string, timeout time.Duration, audiences ...string) *verifier.Introspection {
	t.Helper()
	tokens, err := cache.New[verifier.CachedGrant](1000, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	negative, err := cache.New[*authz.CredentialError](1000, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	v, err := verifier.NewIntrospection(verifier.IntrospectionConfig{
		Sources: []verifier.IntrospectionSource{{Name: "test", CacheTTL: time.Hour, Audiences: audiences,
			Introspector: newIntrospector(t, tokensource.IntrospectorConfig{URL: url, Timeout: timeout})}},
		Timeout:      timeout,
		Fingerprints: fingerprint.NewHasher(), Tokens: tokens, Negative: negative,
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// resultOf returns the result in one word: the user's name, the reason, or "?"
// for any other error.
func resultOf(v *verifier.Introspection, token string) string {
	p, err := v.Verify(context.Background(), &authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(token)}, time.Now())
	refusal, refused := errors.AsType[*authz.CredentialError](err)
	switch {
	case refused:
		return refusal.Reason.String()
	case err != nil:
		return "?"
	default:
		return p.User
	}
}

// isAccepted returns an error unless the token is alice's.
func isAccepted(v *verifier.Introspection, token string) error {
	if got := resultOf(v, token); got != "alice" {
		return fmt.Errorf("token %q: %s, want alice", token, got)
	}
	return nil
}

// TestTokensDuringServerFaults checks that with every fault cached tokens are
// accepted at once, unknown ones are an error soon and cause few requests, and
// that the verifier recovers.
func TestTokensDuringServerFaults(t *testing.T) {
	faults := newFaultServer(t).faults(activeToken)
	faults["server down"] = nil
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newFaultServer(t)
			m.set(respond(activeToken))
			v := newIntrospection(t, m.url(), 100*time.Millisecond)
			eventually.Succeeds(t, func() error { return isAccepted(v, "known") })
			switch {
			case name == "hang":
				m.set(m.hang)
			case name == "trickle":
				m.set(m.trickle)
			case fault == nil:
				m.close()
			default:
				m.set(fault)
			}
			if name == "oversize" {
				m.set(respond(activeToken + strings.Repeat(" ", 64<<10)))
			}
			before := m.hits.Load()
			returnsWithin(t, 100*time.Millisecond+slack, "two hundred checks", func() {
				concurrently(200, func(i int) {
					if got := resultOf(v, fmt.Sprint("unknown", i%10)); got != "?" {
						t.Errorf("an unknown token: %s", got)
					}
					if got := resultOf(v, "known"); got != "alice" {
						t.Errorf("a known token: %s", got)
					}
				})
			})
			limit := int64(200) // a server that responds quickly gets all requests
			switch name {
			case "closed connection", "garbage", "hang", "trickle", "500", "500 with a good body", "503", "401", "incomplete body", "server down":
				limit = 40 // ten tokens at a time, until the breaker opens
			}
			if n := m.hits.Load() - before; n > limit {
				t.Errorf("%d requests for 200 checks, want at most %d", n, limit)
			}
			if fault == nil {
				m.start()
			}
			m.set(respond(activeToken))
			eventually.Succeeds(t, func() error { return isAccepted(v, "unknown1") })
		})
	}
}

// TestConcurrentChecksOfOneToken checks that each token causes one request,
// however many checks there are.
func TestConcurrentChecksOfOneToken(t *testing.T) {
	m := newFaultServer(t)
	// All checks come while the first one waits, on a busy machine too.
	slowly := func(answer http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(200 * time.Millisecond)
			if strings.HasPrefix(r.Header.Get("Authorization"), "Basic ") {
				answer(w, r)
			}
		}
	}
	m.set(slowly(respond(activeToken)))
	v := newIntrospection(t, m.url(), 5*slack)
	concurrently(200, func(int) {
		if got := resultOf(v, "t"); got != "alice" {
			t.Errorf("answer %s", got)
		}
	})
	if n := m.hits.Load(); n > 2 { // a check may miss the cache just before the first response, and ask just after it
		t.Errorf("%d requests about one token", n)
	}
	m.set(slowly(respond(`{"active":false}`)))
	before := m.hits.Load()
	concurrently(200, func(int) {
		if got := resultOf(v, "junk"); got != "invalid_token" {
			t.Errorf("answer %s", got)
		}
	})
	if n := m.hits.Load() - before; n > 2 {
		t.Errorf("%d requests about one inactive token", n)
	}
}
