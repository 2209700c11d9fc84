package tokensource

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"slices"
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
		`{"active":true,"scope":"b a  b"}`:              {Active: true, Scopes: scopes("a", "b")},
		`{"active":true,"scope":["b","a"]}`:             {Active: true, Scopes: scopes("a", "b")},
		`{"active":true,"scope":""}`:                    {Active: true},
		`{"active":true,"aud":"x"}`:                     {Active: true, Audience: []string{"x"}},
		`{"active":true,"aud":["x","y"]}`:               {Active: true, Audience: []string{"x", "y"}},
		`{"active":true,"exp":1,"iat":1.5,"nbf":1e9}`:   {Active: true, ExpiresAt: time.Unix(1, 0).UTC(), IssuedAt: time.UnixMilli(1500).UTC(), NotBefore: time.Unix(1e9, 0).UTC()},
		`{"active":true,"exp":253402300799}`:            {Active: true, ExpiresAt: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
		`{"active":true,"token_use":"x","typ":"y"}`:     {Active: true, Use: "x"},
		`{"active":true,"typ":"Refresh"}`:               {Active: true, Use: "Refresh"},
		`{"active":true,"cnf":{"jkt":"x"}}`:             {Active: true, SenderConstrained: true},
		`{"active":true,"Sub":"a","other":{"sub":"b"}}`: {Active: true}, // names are case-sensitive, and nested members are not read
		// What means the same, as servers write it.
		`{"active":true,"sub":null,"username":null,"client_id":null,"iss":null,"jti":null,"aud":null,"scope":null,"token_type":null,"token_use":null,"typ":null,"exp":null,"iat":null,"nbf":null,"cnf":null}`: {Active: true},
		`{"active":true,"token_use":null,"typ":"Refresh"}`: {Active: true, Use: "Refresh"},
		`{"active":true,"exp":0,"iat":0,"nbf":0.0}`:        {Active: true},
		`{"active":true,"exp":"4102444800","iat":"1700000000","nbf":"0"}`: {
			Active: true, ExpiresAt: time.Unix(4102444800, 0).UTC(), IssuedAt: time.Unix(1700000000, 0).UTC()},
		`{"active":true,"sub":7,"username":0,"client_id":9007199254740992,"jti":12}`: {
			Active: true, Subject: "7", Username: "0", ClientID: "9007199254740992", JTI: "12"},
		`{"active":true,"aud":7}`:                       {Active: true, Audience: []string{"7"}},
		`{"active":true,"aud":["a",7]}`:                 {Active: true, Audience: []string{"a", "7"}},
		`{"active":true,"aud":[]}`:                      {Active: true, Audience: []string{}},
		`{"active":true,"aud":""}`:                      {Active: true},
		`{"active":true,"scope":[""]}`:                  {Active: true},
		`{"active":true,"scope":[]}`:                    {Active: true},
		`{"active":true,"scope":["","a"]}`:              {Active: true, Scopes: scopes("a")},
		"\ufeff" + `{"active":true,"sub":"a"}` + "\r\n": {Active: true, Subject: "a"},
		// Not read: no RFC names them, and some servers let clients set them.
		`{"active":true,"scp":["a"],"scopes":"b","user_id":7,"aud_id":"x"}`: {Active: true},
		`{"active":true,"sub":"` + long(255) + `"}`:                         {Active: true, Subject: long(255)},
		`{"active":true,"scope":"` + long(255) + ` a" }`:                    {Active: true, Scopes: scopes(long(255), "a")},
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
		"twice": `{"active":true}{"active":true}`, "two byte order marks": "\ufeff\ufeff" + `{"active":true}`,
		"a mark inside": "{\ufeff" + `"active":true}`, "a mark behind": `{"active":true}` + "\ufeff", "a signed JWT": "eyJhbGciOiJSUzI1NiJ9.eyJhY3RpdmUiOnRydWV9.AAAA",
		"no active": `{"sub":"a"}`, "active is text": `{"active":"true"}`, "active is a number": `{"active":1}`, "active is null": `{"active":null}`,
		"active is TRUE in a text": `{"active":"TRUE"}`, "active is a list": `{"active":[true]}`, "active is an object": `{"active":{"value":true}}`,
		"Active": `{"Active":true,"sub":"a"}`, "active twice": `{"active":false,"active":true}`, "active twice, escaped": `{"active":false,"\u0061ctive":true}`,
		"sub is negative": `{"active":true,"sub":-7}`, "sub is negative zero": `{"active":true,"sub":-0}`, "sub has a fraction": `{"active":true,"sub":7.0}`, "sub has an exponent": `{"active":true,"sub":7e0}`,
		"sub may be rounded": `{"active":true,"sub":9007199254740993}`, "sub overflows": `{"active":true,"sub":18446744073709551623}`, "sub is true": `{"active":true,"sub":true}`, "sub is an object": `{"active":true,"sub":{}}`,
		"sub is a list": `{"active":true,"sub":["a"]}`,
		"sub with NUL":  `{"active":true,"sub":"a\u0000"}`, "sub with a line break": `{"active":true,"sub":"a\n"}`, "sub with C1": `{"active":true,"sub":"a\u0085"}`,
		"sub too long": `{"active":true,"sub":"` + long(256) + `"}`, "sub is not UTF-8": "{\"active\":true,\"sub\":\"\xff\"}",
		"username is a bool": `{"active":true,"username":true}`, "client_id too long": `{"active":true,"client_id":"` + long(256) + `"}`,
		"jti has a fraction": `{"active":true,"jti":1.5}`, "iss is a number": `{"active":true,"iss":7}`,
		"token_type is a number": `{"active":true,"token_type":7}`, "typ is a list": `{"active":true,"typ":[]}`,
		"exp is a date": `{"active":true,"exp":"2040-01-31T00:00:00Z"}`, "exp is empty": `{"active":true,"exp":""}`, "exp in a text with a space": `{"active":true,"exp":" 4102444800"}`,
		"exp in a text with a sign": `{"active":true,"exp":"+4102444800"}`, "exp in a text is negative": `{"active":true,"exp":"-1"}`, "exp in a text with a zero first": `{"active":true,"exp":"04102444800"}`,
		"exp in a text with a fraction": `{"active":true,"exp":"4102444800.5"}`, "exp in a text in milliseconds": `{"active":true,"exp":"4102444800000"}`, "exp in milliseconds": `{"active":true,"exp":4102444800000}`,
		"exp in hexadecimal": `{"active":true,"exp":"0x10"}`, "exp is false": `{"active":true,"exp":false}`, "exp is an object": `{"active":true,"exp":{"date":"2040-01-31 00:00:00"}}`, "exp is negative": `{"active":true,"exp":-1}`,
		"exp after 9999": `{"active":true,"exp":253402300800}`, "exp overflows": `{"active":true,"exp":1e999}`, "nbf is huge": `{"active":true,"nbf":1e300}`,
		"iat is true": `{"active":true,"iat":true}`, "scope is a number": `{"active":true,"scope":7}`, "scope is true": `{"active":true,"scope":true}`, "scope is an object": `{"active":true,"scope":{"a":true}}`, "scope list with null": `{"active":true,"scope":[null]}`,
		"scope with a quote": `{"active":true,"scope":"a\"b"}`, "scope with a tab": `{"active":true,"scope":"a\tb"}`, "scope is not ASCII": `{"active":true,"scope":"ä"}`,
		"scope list of numbers": `{"active":true,"scope":[7]}`, "scope list with a space": `{"active":true,"scope":["a b"]}`,
		"scope too long": `{"active":true,"scope":"` + long(256) + `"}`, "too many scopes": `{"active":true,"scope":"` + strings.Repeat("a ", 1001) + `"}`,
		"aud is true": `{"active":true,"aud":true}`, "aud list with null": `{"active":true,"aud":["a",null]}`, "aud list with a fraction": `{"active":true,"aud":[1.5]}`, "too many aud": `{"active":true,"aud":["a"` + strings.Repeat(`,"a"`, 1000) + `]}`,
		"deep": `{"active":true,"x":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`,
	} {
		if got, err := parseTokenInfo([]byte(body)); err == nil || got != nil {
			t.Errorf("%s: %+v, %v; want an error", name, got, err)
		} else if strings.Contains(err.Error(), long(256)) {
			t.Errorf("%s: the error quotes the response", name)
		}
	}
}

// TestHowTokenInfoIsRefused checks that the error says what to do, where the
// response shows a usual mistake.
func TestHowTokenInfoIsRefused(t *testing.T) {
	for body, want := range map[string]string{
		"<html>":                                 "a page of HTML: the URL leads to a login or an error page",
		"\ufeff\r\n<!doctype html>":              "a page of HTML",
		"eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.AAAA":   "have the server answer in JSON (RFC 7662)",
		`{"exp":"4102444800","scope":"a"}`:       "url must be an introspection endpoint (RFC 7662)", // Google's tokeninfo
		`{"active":"true"}`:                      "active is not true or false",
		`{"active":true,"exp":4102444800000}`:    "milliseconds",
		`{"active":true,"sub":9007199254740993}`: "a whole number from 0 to 2^53",
	} {
		if _, err := parseTokenInfo([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", body, err, want)
		}
	}
}

func FuzzTokenInfo(f *testing.F) {
	for _, seed := range []string{
		`{"active":true,"sub":"a","scope":"b c","exp":1.5,"aud":["x"],"cnf":{}}`, `{"active":false}`, `{"active":true,"scope":["a"],"aud":"b"}`, `{`, "",
		`{"active":true,"nbf":1e300}`, `{"active":true,"sub":"\ud800"}`, `{"active":true,"iat":-0}`, `{"active":true,"sub":7,"aud":[1,"a"],"exp":"12","cnf":null}`,
		`{"active":true,"sub":null,"scope":["","a"],"exp":0,"typ":null}`, "\ufeff" + `{"active":true,"jti":9007199254740993,"exp":"253402300800"}`,
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
		if want, err := modelTokenInfo(body); err != nil || !same(info, want) {
			t.Fatalf("%q is read as %+v; the model reads %+v, %v", body, info, want, err)
		}
	})
}

// modelTokenInfo reads a response that parseTokenInfo accepts, by encoding/json
// and arbitrary precision instead of this module's parsers.
func modelTokenInfo(body []byte) (*verifier.TokenInfo, error) {
	decoder := json.NewDecoder(strings.NewReader(strings.TrimPrefix(string(body), "\ufeff")))
	decoder.UseNumber()
	var m map[string]any
	if err := decoder.Decode(&m); err != nil {
		return nil, err
	}
	active, ok := m["active"].(bool)
	if !ok || !active {
		return &verifier.TokenInfo{}, nil
	}
	var bad error
	id := func(v any) string {
		switch v := v.(type) {
		case nil:
			return ""
		case string:
			return v
		case json.Number:
			if n, ok := new(big.Int).SetString(v.String(), 10); ok && n.Sign() >= 0 && n.Cmp(big.NewInt(1<<53)) <= 0 && n.String() == v.String() {
				return n.String()
			}
		}
		bad = fmt.Errorf("id %v", v)
		return ""
	}
	at := func(v any) time.Time {
		text := ""
		switch v := v.(type) {
		case nil:
			return time.Time{}
		case string:
			text = v
		case json.Number:
			text = v.String()
		}
		n, ok := new(big.Rat).SetString(text)
		if !ok || n.Sign() < 0 {
			bad = fmt.Errorf("time %v", v)
			return time.Time{}
		}
		nanos := new(big.Int).Quo(new(big.Int).Mul(n.Num(), big.NewInt(1e9)), n.Denom())
		seconds, rest := new(big.Int).QuoRem(nanos, big.NewInt(1e9), new(big.Int))
		if nanos.Sign() == 0 {
			return time.Time{}
		}
		return time.Unix(seconds.Int64(), rest.Int64()).UTC()
	}
	list := func(v any) []string {
		values, isList := v.([]any)
		if !isList {
			if text := id(v); text != "" {
				return []string{text}
			}
			return nil
		}
		all := []string{}
		for _, each := range values {
			all = append(all, id(each))
		}
		return all
	}
	var names []string
	if text, ok := m["scope"].(string); ok {
		names = strings.Split(text, " ")
	} else {
		names = list(m["scope"])
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	scopes, err := authz.ParseScopes(names)
	use := id(m["token_use"])
	if use == "" {
		use = id(m["typ"])
	}
	info := &verifier.TokenInfo{
		Active: true, Subject: id(m["sub"]), Username: id(m["username"]), ClientID: id(m["client_id"]), Issuer: id(m["iss"]), JTI: id(m["jti"]),
		Audience: list(m["aud"]), Scopes: scopes, TokenType: id(m["token_type"]), Use: use, SenderConstrained: m["cnf"] != nil,
		ExpiresAt: at(m["exp"]), IssuedAt: at(m["iat"]), NotBefore: at(m["nbf"]),
	}
	return info, errors.Join(bad, err)
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
		if err := json.Unmarshal(withoutMark(document), &members); err != nil || members["issuer"] != issuer || members["jwks_uri"] != place {
			t.Fatalf("%q is read as %q; by encoding/json it is %v, %v", document, place, members, err)
		}
		if u, err := checkURL(place); err != nil || u.Scheme != "https" {
			t.Fatalf("URL %q: %v", place, err)
		}
	})
}
