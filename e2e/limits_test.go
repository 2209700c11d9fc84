package e2e

import (
	"context"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"keyward/e2e/stack"
)

// quota holds a response's rate limit headers; a missing header is "".
type quota struct{ policy, left, limit, remaining, reset, retryAfter string }

// quotaOf wants each header at most once.
func quotaOf(t *testing.T, h http.Header) quota {
	t.Helper()
	one := func(name string) string {
		if n := len(h.Values(name)); n > 1 {
			t.Errorf("%s occurs %d times", name, n)
		}
		return h.Get(name)
	}
	return quota{
		one("RateLimit-Policy"), one("RateLimit"), one("X-RateLimit-Limit"), one("X-RateLimit-Remaining"), one("X-RateLimit-Reset"), one("Retry-After"),
	}
}

// overLimit wants a denial by that limit. The time to wait depends on how long
// the test took, but is at most the given number of seconds.
func overLimit(t *testing.T, a answer, limit, policy string, seconds int) {
	t.Helper()
	got := quotaOf(t, a.header)
	wait, err := strconv.Atoi(got.retryAfter)
	if a.status != 429 || err != nil || wait < 1 || wait > seconds {
		t.Errorf("status %d, Retry-After %q; want 429, and %d s at most", a.status, got.retryAfter, seconds)
	}
	left := regexp.MustCompile(`^"` + limit + `";r=0;t=` + got.reset + `$`)
	if got.policy != `"`+limit+`";`+policy || !left.MatchString(got.left) || got.remaining != "0" || got.reset == "" {
		t.Errorf("the client gets %+v, want limit %s of %s", got, limit, policy)
	}
}

// TestTooManyIsA429 uses each proxy: the denial with all its headers, and no
// such header where it is not configured.
func TestTooManyIsA429(t *testing.T) { throughProxies(t, tooManyIsA429, overHTTP...) }

func tooManyIsA429(t *testing.T, proxy string) {
	s := newSystem(t, options{proxy: proxy, config: allSources + "rate_limits: {api_key: 2/h}\n"})
	key := s.key("--name", "k")
	s.start()
	for range 2 {
		if a := s.get("/any", bearer(key)); a.status != 200 || quotaOf(t, a.header) != (quota{}) {
			t.Errorf("within the limit: %d %+v", a.status, quotaOf(t, a.header))
		}
	}
	a := s.get("/any", bearer(key))
	overLimit(t, a, "api_key", "q=2;w=3600", 1800)
	if a.reason() != "rate_limited" || s.arrived() != 2 {
		t.Errorf("%s; %d requests reached the upstream", a.body, s.arrived())
	}
	if a := s.request("HEAD", "/any", bearer(key)); a.status != 429 || a.body != "" || a.header.Get("Retry-After") == "" {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
	// A request is only counted if everything else is right, and other clients
	// are not refused.
	if a := s.get("/any", bearer("kw_junk")); a.status != 401 || quotaOf(t, a.header) != (quota{}) {
		t.Errorf("with another key: %d %+v", a.status, quotaOf(t, a.header))
	}
}

// TestWhatIsLeftIsToldOnAllows is about rate_limits.headers: always. Some
// proxies can send a client more headers than the API does; with the others,
// the API does not receive them either.
func TestWhatIsLeftIsToldOnAllows(t *testing.T) {
	throughProxies(t, rateLimitHeadersOnAllows, overHTTP...)
}

func rateLimitHeadersOnAllows(t *testing.T, proxy string) {
	const config = allSources + `
rate_limits: {api_key: 10/h, headers: always}
routes:
- {name: public, path: /public, auth: none}
- {name: search, path: /search, rate: 3/m}
`
	s := newSystem(t, options{proxy: proxy, config: config})
	key := s.key("--name", "k")
	s.start()
	for _, c := range []struct {
		target string
		want   quota
	}{
		{"/any", quota{`"api_key";q=10;w=3600`, `"api_key";r=9;t=360`, "10", "9", "360", ""}},
		{"/search", quota{`"route";q=3;w=60`, `"route";r=2;t=20`, "3", "2", "20", ""}},
		{"/public", quota{}},
	} {
		if proxy == "caddy" || proxy == "traefik" {
			c.want = quota{}
		}
		a := s.get(c.target, bearer(key))
		if got := quotaOf(t, a.header); a.status != 200 || got != c.want {
			t.Errorf("%s: %d, the client gets %+v, want %+v", c.target, a.status, got, c.want)
		}
		if got := a.received(t).Headers; got["ratelimit"] != nil || got["ratelimit-policy"] != nil || got["x-ratelimit-limit"] != nil {
			t.Errorf("%s: the upstream sees the limit: %v", c.target, got)
		}
	}
}

// TestGRPCClientOverItsLimit calls with a real gRPC client, which would retry
// at once on UNAVAILABLE.
func TestGRPCClientOverItsLimit(t *testing.T) { throughProxies(t, grpcClientOverItsLimit) }

func grpcClientOverItsLimit(t *testing.T, proxy string) {
	s := newSystem(t, options{proxy: proxy, config: allSources + "rate_limits: {api_key: 1/h}\n", envoy: speakHTTP2, text: withGRPC(t)})
	key := s.key("--name", "k")
	s.start()
	client, err := grpc.NewClient(stack.Address(s.Ports().Envoy), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	call := func() (*status.Status, []string) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var header, trailer metadata.MD
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
		err := client.Invoke(ctx, "/shop.Orders/Get", &emptypb.Empty{}, &emptypb.Empty{}, grpc.Header(&header), grpc.Trailer(&trailer))
		return status.Convert(err), append(header.Get("retry-after"), trailer.Get("retry-after")...)
	}
	call() // the upstream does not speak gRPC; it only matters that the call reached it
	if s.arrived() != 1 {
		t.Fatalf("%d calls reached the upstream", s.arrived())
	}
	got, retryAfter := call()
	if got.Code() != codes.ResourceExhausted || got.Message() == "" || strings.HasPrefix(got.Message(), "{") || s.arrived() != 1 {
		t.Errorf("%v; %d calls reached the upstream", got, s.arrived())
	}
	if len(retryAfter) != 1 || retryAfter[0] == "" {
		t.Errorf("Retry-After %q", retryAfter)
	}
}
