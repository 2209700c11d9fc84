package extauthz

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"keyward/authz"
)

var fixedNow = func() time.Time { return time.Date(2024, 1, 15, 11, 30, 0, 5e8, time.FixedZone("", 3600)) }

// TestStyles compares the bodies with the pages of the APIs, letter for letter.
func TestStyles(t *testing.T) {
	basic := []authz.Header{{Name: "authorization", Value: "bAsic eDp5"}}
	generic := func(name, message, code string) string {
		return `{"error":"` + name + `","message":"` + message + `","code":` + code + `,"timestamp":"2024-01-15T10:30:00Z"}`
	}
	halo := func(status, name, message string) string {
		return `{"status":` + status + `,"error":"` + name + `","message":"` + message + `","path":"/api/v1alpha1/posts"}`
	}
	halfred := func(message string) string {
		return `{"error":{"message":"` + message + `","type":"authentication_error","code":401}}`
	}
	for _, test := range []struct {
		style   authz.ErrorStyle
		reason  authz.Reason
		headers []authz.Header
		want    string
	}{
		{authz.StyleGeneric, authz.NoCredential, nil, generic("invalid_token", "The provided token is invalid or has expired", "401")},
		{authz.StyleGeneric, authz.RevokedKey, nil, generic("invalid_token", "The provided token is invalid or has expired", "401")},
		{authz.StyleGeneric, authz.ExpiredToken, nil, generic("token_expired", "The access token has expired", "401")},
		{authz.StyleGeneric, authz.ExpiredKey, nil, generic("token_expired", "The access token has expired", "401")},
		{authz.StyleGeneric, authz.PausedKey, nil, generic("invalid_token", "The provided token is invalid or has expired", "401")},
		{authz.StyleGeneric, authz.NotYetValid, nil, generic("invalid_token", "The provided token is invalid or has expired", "401")},
		{authz.StyleGeneric, authz.AddressNotAllowed, nil, generic("forbidden", "The credential cannot be used from this address", "403")},
		{authz.StyleGeneric, authz.WrongPassword, nil, generic("invalid_credentials", "Username or password incorrect", "401")},
		{authz.StyleGeneric, authz.InsufficientScope, nil, generic("insufficient_scope", "Token lacks required permissions", "403")},
		{authz.StyleGeneric, authz.RateLimited, nil, generic("rate_limit_exceeded", "Too many requests", "429")},
		{authz.StyleHalo, authz.NoCredential, nil, halo("401", "Unauthorized", "Authentication required")},
		{authz.StyleHalo, authz.WrongPassword, basic, halo("401", "Unauthorized", "Invalid username or password")},
		{authz.StyleHalo, authz.DisabledUser, basic, halo("401", "Unauthorized", "Invalid username or password")},
		{authz.StyleHalo, authz.MalformedCredential, basic, halo("401", "Unauthorized", "Invalid username or password")},
		{authz.StyleHalo, authz.MalformedCredential, nil, halo("401", "Unauthorized", "Invalid or expired token")},
		{authz.StyleHalo, authz.DisabledUser, nil, halo("401", "Unauthorized", "Invalid or expired token")},
		{authz.StyleHalo, authz.ExpiredKey, nil, halo("401", "Unauthorized", "Invalid or expired token")},
		{authz.StyleHalo, authz.PausedKey, nil, halo("401", "Unauthorized", "Invalid or expired token")},
		{authz.StyleHalo, authz.AddressNotAllowed, nil, halo("403", "Forbidden", "Insufficient permissions to access this resource")},
		{authz.StyleHalo, authz.InsufficientScope, nil, halo("403", "Forbidden", "Insufficient permissions to access this resource")},
		{authz.StyleHalo, authz.PathNotAllowed, nil, halo("403", "Forbidden", "Insufficient permissions to access this resource")},
		{authz.StyleHalfred, authz.MalformedCredential, nil, halfred("Invalid API key")},
		{authz.StyleHalfred, authz.InvalidToken, nil, halfred("Invalid API key")},
		{authz.StyleHalfred, authz.UnknownKey, nil, halfred("API key not found")},
		{authz.StyleHalfred, authz.RevokedKey, nil, halfred("API key not found")},
		{authz.StyleHalfred, authz.NoCredential, nil, halfred("Authentication failed")},
		{authz.StyleHalfred, authz.ExpiredKey, nil, halfred("Authentication failed")},
		{authz.StyleHalfred, authz.PausedKey, nil, halfred("Authentication failed")},
		{authz.StyleHalfred, authz.NotYetValid, nil, halfred("Authentication failed")},
		{authz.StyleHalfred, authz.WrongProject, nil, halfred("Authentication failed")},
	} {
		n := Renderer{Challenge: challenge, Now: fixedNow}
		r := &authz.Request{Target: "/api/v1alpha1/posts?page=1", Headers: test.headers}
		denial := n.Denial(r, &authz.Decision{Reason: test.reason, ID: "x", Route: &authz.Route{Errors: test.style}})
		if got := string(denial.Body); got != test.want {
			t.Errorf("style %d, %s:\n%s\nwant\n%s", test.style, test.reason, got, test.want)
		}
		if got := headerValueOf(denial.Headers, "content-type"); got != "application/json" {
			t.Errorf("style %d, %s: content-type %q", test.style, test.reason, got)
		}
		if denial.Status == 401 && headerValueOf(denial.Headers, "www-authenticate") == "" {
			t.Errorf("style %d, %s: a 401 without a challenge", test.style, test.reason)
		}
	}
}

func headerValueOf(headers []authz.Header, name string) string {
	for _, h := range headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// TestEveryStyleRendersEveryReason checks that for every reason there is a body
// in the style, with the status of the response.
func TestEveryStyleRendersEveryReason(t *testing.T) {
	for _, style := range []authz.ErrorStyle{authz.StyleProblem, authz.StyleGeneric, authz.StyleHalo, authz.StyleHalfred} {
		for _, reason := range authz.Reasons() {
			if reason.Allows() {
				continue
			}
			n := Renderer{Errors: style, Challenge: challenge, Now: fixedNow} // without a route
			denial := n.Denial(&authz.Request{Target: "/a\xff<b>"}, &authz.Decision{Reason: reason, ID: "secret-id"})
			var body map[string]any
			if err := json.Unmarshal(denial.Body, &body); err != nil {
				t.Fatalf("style %d, %s: %v", style, reason, err)
			}
			status, message := body["status"], body["message"]
			switch style {
			case authz.StyleProblem:
				message = body["detail"]
			case authz.StyleGeneric:
				status = body["code"]
			case authz.StyleHalfred:
				inner, _ := body["error"].(map[string]any)
				status, message = inner["code"], inner["message"]
			}
			if status != float64(denial.Status) || message == "" || message == nil {
				t.Errorf("style %d, %s, status %d: %s", style, reason, denial.Status, denial.Body)
			}
			if inBody := strings.Contains(string(denial.Body), "secret-id"); inBody != (style == authz.StyleProblem) {
				t.Errorf("style %d: the decision's id is in the body: %v", style, inBody)
			}
		}
	}
}

func TestHEADHasNoBody(t *testing.T) {
	denial := testRenderer.Denial(&authz.Request{Method: "HEAD"}, &authz.Decision{Reason: authz.NoCredential})
	if len(denial.Body) > 0 || denial.Status != 401 || headerValueOf(denial.Headers, "content-type") == "" {
		t.Errorf("%+v", denial)
	}
}

// TestWrongProject checks that the status is 401 for Halfred's clients and 403
// for all others.
func TestWrongProject(t *testing.T) {
	for style, want := range map[authz.ErrorStyle]int{authz.StyleProblem: 403, authz.StyleGeneric: 403, authz.StyleHalo: 403, authz.StyleHalfred: 401} {
		d := authz.Decision{Reason: authz.WrongProject, Route: &authz.Route{Errors: style}}
		denial := testRenderer.Denial(&authz.Request{}, &d)
		if denial.Status != want || (headerValueOf(denial.Headers, "www-authenticate") != "") != (want == 401) {
			t.Errorf("style %d: %+v", style, denial)
		}
	}
}
