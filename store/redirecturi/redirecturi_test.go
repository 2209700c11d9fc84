package redirecturi

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

// TestCheck is the policy: where codes may be sent.
func TestCheck(t *testing.T) {
	for uri, want := range map[string]error{
		"https://app.example.com/callback":      nil,
		"https://app.example.com":               nil,
		"https://app.example.com:8443/cb?x=1&y": nil,
		"https://app.example.com/a%20b":         nil,
		"http://127.0.0.1/cb":                   nil,
		"http://127.0.0.1:51004/cb":             nil,
		"http://[::1]:51004/cb":                 nil,
		"http://localhost:3000/cb":              nil,

		"http://app.example.com/cb":           ErrScheme,
		"http://127.0.0.1.example.com/cb":     ErrScheme,
		"http://localhost.example.com/cb":     ErrScheme,
		"http://localhost./cb":                ErrScheme,
		"http://192.168.0.1/cb":               ErrScheme,
		"http://127.1/cb":                     ErrScheme,
		"http://0.0.0.0/cb":                   ErrScheme,
		"ftp://app.example.com/cb":            ErrScheme,
		"HTTPS://app.example.com/cb":          ErrScheme,
		"com.example.app://callback":          ErrScheme,
		"":                                    ErrRelative,
		"/callback":                           ErrRelative,
		"//app.example.com/cb":                ErrRelative,
		"https:app.example.com":               ErrRelative,
		"https:///cb":                         ErrRelative,
		"https://:443/cb":                     ErrRelative,
		"https://app.example.com:/cb":         ErrRelative,
		"https://App.example.com/cb":          ErrRelative,
		"https://app%2eexample.com/cb":        ErrRelative,
		"https://ex%c3%a4mple.com/cb":         ErrRelative,
		"http://[::1%25eth0]/cb":              ErrRelative,
		"https://app.example.com:port/cb":     ErrRelative,
		"javascript:alert(1)":                 ErrRelative,
		"data:text/html,x":                    ErrRelative,
		"https://app.example.com/cb#":         ErrFragment,
		"https://app.example.com/cb#x":        ErrFragment,
		"https://app.example.com@evil.net/cb": ErrUser,
		"https://a:b@app.example.com/cb":      ErrUser,
		"https://*.example.com/cb":            ErrText,
		`https://app.example.com\@evil.net`:   ErrText,
		"https://app.example.com/a b":         ErrText,
		"https://app.example.com/\n":          ErrText,
		"https://exämple.com/cb":              ErrText,
		"https://app.example.com/<script>":    ErrText,

		"https://app.example.com/" + strings.Repeat("x", MaxLength): ErrText,
	} {
		if got := Check(uri); !errors.Is(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%q: %v, want %v", uri, got, want)
		}
	}
}

// FuzzCheck: what is accepted is a URI that leads to https or to this machine, whatever
// program reads it.
func FuzzCheck(f *testing.F) {
	for _, uri := range []string{"https://app.example.com/cb", "http://[::1]:1/cb", "http://127.0.0.1:5/?a=b", "https://a@b", "https://[::1%25x]/"} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		if Check(uri) != nil {
			return
		}
		u, err := url.Parse(uri)
		if err != nil || !u.IsAbs() || u.User != nil || u.Hostname() == "" || u.Fragment != "" {
			t.Fatalf("%q is accepted", uri)
		}
		if u.Scheme != "https" && !isLoopback(u.Hostname()) {
			t.Fatalf("%q is accepted", uri)
		}
		if again := u.String(); again != uri && Check(again) != nil {
			t.Fatalf("%q is accepted, and %q is not", uri, again)
		}
	})
}
