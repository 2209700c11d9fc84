package authz

import "testing"

// TestCredentialGivenTwice: two header lines, cookie pairs or parameters count
// as two, even if they are empty or equal.
func TestCredentialGivenTwice(t *testing.T) {
	sources := CredentialSources{Schemes: NewSchemeSet(SchemeBearer, SchemeBasic), Header: "x-api-key", Cookie: "session", Query: "key"}
	for _, test := range []struct {
		target  string
		headers []Header
		want    Reason
	}{
		{"/", []Header{{"authorization", "Bearer k"}}, OK},
		{"/", []Header{{"authorization", "Bearer k"}, {"authorization", ""}}, AmbiguousCredential},
		{"/", []Header{{"authorization", " \t"}, {"authorization", "Bearer k"}}, AmbiguousCredential},
		{"/", []Header{{"authorization", ""}, {"authorization", ""}}, AmbiguousCredential},
		{"/", []Header{{"authorization", ""}}, NoCredential},
		{"/", []Header{{"x-api-key", "k"}, {"x-api-key", ""}}, AmbiguousCredential},
		{"/", []Header{{"x-api-key", ""}, {"x-api-key", "k"}}, AmbiguousCredential},
		{"/", []Header{{"x-api-key", ""}}, NoCredential},
		{"/", []Header{{"cookie", "session=k; session="}}, AmbiguousCredential},
		{"/", []Header{{"cookie", "session="}, {"cookie", "a=b; session=k"}}, AmbiguousCredential},
		{"/", []Header{{"cookie", "a=b"}, {"cookie", "session=k"}}, OK},
		{"/", []Header{{"cookie", "session="}}, NoCredential},
		{"/?key=k", nil, OK},
		{"/?key=k&key=", nil, AmbiguousCredential},
		{"/?key&a=b&key=k", nil, AmbiguousCredential},
		{"/?key=", nil, NoCredential},
		// Of several places, only one is not blank.
		{"/?key=", []Header{{"authorization", ""}, {"x-api-key", "k"}, {"cookie", "session="}}, OK},
		{"/?key=k", []Header{{"x-api-key", "k"}}, AmbiguousCredential},
	} {
		r := Request{Target: test.target, Headers: test.headers}
		if got := sources.read(&r); got != test.want {
			t.Errorf("%s %q: %s, want %s", test.target, test.headers, got, test.want)
		}
	}
}
