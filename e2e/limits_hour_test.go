package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestTheGenericAPIsLimits compares the example with its page: 1000 requests an
// hour with an API key, 5000 with OAuth, 2000 with a JWT; the next request of
// the hour is refused. The test controls the clock of Keyward, not that of Envoy's module.
func TestTheGenericAPIsLimits(t *testing.T) {
	program := keywardWithClock(t)
	throughAsking(t, func(t *testing.T, proxy string) { genericAPILimits(t, proxy, program) })
}

func genericAPILimits(t *testing.T, proxy, program string) {
	c, printed := startGenericAPI(t, exampleFile{proxy: proxy, keyward: program})
	tokens := c.genericTokens(c.oauthClient(printed[3]))
	client := c.manyRequests(t)
	now := &clock{s: c.system}
	now.set(time.Now())
	for _, kind := range []struct {
		name, credential string
		limit            int
	}{
		{"api_key", printed[1], 1000},
		{"oauth", tokens["ACCESS"], 5000},
		{"jwt", tokens["JWT"], 2000},
	} {
		before := c.arrived()
		each := time.Hour / time.Duration(kind.limit)
		if n := client.allowed(t, kind.credential, kind.limit); n != kind.limit || c.arrived()-before != n {
			t.Errorf("%s: of the hour's first %d requests %d are allowed, and %d reached the API", kind.name, kind.limit, n, c.arrived()-before)
		}
		refused := client.get(t, kind.credential)
		isGenericRefusal(t, refused, kind.name, kind.limit)
		now.advance(each - time.Microsecond)
		if a := client.get(t, kind.credential); a.status != 429 {
			t.Errorf("%s: a moment before the next one is due: %d", kind.name, a.status)
		}
		now.advance(time.Microsecond)
		for i, status := range []int{200, 429} {
			if a := client.get(t, kind.credential); a.status != status {
				t.Errorf("%s: after %s, request %d: %d, want %d", kind.name, each, i+1, a.status, status)
			}
		}
	}
	// An hour later the bucket is full again.
	now.advance(time.Hour)
	if n := client.allowed(t, printed[1], 1001); n != 1000 {
		t.Errorf("in the next hour %d of 1001 are allowed", n)
	}
}

// isGenericRefusal wants the error of the page, with the headers for clients.
func isGenericRefusal(t *testing.T, a answer, name string, limit int) {
	t.Helper()
	var body struct {
		Error, Message string
		Code           int
		Timestamp      time.Time
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || body.Error != "rate_limit_exceeded" || body.Message != "Too many requests" || body.Code != 429 {
		t.Errorf("%s: body %s (%v)", name, a.body, err)
	}
	wait := (3600 + limit - 1) / limit // seconds, rounded up
	want := quota{
		fmt.Sprintf(`"%s";q=%d;w=3600`, name, limit), fmt.Sprintf(`"%s";r=0;t=3600`, name),
		fmt.Sprint(limit), "0", "3600", fmt.Sprint(wait),
	}
	if got := quotaOf(t, a.header); a.status != 429 || got != want {
		t.Errorf("%s: request after %d: status %d, %+v; want 429, %+v", name, limit, a.status, got, want)
	}
}

// manyRequests is a client that keeps its connections.
type manyRequests struct {
	http.Client
	url string
}

// manyRequests returns a client of the terminal's page.
func (c *terminal) manyRequests(t *testing.T) *manyRequests {
	t.Helper()
	return newManyRequests(t, "https://"+c.proxyAddress()+"/v1/users", c.security())
}

func newManyRequests(t *testing.T, url string, security *tls.Config) *manyRequests {
	transport := &http.Transport{TLSClientConfig: security, MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &manyRequests{http.Client{Transport: transport, Timeout: 20 * time.Second}, url}
}

func (c *manyRequests) get(t *testing.T, credential string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url, nil)
	if err != nil {
		t.Error(err)
		return answer{}
	}
	request.Host = "api.example.com"
	request.Header.Set("Authorization", "Bearer "+credential)
	response, err := c.Do(request)
	if err != nil {
		t.Error(err)
		return answer{}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

// allowed sends that many requests, several at once, and returns how many are
// allowed. The others must be refused by the rate limit.
func (c *manyRequests) allowed(t *testing.T, credential string, requests int) int {
	t.Helper()
	var left, allowed atomic.Int64
	left.Store(int64(requests))
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for left.Add(-1) >= 0 {
				switch a := c.get(t, credential); a.status {
				case 200:
					allowed.Add(1)
				case 429:
				default:
					t.Errorf("status %d: %s", a.status, a.body)
				}
			}
		})
	}
	clients.Wait()
	return int(allowed.Load())
}
