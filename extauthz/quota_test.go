package extauthz

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"keyward/authz"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"
)

var (
	deniedQuota = authz.Quota{
		Name: "api_key", Rate: authz.Rate{Count: 1000, Period: time.Hour, Burst: 50}, Refused: true,
		Limit: 50, RetryAfter: 1200 * time.Millisecond, ResetAfter: 179 * time.Second,
	}
	allowedQuota = authz.Quota{
		Name: "api_key", Rate: authz.Rate{Count: 1000, Period: time.Hour, Burst: 50}, Limit: 50, Remaining: 49, ResetAfter: 3600 * time.Millisecond,
	}
)

// quotaNames are the names of the quota headers, as Envoy and net/http have
// them.
var quotaNames = []string{"ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after"}

// quotaValues returns the values of the quota headers in that order, with a
// dash for an absent one.
func quotaValues(get func(name string) string) string {
	var all []string
	for _, name := range quotaNames {
		value := get(name)
		if value == "" {
			value = "-"
		}
		all = append(all, value)
	}
	return strings.Join(all, " ")
}

const (
	deniedValues  = `"api_key";r=0;t=179 "api_key";q=1000;w=3600 50 0 179 2`
	allowedValues = `"api_key";r=49;t=4 "api_key";q=1000;w=3600 50 49 4 -`
	noValues      = "- - - - - -"
)

func optionValue(options []*corev3.HeaderValueOption) func(string) string {
	return func(name string) string { return header(options, name) }
}

// TestQuotaHeaders checks that seconds are rounded up, and that a denial never
// allows a retry at once.
func TestQuotaHeaders(t *testing.T) {
	quota := func(after, reset time.Duration) authz.Quota {
		q := deniedQuota
		q.RetryAfter, q.ResetAfter = after, reset
		return q
	}
	for _, test := range []struct {
		q             authz.Quota
		retry, resets string
	}{
		{quota(0, 0), "1", "0"},
		{quota(1, 1), "1", "1"},
		{quota(time.Second-1, time.Second), "1", "1"},
		{quota(time.Second, time.Second+1), "1", "2"},
		{quota(time.Second+1, time.Minute), "2", "60"},
		{quota(366*24*time.Hour, 366*24*time.Hour), "31622400", "31622400"},
		{allowedQuota, "", "4"},
	} {
		headers := quotaHeaders(nil, &test.q)
		retry, reset := headerValueOf(headers, "retry-after"), headerValueOf(headers, "x-ratelimit-reset")
		if retry != test.retry || reset != test.resets || !strings.HasSuffix(headerValueOf(headers, "ratelimit"), ";t="+test.resets) {
			t.Errorf("%s and %s: %v", test.q.RetryAfter, test.q.ResetAfter, headers)
		}
	}
	if headers := quotaHeaders(nil, &authz.Quota{Refused: true, RetryAfter: time.Minute}); len(headers) > 0 {
		t.Errorf("without a limit: %v", headers)
	}
}

// TestRateLimitedOverGRPC checks that every style has the headers of the limit,
// and that a denial that no limit caused has none.
func TestRateLimitedOverGRPC(t *testing.T) {
	for _, style := range authz.ErrorStyles() {
		d := &authz.Decision{Reason: authz.RateLimited, ID: "x", Route: &authz.Route{Errors: style}, Quota: deniedQuota}
		response := checkResponse(t, &authz.Request{}, d).GetDeniedResponse()
		if got := quotaValues(optionValue(response.GetHeaders())); response.GetStatus().GetCode() != 429 || got != deniedValues {
			t.Errorf("style %s: %d %s", style, response.GetStatus().GetCode(), got)
		}
		d.Quota = authz.Quota{} // as for a denial of the password pool
		response = checkResponse(t, &authz.Request{}, d).GetDeniedResponse()
		if got := quotaValues(optionValue(response.GetHeaders())); response.GetStatus().GetCode() != 429 || got != noValues {
			t.Errorf("style %s, without a limit: %d %s", style, response.GetStatus().GetCode(), got)
		}
	}
}

// TestRateLimitedGRPCClients checks that a gRPC client gets the status for its
// library beside the other headers.
func TestRateLimitedGRPCClients(t *testing.T) {
	r := &authz.Request{Headers: []authz.Header{{Name: "content-type", Value: "application/grpc"}}}
	d := &authz.Decision{Reason: authz.RateLimited, ID: "x", Route: &authz.Route{}, Quota: deniedQuota}
	response := checkResponse(t, r, d).GetDeniedResponse()
	if got := quotaValues(optionValue(response.GetHeaders())); got != deniedValues || header(response.GetHeaders(), "grpc-status") != "8" {
		t.Errorf("%s, grpc-status %q", got, header(response.GetHeaders(), "grpc-status"))
	}
	d.Quota = authz.Quota{}
	response = checkResponse(t, r, d).GetDeniedResponse()
	if got := quotaValues(optionValue(response.GetHeaders())); got != noValues || header(response.GetHeaders(), "grpc-status") != "8" {
		t.Errorf("without a limit: %s, grpc-status %q", got, header(response.GetHeaders(), "grpc-status"))
	}
}

// TestQuotaOnAllow checks that an allow has the headers for the client if the
// operator has enabled them, and never for the upstream.
func TestQuotaOnAllow(t *testing.T) {
	d := &authz.Decision{Reason: authz.OK, Set: []authz.Header{{Name: "x-auth-subject", Value: "alice"}}, Quota: allowedQuota}
	for _, test := range []struct {
		on   bool
		q    authz.Quota
		want string
	}{{true, allowedQuota, allowedValues}, {false, allowedQuota, noValues}, {true, authz.Quota{}, noValues}} {
		d.Quota = test.q
		says := Renderer{Challenge: challenge, Now: time.Now, QuotaOnAllow: test.on}
		response := new(authv3.CheckResponse)
		if err := proto.Unmarshal(says.appendCheckResponse(nil, &authz.Request{}, d), response); err != nil {
			t.Fatal(err)
		}
		ok := response.GetOkResponse()
		if got := quotaValues(optionValue(ok.GetResponseHeadersToAdd())); got != test.want {
			t.Errorf("quota on allow %v: %s, want %s", test.on, got, test.want)
		}
		for _, h := range ok.GetResponseHeadersToAdd() {
			if h.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
				t.Errorf("a header of the upstream's own limit would stay beside ours: %v", h)
			}
		}
		if got := quotaValues(optionValue(ok.GetHeaders())); got != noValues || header(ok.GetHeaders(), "x-auth-subject") != "alice" {
			t.Errorf("the upstream gets: %s", got)
		}
	}
}

// stubLimiter is an authz.Limiter with fixed results.
type stubLimiter struct{ quota, attemptQuota authz.Quota }

func (m *stubLimiter) Allow(context.Context, *authz.Request, *authz.Decision) (authz.Quota, error) {
	return m.quota, nil
}
func (m *stubLimiter) AllowAttempt(context.Context, *authz.Request, time.Time) (authz.Quota, error) {
	return m.attemptQuota, nil
}
func (m *stubLimiter) RecordFailure(context.Context, *authz.Request, time.Time) {}

// newLimitedHandler returns a handler with the limiter.
func newLimitedHandler(t *testing.T, m *stubLimiter, onAllow bool) *Handler {
	t.Helper()
	identity, err := authz.NewIdentityHeaders(map[string]authz.IdentityAttribute{"x-auth-subject": authz.AttributeSubject}, []string{"authorization"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	handler := newTestHandler(t, &recordingPolicy{})
	handler.Renderer.QuotaOnAllow = onAllow
	handler.Checker, err = authz.NewChecker(authz.Config{
		Ready: func() error { return nil }, Policy: &recordingPolicy{route: authz.Route{Auth: authz.AuthRequired}}, Identity: identity, Limiter: m,
		Verifier: &stubVerifier{p: &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, User: "alice", KeyID: "k_1"}}, Sources: authz.CredentialSources{Schemes: authz.NewSchemeSet(authz.SchemeBearer)},
		Now: time.Now, Since: time.Since, NewID: func() string { return "id" },
	})
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// TestLimitsOverHTTP checks what each kind of proxy gets to pass on. For nginx
// the status is 403 instead of 429, and the real one is in a header.
func TestLimitsOverHTTP(t *testing.T) {
	for _, proxy := range []struct {
		at      string
		headers []string
		tooMany int
	}{
		{"/authz/nginx", []string{"X-Original-Method", "GET", "X-Original-URI", "/"}, 403},
		{"/authz/forward", []string{"X-Forwarded-Method", "GET", "X-Forwarded-Uri", "/", "X-Forwarded-Host", "h"}, 429},
		{"/authz/envoy/", nil, 429},
	} {
		headers := append(proxy.headers, "Authorization", "Bearer good")
		for _, test := range []struct {
			about  string
			m      stubLimiter
			on     bool
			status int
			want   string
		}{
			{"too many", stubLimiter{quota: deniedQuota}, false, proxy.tooMany, deniedValues},
			{"failed too often", stubLimiter{attemptQuota: deniedQuota}, false, proxy.tooMany, deniedValues},
			{"allowed", stubLimiter{quota: allowedQuota}, false, 200, noValues},
			{"allowed, with quota", stubLimiter{quota: allowedQuota}, true, 200, allowedValues},
			{"allowed, without a limit", stubLimiter{}, true, 200, noValues},
		} {
			w := sendCheck(newLimitedHandler(t, &test.m, test.on), "GET", proxy.at, "127.0.0.1:1", headers...)
			if got := quotaValues(w.Header().Get); w.Code != test.status || got != test.want {
				t.Errorf("%s, %s: %d %s; want %d %s", proxy.at, test.about, w.Code, got, test.status, test.want)
			}
			if code := w.Header().Get(codeHeader); w.Code == 403 && code != strconv.Itoa(http.StatusTooManyRequests) {
				t.Errorf("%s, %s: %s %q", proxy.at, test.about, codeHeader, code)
			}
		}
	}
}

// TestVerifyRateLimit checks that a client with too many failed credentials
// gets the headers, and that no other limit applies to /v1/auth/verify.
func TestVerifyRateLimit(t *testing.T) {
	w := sendVerify(newLimitedHandler(t, &stubLimiter{attemptQuota: deniedQuota}, true), "GET", "127.0.0.1:1", "Authorization", "Bearer good")
	if got := quotaValues(w.Header().Get); w.Code != 429 || got != deniedValues {
		t.Errorf("failed too often: %d %s", w.Code, got)
	}
	w = sendVerify(newLimitedHandler(t, &stubLimiter{quota: deniedQuota}, true), "GET", "127.0.0.1:1", "Authorization", "Bearer good")
	if got := quotaValues(w.Header().Get); w.Code != 200 || got != noValues {
		t.Errorf("too many checks: %d %s", w.Code, got)
	}
}

// TestOverloadMayBeRetried checks that a denial for overload allows a retry,
// since the result of a late password hash is cached.
func TestOverloadMayBeRetried(t *testing.T) {
	for _, reason := range authz.Reasons() {
		if reason.Allows() {
			continue
		}
		want := ""
		if reason == authz.Overloaded {
			want = "1"
		}
		denial := testRenderer.Denial(&authz.Request{}, &authz.Decision{Reason: reason})
		if got := headerValueOf(denial.Headers, "retry-after"); got != want {
			t.Errorf("%s: Retry-After %q, want %q", reason, got, want)
		}
	}
}
