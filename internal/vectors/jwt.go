package vectors

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Token is a token, and the expected answer under the [TokenProfile] with the
// [KeySet].
type Token struct {
	ID, Group, Token string
	Expect           string // accept or reject
	Why              string
	Ref              string // one that begins with "assert" names a further condition
}

// KeySetCase is a key set and a token, and the expected answer under the
// [TokenProfile].
type KeySetCase struct {
	ID     string
	JWKS   json.RawMessage
	Token  string
	Expect string // accept or reject
	Why    string
}

// TokenProfile holds the issuer's rules for the tokens, and the time at which
// they are verified.
type TokenProfile struct {
	Now              time.Time
	Leeway           time.Duration
	MaxLifetime      time.Duration
	Issuer, Audience string
	Algorithms       []string
}

// Tokens returns the lines of jwt/tokens.jsonl.
func Tokens(t testing.TB) []Token {
	t.Helper()
	var all []Token
	eachLine(t, "jwt/tokens.jsonl", func(line []byte) error {
		var token Token
		err := json.Unmarshal(line, &token)
		all = append(all, token)
		return err
	})
	return all
}

// KeySetCases returns the lines of jwt/jwks_cases.jsonl.
func KeySetCases(t testing.TB) []KeySetCase {
	t.Helper()
	var all []KeySetCase
	eachLine(t, "jwt/jwks_cases.jsonl", func(line []byte) error {
		var c KeySetCase
		err := json.Unmarshal(line, &c)
		all = append(all, c)
		return err
	})
	return all
}

// KeySet returns jwt/jwks.json.
func KeySet(t testing.TB) []byte {
	t.Helper()
	text, err := testdata.ReadFile("testdata/jwt/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Profile returns jwt/profile.json.
func Profile(t testing.TB) TokenProfile {
	t.Helper()
	text, err := testdata.ReadFile("testdata/jwt/profile.json")
	if err != nil {
		t.Fatal(err)
	}
	var raw struct {
		Now              int64
		Leeway           int64 `json:"leeway_seconds"`
		MaxLifetime      int64 `json:"max_lifetime_seconds"`
		Issuer, Audience string
		Algorithms       []string `json:"allowed_algs"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		t.Fatal(err)
	}
	return TokenProfile{
		Now: time.Unix(raw.Now, 0).UTC(), Leeway: time.Duration(raw.Leeway) * time.Second,
		MaxLifetime: time.Duration(raw.MaxLifetime) * time.Second,
		Issuer:      raw.Issuer, Audience: raw.Audience, Algorithms: raw.Algorithms,
	}
}

// Shared returns a file of third-party vectors, which are not copied into the
// repository. It is read from VECTORS_DIR, or else from ../shared/vectors next
// to the repository. If it does not exist, Shared logs that and found is false.
func Shared(t testing.TB, name string) (text []byte, found bool) {
	t.Helper()
	dir := os.Getenv("VECTORS_DIR")
	if dir == "" {
		dir = filepath.Join(repository(t), "..", "shared", "vectors")
	}
	text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	if os.IsNotExist(err) {
		t.Logf("not tested: %s does not exist; VECTORS_DIR is the directory of the shared vectors", name)
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	return text, true
}

// repository returns the directory of go.mod.
func repository(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's directory")
		}
		dir = up
	}
}
