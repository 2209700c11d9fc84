package urlpath_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"keyward/authz/urlpath"
	"keyward/internal/pathreadings"
)

// TestTemplatePermits has the paths of a subject, with all words of paths.allow
// on, since the template must hold with each of them.
func TestTemplatePermits(t *testing.T) {
	tests := []struct {
		template, target, subject string
		want                      bool
	}{
		{"/users/{subject}", "/users/alice", "alice", true},
		{"/users/{subject}", "/users/alice/", "alice", true},
		{"/users/{subject}", "/users/alice/files/1", "alice", true},
		{"/users/{subject}", "/users/alice/../bob", "alice", false},
		{"/users/{subject}", "/users/bob", "alice", false},
		{"/users/{subject}", "/users/alice", "", false},
		{"/users/{subject}", "/users/", "", false},
		{"/users/{subject}", "/users", "alice", false},
		{"/users/{subject}", "/other/alice", "alice", false}, // as for a route by name
		{"/users/{subject}", "/users/alice2", "alice", false},
		{"/users/{subject}", "/users/{subject}", "alice", false},
		{"/users/{subject}", "/x/users/alice", "alice", false},
		{"=/users/{subject}", "/users/alice", "alice", true},
		{"=/users/{subject}", "/users/alice/", "alice", false},
		{"=/users/{subject}", "/users/alice/x", "alice", false},
		{"/users/{subject}/", "/users/alice", "alice", false},
		{"/users/{subject}/", "/users/alice/x", "alice", true},
		{"/users/{subject}/files", "/users/alice/files/1", "alice", true},
		{"/users/{subject}/files", "/users/alice/filesystem", "alice", false},
		{"/users/{subject}/files", "/users/alice", "alice", false},
		{"=/{subject}", "/alice", "alice", true},
		{"/{subject}", "/k_abc/x", "k_abc", true}, // a key without a user
		// One decoding, and no other reading.
		{"/u/{subject}", "/u/alice@example.com", "alice@example.com", true},
		{"/u/{subject}", "/u/alice%40example.com", "alice@example.com", true},
		{"/u/{subject}", "/u/auth0|123", "auth0|123", true},
		{"/u/{subject}", "/u/auth0%7C123", "auth0|123", true},
		{"/u/{subject}", "/u/auth0%7c123", "auth0|123", true},
		{"/u/{subject}", "/u/auth0%257C123", "auth0|123", false},
		{"/u/{subject}", "/u/auth0%257C123", "auth0%7C123", false},
		{"/u/{subject}", "/u/100%25", "100%", true},
		{"/u/{subject}", "/u/a%20b", "a b", true},
		{"/u/{subject}", "/u/al%69ce", "alice", true},
		{"/u/{subject}", "/u/j%C3%B6rg", "j\u00f6rg", true},
		{"/u/{subject}", "/u/jo%CC%88rg", "jo\u0308rg", false}, // another reader composes it
		{"/u/{subject}", "/u/jo%CC%88rg", "j\u00f6rg", false},
		{"/u/{subject}", "/u/j%F6rg", "j\u00f6rg", false},
		{"/u/{subject}", "/u/j%F6rg", "j\xf6rg", false},
		{"/u/{subject}", "/u/%EF%BD%81lice", "alice", false},
		{"/u/{subject}", "/u/%EF%BD%81lice", "\uff41lice", false},
		{"/u/{subject}", "/u/a%E2%88%95b", "a\u2215b", false},
		{"/u/{subject}", "/u/alice%2Fbob", "alice/bob", false},
		{"/u/{subject}", "/u/alice%2Fbob", "alice", false},
		{"/u/{subject}", "/u/CORP%5Calice", `CORP\alice`, false},
		{"/u/{subject}", "/u/alice;x", "alice;x", false},
		{"/u/{subject}", "/u/alice;x", "alice", false},
		{"/u/{subject}", "/u/alice%3Fx", "alice?x", false},
		{"/u/{subject}", "/u/alice%23x", "alice", false},
		{"/u/{subject}", "/u/alice.", "alice.", false},
		{"/u/{subject}", "/u/alice.", "alice", false},
		{"/u/{subject}", "/u/alice%20", "alice ", false},
		{"/u/{subject}", "/u/%20alice", " alice", false},
		{"/u/{subject}", "/u/.", ".", false},
		{"/u/{subject}", "/u//alice", "alice", false},
		{"/u/{subject}", "/u/alice/%E9", "alice", true},
		{"/u/{subject}", "/u/Alice", "alice", false},
		{"/u/{subject}", "/u/alice", "Alice", false},
	}
	for _, test := range tests {
		for _, pathCase := range []urlpath.Case{urlpath.CaseRefuse, urlpath.CaseSensitive, urlpath.CaseInsensitive} {
			rules := everyWord(pathCase)
			template, err := urlpath.ParseTemplate(test.template, rules)
			if err != nil {
				t.Fatal(err)
			}
			path, err := urlpath.Parse(test.target, rules)
			if got := (template.Check(path, test.subject, false) == nil); got != test.want {
				t.Errorf("%s for %q at %s by %d: %v (%v), want %v", test.target, test.subject, test.template, pathCase, got, err, test.want)
			}
		}
	}
}

// TestTemplateOfCapitals: users alice and Alice may both exist. An upstream that
// ignores case serves one path to both, which must be one caller's only.
func TestTemplateOfCapitals(t *testing.T) {
	for subject, lower := range map[string]bool{
		"alice": true, "Alice": false, "auth0|5f7c8ec7": true, "3F2504E0-4F89": false, "j\u00f6rg": true, "J\u00d6RG": false, "j\u00d6rg": false,
		"\u03c3": true, "\u03c2": false, "\u0131": false, "k_1ysFtk5yl4Lh": false, "\u4f60": true, "42": true,
	} {
		for _, pathCase := range []urlpath.Case{urlpath.CaseRefuse, urlpath.CaseSensitive, urlpath.CaseInsensitive} {
			rules := urlpath.Rules{Case: pathCase}
			template, err := urlpath.ParseTemplate("/u/{subject}", rules)
			if err != nil {
				t.Fatal(err)
			}
			path, err := urlpath.Parse("/u/"+plainOrEscaped(subject), rules)
			if err != nil {
				t.Fatal(err)
			}
			err = template.Check(path, subject, false)
			if want := lower || pathCase == urlpath.CaseSensitive; (err == nil) != want || template.Check(path, subject, true) != nil {
				t.Errorf("%q by %d: %v, want permitted %v", subject, pathCase, err, want)
			}
			if err != nil && !strings.Contains(err.Error(), "paths.case: sensitive") {
				t.Errorf("%q by %d: %v, which does not name the setting", subject, pathCase, err)
			}
		}
	}
}

// plainOrEscaped returns the segment as clients send it.
func plainOrEscaped(segment string) string {
	var b strings.Builder
	for i := range len(segment) {
		if c := segment[i]; c == '|' || c >= 0x80 {
			b.WriteString(escape(segment[i : i+1]))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func TestTemplateInAnyCase(t *testing.T) {
	rules := urlpath.Rules{Case: urlpath.CaseInsensitive}
	template, err := urlpath.ParseTemplate("/Users/{subject}/Files", rules)
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]bool{"/users/alice/files/x": true, "/USERS/alice/FILES": true, "/users/Alice/files": false} {
		path, err := urlpath.Parse(target, rules)
		if err != nil || (template.Check(path, "alice", false) == nil) != want {
			t.Errorf("%s: %v, want %v (%v)", target, !want, want, err)
		}
	}
}

func TestBadTemplates(t *testing.T) {
	for text, want := range map[string]string{
		"/users/{user}": "there is no segment {user}", "/users/{Subject}": "there is no segment {Subject}", "/users/{}": "there is no segment {}",
		"/users/{subject}x": "entire segment", "/users/x{subject}": "entire segment", "/users/{subject}{subject}": "entire segment", "/{subject}/{subject}": "one segment only",
		"/users/{subject": "braces", "/users/subject}": "braces", "/users/{{subject}}": "entire segment", "/users/}{": "braces", "users/{subject}": "does not start with /",
		"/a%3Fb/{subject}": "do not find {subject}", "/%7Bsubject%7D/{subject}": "find it twice", "/users/{subject}?x": "entire segment", "=/{subject}/..": "segment of dots",
	} {
		template, err := urlpath.ParseTemplate(text, everyWord(urlpath.CaseRefuse))
		if template != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", text, err, want)
		}
	}
}

// FuzzTemplate compares with the model of upstreams: a path that a template
// permits is that subject's however an upstream reads it, for which paths are in
// UTF-8 if the subject has other characters than ASCII.
func FuzzTemplate(f *testing.F) {
	for _, target := range []string{"/u/alice", "/u/alice%2Fx", "/u/a%2541", "/u/alice%3Fx/y", "/u/alice;x/y", "/u/alice%5C..", "/u/%EF%BD%81", "/u/alice%E2%88%95", "/u/%83%5C", "/u/alice./x", "/u/alice%C0%AE", "/u/%C6%A1"} {
		f.Add(target)
	}
	template, err := urlpath.ParseTemplate("/u/{subject}", everyWord(urlpath.CaseSensitive))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, target string) {
		path, err := urlpath.Parse(target, everyWord(urlpath.CaseSensitive))
		if err != nil || len(target) > 60 {
			return
		}
		rest, _ := strings.CutPrefix(path.Canonical(), "/u/")
		sent, _, _ := strings.Cut(rest, "/")
		subject := urlpath.DecodeOnce(sent)
		if template.Check(path, subject, false) != nil {
			return
		}
		isASCII := !strings.ContainsFunc(subject, func(r rune) bool { return r >= utf8.RuneSelf })
		check := func(exact bool) func(string) {
			return func(reading string) {
				rest, below := strings.CutPrefix(reading, "/u/")
				segment, _, _ := strings.Cut(rest, "/")
				if !below || exact && segment != sent && segment != subject {
					t.Fatalf("%q is %q's, and an upstream may read %q", target, subject, reading)
				}
			}
		}
		pathreadings.Each(path.Canonical(), true, check(isASCII))
		pathreadings.EachInUTF8(path.Canonical(), true, check(true))
	})
}
