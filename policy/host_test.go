package policy

import (
	"strings"
	"testing"
)

// TestParseHostValue: a host outside ASCII is refused before its letters are
// folded, since folding turns U+212A into a k and U+0130 into an i.
func TestParseHostValue(t *testing.T) {
	for value, want := range map[string]string{
		"": "", "api.example.com": "api.example.com", "API.Example.COM": "api.example.com", "api.example.com.:8080": "api.example.com",
		"my_service": "my_service", "[::1]": "[::1]", "[0:0:0:0:0:0:0:1]:80": "[::1]", "[2001:DB8::A]": "[2001:db8::a]", "[::ffff:192.0.2.1]": "[::ffff:192.0.2.1]",
	} {
		if got, ok := parseHost(value); !ok || got != want {
			t.Errorf("%q: %q %v, want %q", value, got, ok, want)
		}
	}
	for _, value := range []string{
		"\u212aiosk.example.com", "k\u0130osk.example.com", "\uff4biosk.example.com", "ki\u017fk", "xn\u2010a", "kiosk\u3002example", "\x80",
		".", ":80", ".a", "a..b", "a..", "a b", "a/b", "a,b", "a%2eb", "u@a", "a:b", "a:1:2", "*", "*.a",
		"[", "[]", "[zz]", "[::1", "[::1]x", "[192.0.2.1]", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[v1.a]", "[\u212a::1]", "[::1].",
	} {
		if got, ok := parseHost(value); ok {
			t.Errorf("%q is taken for the host %q", value, got)
		}
	}
}

func TestParseHostPattern(t *testing.T) {
	for text, want := range map[string]string{
		"API.example.com": "api.example.com", "*.Example.com": "*.example.com", "[0:0:0:0:0:0:0:1]": "[::1]", "my_service": "my_service", "*.com": "*.com",
	} {
		if got, err := ParseHost(text); err != nil || got != want {
			t.Errorf("%q: %q %v, want %q", text, got, err, want)
		}
	}
	for text, says := range map[string]string{
		".example.com": `write "example.com" and "*.example.com"`, "*example.com": `write "*.example.com"`, "b\u00fccher.example": "in ASCII",
		"\u212aiosk.example.com": "in ASCII", "example.com.": "without a dot", "a..b": "not a host", "*..com": "not a host", "[zz]": "not a host",
		"*.[::1]": "not a host", "[::1]:80": "not a host", "a:80": "not a host", "": "not a host", "*": "not a host", "*.": "without a dot", ".": "without a dot",
		"..a": "not a host", "http://a": "not a host", "a.*.b": "not a host", strings.Repeat("a", 256): "at most 255",
	} {
		if got, err := ParseHost(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %q %v, want an error that says %q", text, got, err, says)
		}
	}
}

// FuzzHost: a Host value is refused, or parses to a host in lower-case ASCII
// that parses to itself, that matches the value's letters, and that a rule can
// name.
func FuzzHost(f *testing.F) {
	for _, value := range []string{"", "A.b:80", "a.b.", "[::1]:80", "[2001:DB8::0]", "\u212aiosk", "k\u0130osk", "a..b", ".a", "[zz]", "u@a", "*.a"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		host, ok := parseHost(value)
		if !ok {
			if host != "" {
				t.Fatalf("%q is refused, but parses to %q", value, host)
			}
			return
		}
		if again, ok := parseHost(host); !ok || again != host {
			t.Fatalf("%q parses to %q, which parses to %q %v", value, host, again, ok)
		}
		for i := range len(host) {
			if c := host[i]; c >= 0x80 || 'A' <= c && c <= 'Z' {
				t.Fatalf("%q parses to %q, which is not lower-case ASCII", value, host)
			}
		}
		if !strings.HasPrefix(host, "[") && (len(host) > len(value) || !sameLetters(value[:len(host)], host)) {
			t.Fatalf("%q parses to %q, which has other letters", value, host)
		}
		if pattern, err := ParseHost(host); host != "" && len(host) <= maxHost && (err != nil || pattern != host) {
			t.Fatalf("%q parses to %q, which no rule can name: %q %v", value, host, pattern, err)
		}
	})
}

// sameLetters reports whether a and b are equal byte by byte, with ASCII
// letters in either case.
func sameLetters(a, b string) bool {
	for i := range len(a) {
		if x, y := a[i], b[i]; x != y && (x|0x20 != y || x|0x20 < 'a' || x|0x20 > 'z') {
			return false
		}
	}
	return len(a) == len(b)
}

// TestAppliesTo: a rule applies to the hosts that requests may have, with or
// without a port, in any case.
func TestAppliesTo(t *testing.T) {
	for _, test := range []struct {
		hosts []string
		value string
		want  bool
	}{
		{nil, "api.example.com", true},
		{nil, "", true},
		{nil, `a"b`, false},
		{nil, "*.example.com", false},
		{[]string{"a.example.com", "API.example.com"}, "api.EXAMPLE.com:8443", true},
		{[]string{"*.example.com"}, "api.example.com", true},
		{[]string{"*.example.com"}, "example.com", false},
		{[]string{"*.example.com"}, ".example.com", false},
		{[]string{"*.example.com"}, "api.example.org", false},
		{[]string{"example.com"}, "api.example.com", false},
		{[]string{"[0:0::1]"}, "[::1]:1", true},
	} {
		if got := (&Rule{Hosts: test.hosts}).AppliesTo(test.value); got != test.want {
			t.Errorf("a rule for %q applies to %q: %v", test.hosts, test.value, got)
		}
	}
}
