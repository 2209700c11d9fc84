package tokensource

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/verifier"
)

func TestTokenInfo(t *testing.T) {
	scopes := func(names ...string) authz.Scopes {
		s, err := authz.ParseScopes(names)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for body, want := range map[string]verifier.TokenInfo{
		`{"active":false}`:           {},
		`{"active":false,"sub":7}`:   {}, // other members are not read
		`{"active":true}`:            {Active: true},
		`{"active":true,"sub":"a"} `: {Active: true, Subject: "a"},
		`{"active":true,"username":"u","client_id":"c","jti":"j","iss":"https://i.test","token_type":"Bearer"}`: {
			Active: true, Username: "u", ClientID: "c", JTI: "j", Issuer: "https://i.test", TokenType: "Bearer"},
		`{"active":true,"sub":"a","username":"","client_id":" c","iss":"i\u202e"}`: { // which are names, the verifier decides
			Active: true, Subject: "a", ClientID: " c", Issuer: "i\u202e"},
		`{"active":true,"scope":"b a  b"}`:               {Active: true, Scopes: scopes("a", "b")},
		`{"active":true,"scope":["b","a"]}`:              {Active: true, Scopes: scopes("a", "b")},
		`{"active":true,"scope":""}`:                     {Active: true},
		`{"active":true,"aud":"x"}`:                      {Active: true, Audience: []string{"x"}},
		`{"active":true,"aud":["x","y"]}`:                {Active: true, Audience: []string{"x", "y"}},
		`{"active":true,"exp":0,"iat":1.5,"nbf":1e9}`:    {Active: true, ExpiresAt: time.Unix(0, 0).UTC(), IssuedAt: time.UnixMilli(1500).UTC(), NotBefore: time.Unix(1e9, 0).UTC()},
		`{"active":true,"exp":253402300799}`:             {Active: true, ExpiresAt: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
		`{"active":true,"token_use":"x","typ":"y"}`:      {Active: true, Use: "x"},
		`{"active":true,"typ":"Refresh"}`:                {Active: true, Use: "Refresh"},
		`{"active":true,"cnf":{"jkt":"x"}}`:              {Active: true, SenderConstrained: true},
		`{"active":true,"Sub":"a","other":{"sub":"b"}}`:  {Active: true}, // names are case-sensitive, and nested members are not read
		`{"active":true,"sub":"` + long(255) + `"}`:      {Active: true, Subject: long(255)},
		`{"active":true,"scope":"` + long(255) + ` a" }`: {Active: true, Scopes: scopes(long(255), "a")},
	} {
		if got, err := parseTokenInfo([]byte(body)); err != nil || !same(got, &want) {
			t.Errorf("%.80s: %+v, %v; want %+v", body, got, err, want)
		}
	}
}

// same compares two results. An empty list of scopes equals none.
func same(a, b *verifier.TokenInfo) bool {
	x, y := *a, *b
	x.Scopes, y.Scopes = authz.Scopes{}, authz.Scopes{}
	return reflect.DeepEqual(x, y) && a.Scopes.String() == b.Scopes.String()
}

func long(n int) string { return strings.Repeat("x", n) }

func TestInvalidTokenInfo(t *testing.T) {
	for name, body := range map[string]string{
		"empty": "", "null": "null", "array": `[{"active":true}]`, "text": `"active"`, "HTML": "<html>", "cut off": `{"active":true`,
		"twice": `{"active":true}{"active":true}`, "byte order mark": "\ufeff" + `{"active":true}`,
		"no active": `{"sub":"a"}`, "active is text": `{"active":"true"}`, "active is a number": `{"active":1}`, "active is null": `{"active":null}`,
		"Active": `{"Active":true,"sub":"a"}`, "active twice": `{"active":false,"active":true}`, "active twice, escaped": `{"active":false,"\u0061ctive":true}`,
		"sub is a number": `{"active":true,"sub":7}`, "sub is null": `{"active":true,"sub":null}`, "sub is a list": `{"active":true,"sub":["a"]}`,
		"sub with NUL": `{"active":true,"sub":"a\u0000"}`, "sub with a line break": `{"active":true,"sub":"a\n"}`, "sub with C1": `{"active":true,"sub":"a\u0085"}`,
		"sub too long": `{"active":true,"sub":"` + long(256) + `"}`, "sub is not UTF-8": "{\"active\":true,\"sub\":\"\xff\"}",
		"username is a bool": `{"active":true,"username":true}`, "client_id too long": `{"active":true,"client_id":"` + long(256) + `"}`,
		"jti is a number": `{"active":true,"jti":7}`, "iss is a number": `{"active":true,"iss":7}`,
		"token_type is a number": `{"active":true,"token_type":7}`, "token_use is null": `{"active":true,"token_use":null}`, "typ is a list": `{"active":true,"typ":[]}`,
		"exp is text": `{"active":true,"exp":"4102444800"}`, "exp is null": `{"active":true,"exp":null}`, "exp is negative": `{"active":true,"exp":-1}`,
		"exp after 9999": `{"active":true,"exp":253402300800}`, "exp overflows": `{"active":true,"exp":1e999}`, "nbf is huge": `{"active":true,"nbf":1e300}`,
		"iat is true": `{"active":true,"iat":true}`, "scope is a number": `{"active":true,"scope":7}`, "scope is null": `{"active":true,"scope":null}`,
		"scope with a quote": `{"active":true,"scope":"a\"b"}`, "scope with a tab": `{"active":true,"scope":"a\tb"}`, "scope is not ASCII": `{"active":true,"scope":"ä"}`,
		"scope list of numbers": `{"active":true,"scope":[7]}`, "scope list with a space": `{"active":true,"scope":["a b"]}`, "scope list with nothing": `{"active":true,"scope":[""]}`,
		"scope too long": `{"active":true,"scope":"` + long(256) + `"}`, "too many scopes": `{"active":true,"scope":"` + strings.Repeat("a ", 1001) + `"}`,
		"aud is a number": `{"active":true,"aud":7}`, "aud list of numbers": `{"active":true,"aud":["a",7]}`, "too many aud": `{"active":true,"aud":["a"` + strings.Repeat(`,"a"`, 1000) + `]}`,
		"deep": `{"active":true,"x":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`,
	} {
		if got, err := parseTokenInfo([]byte(body)); err == nil || got != nil {
			t.Errorf("%s: %+v, %v; want an error", name, got, err)
		} else if strings.Contains(err.Error(), long(256)) {
			t.Errorf("%s: the error quotes the response", name)
		}
	}
}

func FuzzTokenInfo(f *testing.F) {
	for _, seed := range []string{
		`{"active":true,"sub":"a","scope":"b c","exp":1.5,"aud":["x"],"cnf":{}}`, `{"active":false}`, `{"active":true,"scope":["a"],"aud":"b"}`, `{`, "",
		`{"active":true,"nbf":1e300}`, `{"active":true,"sub":"\ud800"}`, `{"active":true,"iat":-0}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		info, err := parseTokenInfo(body)
		if err != nil {
			if info != nil {
				t.Fatal("an error and a token")
			}
			return
		}
		var members map[string]any
		if err := json.Unmarshal(body, &members); err != nil || members["active"] != info.Active {
			t.Fatalf("%q is read as active=%t; by encoding/json it is %v, %v", body, info.Active, members, err)
		}
		if !info.Active {
			if !same(info, &verifier.TokenInfo{}) {
				t.Fatalf("an inactive token has %+v", info)
			}
			return
		}
		if sub, _ := members["sub"].(string); info.Subject != sub || !isText(sub) {
			t.Fatalf("subject %q of %q", info.Subject, body)
		}
		for _, at := range []time.Time{info.ExpiresAt, info.IssuedAt, info.NotBefore} {
			if !at.IsZero() && (at.Year() < 1970 || at.Year() > 9999) {
				t.Fatalf("time %s of %q", at, body)
			}
		}
	})
}

func TestMetadata(t *testing.T) {
	const issuer = "https://issuer.test/tenant"
	for body, want := range map[string]string{
		`{"issuer":"https://issuer.test/tenant","jwks_uri":"https://keys.test/a?b=c"}`:                        "https://keys.test/a?b=c",
		`{"issuer":"https://issuer.test/tenant","jwks_uri":"https://issuer.test/keys","scopes_supported":[]}`: "https://issuer.test/keys",
	} {
		if got, err := parseMetadata([]byte(body), issuer); err != nil || got != want {
			t.Errorf("%s: %q, %v", body, got, err)
		}
	}
	for name, body := range map[string]string{
		"empty": "", "HTML": "<html>", "no issuer": `{"jwks_uri":"https://keys.test"}`,
		"another issuer":    `{"issuer":"https://issuer.test","jwks_uri":"https://keys.test"}`,
		"issuer with slash": `{"issuer":"https://issuer.test/tenant/","jwks_uri":"https://keys.test"}`,
		"issuer upper case": `{"issuer":"HTTPS://issuer.test/tenant","jwks_uri":"https://keys.test"}`,
		"issuer is a list":  `{"issuer":["https://issuer.test/tenant"],"jwks_uri":"https://keys.test"}`,
		"issuer twice":      `{"issuer":"https://evil.test","issuer":"https://issuer.test/tenant","jwks_uri":"https://keys.test"}`,
		"no jwks_uri":       `{"issuer":"https://issuer.test/tenant"}`,
		"jwks_uri a number": `{"issuer":"https://issuer.test/tenant","jwks_uri":7}`,
		"relative":          `{"issuer":"https://issuer.test/tenant","jwks_uri":"/keys"}`,
		"over http":         `{"issuer":"https://issuer.test/tenant","jwks_uri":"http://keys.test"}`,
		"over HTTP":         `{"issuer":"https://issuer.test/tenant","jwks_uri":"HTTP://keys.test"}`,
		"file":              `{"issuer":"https://issuer.test/tenant","jwks_uri":"file:///etc/passwd"}`,
		"with a user":       `{"issuer":"https://issuer.test/tenant","jwks_uri":"https://a:b@keys.test"}`,
		"with a fragment":   `{"issuer":"https://issuer.test/tenant","jwks_uri":"https://keys.test#a"}`,
		"with a line break": `{"issuer":"https://issuer.test/tenant","jwks_uri":"https://keys.test/\r\nHost: evil"}`,
	} {
		if got, err := parseMetadata([]byte(body), issuer); err == nil || got != "" {
			t.Errorf("%s: %q, want an error", name, got)
		} else if strings.Contains(err.Error(), "evil") {
			t.Errorf("%s: the error quotes the document: %v", name, err)
		}
	}
	if _, err := parseMetadata([]byte(`{"issuer":"http://127.0.0.1:80","jwks_uri":"http://127.0.0.1:80/keys"}`), "http://127.0.0.1:80"); err != nil {
		t.Errorf("an issuer on http: %v", err)
	}
}

func FuzzMetadata(f *testing.F) {
	const issuer = "https://i.test"
	for _, seed := range []string{
		`{"issuer":"https://i.test","jwks_uri":"https://k.test/a"}`, `{"issuer":"https://i.test","jwks_uri":"http://k.test"}`,
		`{"issuer":"https://i.test","jwks_uri":"https://u@k.test"}`, `{"issuer":"https://i.test/"}`, `{}`, "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		place, err := parseMetadata(document, issuer)
		if err != nil {
			if place != "" {
				t.Fatal("an error and a URL")
			}
			return
		}
		var members map[string]any
		if err := json.Unmarshal(document, &members); err != nil || members["issuer"] != issuer || members["jwks_uri"] != place {
			t.Fatalf("%q is read as %q; by encoding/json it is %v, %v", document, place, members, err)
		}
		if u, err := checkURL(place); err != nil || u.Scheme != "https" {
			t.Fatalf("URL %q: %v", place, err)
		}
	})
}
