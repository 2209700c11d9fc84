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
	"keyward/verifier"
	"keyward/verifier/fingerprint"
	"keyward/verifier/tokensource"
)

var (
	_ verifier.KeySource    = (*tokensource.Remote)(nil)
	_ verifier.KeySource    = (*tokensource.File)(nil)
	_ verifier.Introspector = (*tokensource.Introspector)(nil)
)

// introspection returns a verifier of opaque tokens with a real client of the server at the URL.
func introspection(t *testing.T, url string, timeout time.Duration) *verifier.Introspection {
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
		Sources: []verifier.IntrospectionSource{{Name: "test", CacheTTL: time.Hour,
			Introspector: newIntrospector(t, tokensource.IntrospectorConfig{URL: url, Timeout: timeout})}},
		Timeout:      timeout,
		Fingerprints: fingerprint.NewHasher(), Tokens: tokens, Negative: negative,
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// answer returns the result in one word: the user's name, the reason, or "?" for any other error.
func answer(v *verifier.Introspection, token string) string {
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

// TestTokensWhileTheServerIsUnwell checks that with every fault cached tokens are accepted at
// once, unknown ones are an error soon and cause few requests, and that the verifier recovers.
func TestTokensWhileTheServerIsUnwell(t *testing.T) {
	moods := newFaultServer(t).faults(activeToken)
	moods["dead"] = nil
	for name, mood := range moods {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newFaultServer(t)
			m.set(says(activeToken))
			v := introspection(t, m.url(), 100*time.Millisecond)
			soon(t, "a known token", func() bool { return answer(v, "known") == "alice" })
			switch {
			case name == "hangs":
				m.set(m.hangs)
			case name == "drips":
				m.set(m.drips)
			case mood == nil:
				m.close()
			default:
				m.set(mood)
			}
			if name == "oversize" {
				m.set(says(activeToken + strings.Repeat(" ", 64<<10)))
			}
			before := m.hits.Load()
			within(t, 100*time.Millisecond+slack, "two hundred checks", func() {
				crowd(200, func(i int) {
					if got := answer(v, fmt.Sprint("unknown", i%10)); got != "?" {
						t.Errorf("an unknown token: %s", got)
					}
					if got := answer(v, "known"); got != "alice" {
						t.Errorf("a known token: %s", got)
					}
				})
			})
			limit := int64(200) // a server that responds quickly gets all requests
			switch name {
			case "refuses", "babbles", "hangs", "drips", "500", "500 with a good body", "503", "401", "breaks off", "dead":
				limit = 40 // ten tokens at a time, until the breaker opens
			}
			if n := m.hits.Load() - before; n > limit {
				t.Errorf("%d requests for 200 checks, want at most %d", n, limit)
			}
			if mood == nil {
				m.start()
			}
			m.set(says(activeToken))
			soon(t, "an unknown token", func() bool { return answer(v, "unknown1") == "alice" })
		})
	}
}

// TestHerdAtAWellServer checks that each token causes one request, however many checks there are.
func TestHerdAtAWellServer(t *testing.T) {
	m := newFaultServer(t)
	m.set(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		if strings.HasPrefix(r.Header.Get("Authorization"), "Basic ") {
			says(activeToken)(w, r)
		}
	})
	v := introspection(t, m.url(), 5*slack)
	crowd(200, func(int) {
		if got := answer(v, "t"); got != "alice" {
			t.Errorf("answer %s", got)
		}
	})
	if n := m.hits.Load(); n > 2 { // a check may miss the cache just before the first response, and ask just after it
		t.Errorf("%d requests about one token", n)
	}
	m.set(says(`{"active":false}`))
	before := m.hits.Load()
	crowd(200, func(int) {
		if got := answer(v, "junk"); got != "invalid_token" {
			t.Errorf("answer %s", got)
		}
	})
	if n := m.hits.Load() - before; n > 2 {
		t.Errorf("%d requests about one inactive token", n)
	}
}
