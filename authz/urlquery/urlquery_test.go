package urlquery

import (
	"slices"
	"strings"
	"testing"

	"keyward/authz/urlpath"
)

var names = Names{Credential: []string{"key", "code"}, Reserved: []string{"access_token", "code"}}

func TestRead(t *testing.T) {
	for query, want := range map[string]Found{
		"":                   {},
		"a=b&c":              {},
		"key=k":              {Value: "k", Count: 1},
		"key=&code=k":        {Value: "k", Count: 1},
		"key=%20k":           {Value: "%20k", Count: 1},
		"key=a&code=b":       {Value: "b", Count: 2},
		"key=k&key=":         {Value: "k", Count: 1, Ambiguous: true},
		"key&key":            {Ambiguous: true},
		"k%65y=k":            {Count: 1, Ambiguous: true},
		"a=b;code=k":         {Count: 1, Ambiguous: true},
		"+key=k":             {Count: 1, Ambiguous: true},
		"access_token=t":     {Reserved: 1},
		"access%5Ftoken=t&a": {Reserved: 1},
		"key=k&access_token": {Value: "k", Count: 1, Reserved: 1},
		"KEY=k&keys=k&=k":    {},
		"k%2565y=k":          {},
	} {
		if got := names.Read(query); got != want {
			t.Errorf("%q: %+v, want %+v", query, got, want)
		}
	}
	if found := new(Names).Read("=k&key=k&access_token=t&access_token=t"); found != (Found{}) {
		t.Errorf("without names: %+v", found)
	}
}

func TestWithout(t *testing.T) {
	for target, want := range map[string]struct{ rest, present string }{
		"/a":                   {"/a", ""},
		"/a?wsdl&key=k":        {"/a?wsdl", "key"},
		"/a?key=k":             {"/a", "key"},
		"/a?key=&x=%2f&code=k": {"/a?x=%2f", "key code"},
		"/a?code&key&code":     {"/a", "code key"},
		"/a?b=key=k&&":         {"/a?b=key=k&&", ""},
		"/key=k":               {"/key=k", ""},
	} {
		present := names.Present(target)
		if rest := Without(target, present); rest != want.rest || strings.Join(present, " ") != want.present {
			t.Errorf("%q: %q without %v, want %q without %s", target, rest, present, want.rest, want.present)
		}
	}
	if names.Credential[0] != "key" || names.Credential[1] != "code" {
		t.Errorf("the names were changed: %v", names.Credential)
	}
}

// FuzzQuery: what is read is removed, and what is left has no credential in any
// spelling, unless the query is ambiguous.
func FuzzQuery(f *testing.F) {
	for _, query := range []string{"key=k", "a=b;key=k", "k%65y=k&code", "%2bkey=k", "key=k;a", "a&&b=", "+key=&key=k"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		found := names.Read(query)
		target := "/?" + query
		if names.HasEncoded(target) && !found.Ambiguous {
			t.Error("a parameter in another spelling is not ambiguous")
		}
		rest := Without(target, names.Present(target))
		left := names.Read(strings.TrimPrefix(strings.TrimPrefix(rest, "/"), "?"))
		if !found.Ambiguous && (left.Count > 0 || left.Ambiguous) {
			t.Errorf("%q is left, and has a credential", rest)
		}
		if found.Ambiguous {
			return
		}
		// The most permissive reader: it separates at semicolons too, and decodes.
		for pair := range strings.FieldsFuncSeq(rest, func(c rune) bool { return c == '&' || c == ';' || c == '?' }) {
			name, _, _ := strings.Cut(pair, "=")
			if slices.Contains(names.Credential, strings.Trim(urlpath.DecodeOnce(name), " +")) && strings.Contains(query, pair) && rest != target {
				t.Errorf("%q is left in %q", pair, rest)
			}
		}
	})
}
