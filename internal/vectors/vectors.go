// Package vectors holds the project's test vectors, so that unit tests and
// end-to-end tests use the same cases and a clone can run them anywhere.
// testdata/README.md describes the fields. It is for tests only.
package vectors

import (
	"bufio"
	"bytes"
	"embed"
	"encoding/json"
	"testing"
)

//go:embed testdata
var testdata embed.FS

// Path is a request target, a path restriction, and whether the restriction
// allows the target.
type Path struct {
	Target string // as sent, any bytes
	Prefix string // the restriction, in the form of `key create --path`
	Expect string // allow, deny or deny_ambiguous
	Class  string
	Why    string
}

// Authorization is a request's credentials as sent, and the expected result of
// reading them.
type Authorization struct {
	Headers [][2]string // header lines in order, the Authorization line first; any bytes
	Target  string
	Expect  string // basic, bearer, apikey, none, deny_malformed, …
	Why     string

	Credential     string // the token, "" if the line does not have it
	User, Password string // with basic
	Bcrypt         string // the password's hash, "" if the line does not have it
}

// Paths returns the lines of paths.jsonl.
func Paths(t testing.TB) []Path {
	t.Helper()
	var all []Path
	eachLine(t, "paths.jsonl", func(line []byte) error {
		var raw struct {
			Path, Prefix, Expect, Class, Why string
			PathB64                          []byte `json:"path_b64"`
		}
		if err := json.Unmarshal(line, &raw); err != nil {
			return err
		}
		p := Path{Target: raw.Path, Prefix: raw.Prefix, Expect: raw.Expect, Class: raw.Class, Why: raw.Why}
		if raw.PathB64 != nil {
			p.Target = string(raw.PathB64)
		}
		all = append(all, p)
		return nil
	})
	return all
}

// Authorizations returns the lines of authorization.jsonl.
func Authorizations(t testing.TB) []Authorization {
	t.Helper()
	var all []Authorization
	eachLine(t, "authorization.jsonl", func(line []byte) error {
		a, err := parseAuthorization(line)
		all = append(all, a)
		return err
	})
	return all
}

func parseAuthorization(line []byte) (Authorization, error) {
	var raw struct {
		Header                        *string
		HeaderB64                     []byte `json:"header_b64"`
		Headers                       [][2]string
		Path, Expect, Why, Credential string
		Bcrypt                        string
		UserB64                       []byte `json:"user_b64"`
		PassB64                       []byte `json:"pass_b64"`
	}
	if err := json.Unmarshal(line, &raw); err != nil {
		return Authorization{}, err
	}
	a := Authorization{Target: raw.Path, Expect: raw.Expect, Why: raw.Why, Credential: raw.Credential, Bcrypt: raw.Bcrypt}
	if a.Target == "" {
		a.Target = "/"
	}
	switch {
	case raw.HeaderB64 != nil:
		a.Headers = append(a.Headers, [2]string{"authorization", string(raw.HeaderB64)})
	case raw.Header != nil:
		a.Headers = append(a.Headers, [2]string{"authorization", *raw.Header})
	}
	a.Headers = append(a.Headers, raw.Headers...)
	a.User, a.Password = string(raw.UserB64), string(raw.PassB64)
	return a, nil
}

func eachLine(t testing.TB, file string, parse func(line []byte) error) {
	t.Helper()
	text, err := testdata.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, len(text))
	n := 0
	for lines.Scan() {
		n++
		if err := parse(lines.Bytes()); err != nil {
			t.Fatalf("%s:%d: %v", file, n, err)
		}
	}
	if err := lines.Err(); err != nil || n == 0 {
		t.Fatalf("%s: %d lines, %v", file, n, err)
	}
}
