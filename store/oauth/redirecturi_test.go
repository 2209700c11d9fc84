package oauth

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// TestRedirectURI is the policy: where codes may be sent.
func TestRedirectURI(t *testing.T) {
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
		"https://app.example.com;img-src/cb":  ErrHost,
		"https://app.example.com,evil.net/cb": ErrHost,
		"https://app.example.com&a/cb":        ErrHost,
		"https://'self'/cb":                   ErrHost,
		"https://a!b$c(d)+e=f~g/cb":           ErrHost,
		"https://my_app.example.com/cb":       nil,
		"https://app.example.com/cb;a,b?c;d":  nil,
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

		"https://app.example.com/" + strings.Repeat("x", MaxRedirectURI): ErrText,
	} {
		if got := CheckRedirectURI(uri); !errors.Is(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%q: %v, want %v", uri, got, want)
		}
	}
}

// TestRedirectURIs is the policy: which client needs redirect URIs, and how many it has.
func TestRedirectURIs(t *testing.T) {
	here := "https://app.example.com/cb"
	many := make([]string, MaxRedirectURIs+1)
	for i := range many {
		many[i] = fmt.Sprint("https://app.example.com/", i)
	}
	code, own := []Grant{AuthorizationCode}, []Grant{ClientCredentials}
	for _, c := range []struct {
		what   string
		uris   []string
		grants []Grant
		want   error
	}{
		{"a code, and a URI", []string{here}, code, nil},
		{"a code, and as many as there may be", many[1:], code, nil},
		{"a program, and none", nil, own, nil},
		{"a code, and none", nil, code, ErrNeeded},
		{"a program, and one", []string{here}, own, ErrNeeded},
		{"one twice", []string{here, here}, code, ErrTwice},
		{"one too many", many, code, ErrMany},
		{"one in the clear", []string{here, "http://app.example.com/cb"}, code, ErrScheme},
	} {
		if got := CheckRedirectURIs(c.uris, c.grants); !errors.Is(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}

// FuzzRedirectURI: what is accepted is a URI that leads to https or to this machine, whatever
// program reads it.
func FuzzRedirectURI(f *testing.F) {
	for _, uri := range []string{"https://app.example.com/cb", "http://[::1]:1/cb", "http://127.0.0.1:5/?a=b", "https://a@b", "https://[::1%25x]/"} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		if CheckRedirectURI(uri) != nil {
			return
		}
		u, err := url.Parse(uri)
		if err != nil || !u.IsAbs() || u.User != nil || u.Hostname() == "" || u.Fragment != "" {
			t.Fatalf("%q is accepted", uri)
		}
		if u.Scheme != "https" && !isLoopback(u.Hostname()) {
			t.Fatalf("%q is accepted", uri)
		}
		if again := u.String(); again != uri && CheckRedirectURI(again) != nil {
			t.Fatalf("%q is accepted, and %q is not", uri, again)
		}
	})
}
