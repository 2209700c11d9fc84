package urlpath_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"keyward/authz/urlpath"
	"keyward/internal/pathreadings"
	"keyward/internal/vectors"
)

// everyWord returns rules with all words of paths.allow.
func everyWord(pathCase urlpath.Case) urlpath.Rules {
	rules := urlpath.Rules{Case: pathCase}
	for _, allowed := range rules.Words() {
		*allowed = true
	}
	return rules
}

// TestEachWord: a word allows its spelling, and no other word does.
func TestEachWord(t *testing.T) {
	for word, target := range map[string]string{
		"semicolon": "/a;b", "encoded-slash": "/a%2Fb", "encoded-percent": "/a%25b", "encoded-unreserved": "/%61b", "empty-segment": "/a//b",
		"encoded-delimiter": "/a%23b", "encoded-backslash": "/a%5Cb", "look-alike": "/a%EF%BC%9Fb", "non-utf8": "/a%E9b",
	} {
		var only urlpath.Rules
		*only.Words()[word] = true
		if _, err := urlpath.Parse(target, only); err != nil {
			t.Errorf("with %s, %s: %v", word, target, err)
		}
		without := everyWord(urlpath.CaseRefuse)
		*without.Words()[word] = false
		want := "(paths.allow: " + word + " would allow it)"
		if _, err := urlpath.Parse(target, without); !errors.Is(err, urlpath.ErrAmbiguous) || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s, %s: %v, want an error with %q", word, target, err, want)
		}
	}
	if n := len(new(urlpath.Rules).Words()); n != 9 {
		t.Errorf("%d words", n)
	}
}

// TestVectorsWithEveryWord judges the vectors with all words on, for each
// choice of paths.case. testdata/lax.txt has the lines whose verdict changes. A
// path that becomes allowed must be within the key's path to every upstream.
func TestVectorsWithEveryWord(t *testing.T) {
	want, err := os.ReadFile("testdata/lax.txt")
	if err != nil {
		t.Fatal(err)
	}
	var reasons, changed []string
	for line := range strings.Lines(string(want)) {
		if line, why, ok := strings.Cut(strings.TrimSpace(line), " # "); ok && why != "" && line[0] == '"' {
			reasons = append(reasons, line)
		}
	}
	for _, v := range vectors.Paths(t) {
		set, err := urlpath.ParseSet([]string{v.Prefix})
		if err != nil {
			t.Fatal(err)
		}
		verdicts := map[urlpath.Case]string{}
		for _, pathCase := range []urlpath.Case{urlpath.CaseRefuse, urlpath.CaseSensitive, urlpath.CaseInsensitive} {
			verdicts[pathCase] = verdictOf(set, v.Target, everyWord(pathCase))
			if verdicts[pathCase] == "allow" && v.Expect != "allow" {
				staysWithin(t, v.Prefix, v.Target, pathCase)
			}
		}
		if now := verdicts[urlpath.CaseRefuse]; now != v.Expect || verdicts[urlpath.CaseInsensitive] != now {
			changed = append(changed, fmt.Sprintf("%q in %s: %s, then %s, %s without case", v.Target, v.Prefix, v.Expect, now, verdicts[urlpath.CaseInsensitive]))
		}
		if verdicts[urlpath.CaseSensitive] != verdicts[urlpath.CaseRefuse] {
			t.Errorf("%q in %s: %v", v.Target, v.Prefix, verdicts)
		}
	}
	if !slices.Equal(changed, reasons) {
		t.Errorf("testdata/lax.txt must have these lines, each with a reason after #:\n%s", strings.Join(changed, "\n"))
	}
}

func verdictOf(set urlpath.Set, target string, rules urlpath.Rules) string {
	path, err := urlpath.Parse(target, rules)
	switch {
	case err != nil:
		return "deny_ambiguous"
	case set.Contains(path):
		return "allow"
	default:
		return "deny"
	}
}

// staysWithin fails if an upstream may read a path outside the prefix.
func staysWithin(t *testing.T, prefix, target string, pathCase urlpath.Case) {
	t.Helper()
	// An encoded unreserved character is the same character to every upstream
	// (RFC 3986 section 6.2.2.2).
	path, err := urlpath.Parse(target, everyWord(pathCase))
	if err != nil {
		t.Fatal(err)
	}
	prefix, exact := strings.CutPrefix(prefix, "=")
	inside := func(reading, prefix string) bool {
		rest, found := strings.CutPrefix(reading, prefix)
		return found && (rest == "" || !exact && (rest[0] == '/' || strings.HasSuffix(prefix, "/")))
	}
	pathreadings.Each(path.Canonical(), true, func(reading string) {
		if pathCase == urlpath.CaseInsensitive {
			reading = strings.ToLower(reading)
		}
		if !inside(reading, prefix) {
			t.Errorf("%q is allowed in %q, and an upstream may read it as %q", target, prefix, reading)
		}
		if pathreadings.HasDotSegment(reading) {
			t.Errorf("%q is allowed, and an upstream may read it as %q", target, reading)
		}
	})
}

// FuzzPath compares accepted paths with the model of upstreams, under any
// rules: every reading stays within the pattern, and none has a dot segment.
func FuzzPath(f *testing.F) {
	for _, v := range vectors.Paths(f) {
		for _, allow := range []uint16{0, 511, 31, 511 + 512, 511 + 1024} {
			f.Add(v.Target, allow)
		}
	}
	for _, target := range []string{
		"/p/%83%5C", "/p%3F/%2E%2E/b", "/p/caf%E9", "/p/%EF%BC%9F%EF%BC%8F", "/p/%EF%BC%85%EF%BC%92f", "/p;%5Cx", "/p/%A3%AE%A3%AE%A3%AF", "/p/%25C0%25AE",
		"/p/%81D%81D%81%5E", "/p/%85", "/p/%E2%88%95%EF%BC%9B/x", "/p/%C0n%C0n%C0o", "/p%2500/x",
	} {
		f.Add(target, uint16(511))
	}
	f.Fuzz(func(t *testing.T, target string, allow uint16) {
		if len(target) > 60 {
			return // the model's readings grow with the path
		}
		rules := urlpath.Rules{
			Semicolon: allow&1 != 0, EncodedSlash: allow&2 != 0, EncodedPercent: allow&4 != 0, EncodedUnreserved: allow&8 != 0,
			EmptySegment: allow&16 != 0, EncodedDelimiter: allow&32 != 0, EncodedBackslash: allow&64 != 0, LookAlike: allow&128 != 0, NonUTF8: allow&256 != 0,
			Case: urlpath.Case(allow >> 9 % 3),
		}
		path, err := urlpath.Parse(target, rules)
		if err != nil {
			if path != (urlpath.Path{}) || !errors.Is(err, urlpath.ErrAmbiguous) {
				t.Fatalf("%v, and a path was returned with it", err)
			}
			return
		}
		if !strings.HasPrefix(target, path.String()) || path.Canonical()[0] != '/' {
			t.Fatalf("%q became %q", target, path.String())
		}
		again, err := urlpath.Parse(path.String(), rules)
		if err != nil || again.Canonical() != path.Canonical() {
			t.Fatalf("%q: an accepted path is refused the second time: %v", target, err)
		}
		pattern, err := urlpath.ParseSet([]string{"/p"})
		if err != nil {
			t.Fatal(err)
		}
		within := pattern.Contains(path)
		pathreadings.Each(path.Canonical(), rules.LookAlike, func(reading string) {
			if pathreadings.HasDotSegment(reading) {
				t.Fatalf("with %+v %q is accepted, and an upstream may read %q", rules, target, reading)
			}
			if within && !strings.EqualFold(reading, "/p") && !strings.HasPrefix(strings.ToLower(reading), "/p/") {
				t.Fatalf("with %+v %q is within /p, and an upstream may read %q", rules, target, reading)
			}
		})
	})
}
