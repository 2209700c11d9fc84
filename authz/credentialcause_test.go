package authz

import (
	"encoding/base64"
	"strings"
	"testing"
)

// TestCredentialCauses: the cause of a refused credential names the place and
// the setting, and quotes nothing of the credential.
func TestCredentialCauses(t *testing.T) {
	basic := func(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }
	sources := vectorSources
	sources.Query.Credential = []string{"key"}
	const secret = "kw_s3cr3t"
	for _, test := range []struct {
		target  string
		headers []Header
		want    string
	}{
		{"/", []Header{{"authorization", "Token " + secret}}, "credentials.schemes"},
		{"/", []Header{{"authorization", secret}}, `credentials.schemes: [""]`},
		{"/", []Header{{"authorization", `Bearer "` + secret + `"`}}, "quotes"},
		{"/", []Header{{"authorization", basic("bob:p\xe4ss" + secret)}}, "credentials.basic_charset: iso-8859-1"},
		{"/", []Header{{"authorization", basic(":" + secret)}}, `credentials.basic_key_usernames: ["*"]`},
		{"/", []Header{{"authorization", "Basic " + secret}}, "token68"},
		{"/", []Header{{"x-api-key", "7|" + secret}}, "token68"},
		{"/", []Header{{"authorization", "Bearer " + strings.Repeat(secret, 1000)}}, "max_token_bytes"},
		{"/", []Header{{"authorization", "Bearer " + secret}, {"x-api-key", secret}}, "several places: Authorization, x-api-key"},
		{"/?key=" + secret, []Header{{"cookie", "session=" + secret}}, "several places: the cookie, the query"},
		{"/", []Header{{"authorization", "Bearer " + secret}, {"authorization", ""}}, "twice in Authorization"},
		{"/", []Header{{"authorization", "Bearer " + secret + ", Bearer " + secret}}, "more than one credential"},
		{"/?access_token=" + secret, []Header{{"authorization", "Bearer " + secret}}, "credentials.reserved_query"},
		{"/?access_token=a&access_token=" + secret, nil, "credentials.reserved_query"},
		{"/?k%65y=" + secret, nil, "a spelling that the proxy cannot remove"},
	} {
		w, r := newFakeDeps(), request()
		w.sources = &sources
		r.Target, r.Headers = test.target, test.headers
		d := w.checker(t).Check(t.Context(), r)
		if d.Allowed() || d.Cause == nil || !strings.Contains(d.Cause.Error(), test.want) || strings.Contains(d.Cause.Error(), secret) {
			t.Errorf("%s %q: %s, cause %v; want %q", test.target, test.headers, d.Reason, d.Cause, test.want)
		}
	}
}
