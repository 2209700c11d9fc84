package verifier_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"keyward/authz"
	"keyward/internal/vectors"
	"keyward/verifier"
	"keyward/verifier/admission"
	"keyward/verifier/fingerprint"
	"keyward/verifier/jwks"
)

// newChain returns a chain for bearer tokens that has a JWT verifier only.
func newChain(t *testing.T, document []byte) (authz.Verifier, error) {
	t.Helper()
	return newChainOf(t, document, nil)
}

// newChainOf is newChain with other rules of the issuer.
func newChainOf(t *testing.T, document []byte, change func(*verifier.JWTIssuer)) (authz.Verifier, error) {
	t.Helper()
	set, err := jwks.Parse(document)
	if err != nil {
		return nil, err
	}
	keys := &issuerKeys{}
	keys.set.Store(set)
	issuer := profileIssuer(vectors.Profile(t), keys)
	if change != nil {
		change(&issuer)
	}
	v := newJWT(t, verifier.JWTConfig{
		Issuers: []verifier.JWTIssuer{issuer},
		Tokens:  newTokenCache(t), Fingerprints: fingerprint.NewHasher(), Gate: admission.New(admission.Config{}),
	})
	return verifier.Chain{v}, nil
}

func TestTokenVectors(t *testing.T) {
	chain, err := newChain(t, vectors.KeySet(t))
	if err != nil {
		t.Fatal(err)
	}
	now := vectors.Profile(t).Now
	changed := readDifferences(t, "accepted_vectors.txt")
	for _, v := range vectors.Tokens(t) {
		if changed.has(v.ID) {
			v.Expect = "accept"
		}
		for range 2 { // and from the cache
			p, reason := verifyToken(chain, context.Background(), v.Token, now)
			switch v.Expect {
			case "accept":
				if reason != authz.OK {
					t.Errorf("%s: %s, want ok: %s", v.ID, reason, v.Why)
				} else if err := assertion(v.Ref, p); err != nil {
					t.Errorf("%s: %v", v.ID, err)
				}
			case "reject":
				if want := authz.InvalidToken; reason != want && (reason != authz.ExpiredToken || !strings.HasPrefix(v.ID, "exp-")) {
					t.Errorf("%s: %s, want %s: %s", v.ID, reason, want, v.Why)
				}
			default:
				t.Fatalf("%s: expects %q", v.ID, v.Expect)
			}
		}
	}
	changed.checkUsed(t, "")
}

// assertion checks the assertion in a vector's ref, "assert NAME==VALUE", if
// there is one.
func assertion(ref string, p *authz.Principal) error {
	text, found := strings.CutPrefix(ref, "assert ")
	if !found {
		return nil
	}
	name, want, found := strings.Cut(text, "==")
	got := map[string]string{"scope": p.Scopes.String(), "sub": p.Subject()}
	if v, known := got[name]; !found || !known || v != want {
		return fmt.Errorf("%q does not hold: %q", text, v)
	}
	return nil
}

func TestKeySetVectors(t *testing.T) {
	now := vectors.Profile(t).Now
	for _, v := range vectors.KeySetCases(t) {
		reason := authz.InvalidToken
		if chain, err := newChain(t, v.JWKS); err == nil {
			_, reason = verifyToken(chain, context.Background(), v.Token, now)
		}
		if got := reason == authz.OK; got != (v.Expect == "accept") {
			t.Errorf("%s: %s, want %s: %s", v.ID, reason, v.Expect, v.Why)
		}
	}
}

// knownDifferences are third-party vectors that are marked valid and that
// Keyward refuses. The list is used only for vectors that are marked valid, so
// it cannot excuse an acceptance. An unused entry is an error.
type knownDifferences struct {
	reasons map[string]string
	used    map[string]bool
}

func readKnownDifferences(t *testing.T) *knownDifferences {
	t.Helper()
	return readDifferences(t, "known_differences.txt")
}

// readDifferences reads a file of vectors and reasons, one per line.
func readDifferences(t *testing.T, name string) *knownDifferences {
	t.Helper()
	file, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	d := &knownDifferences{reasons: map[string]string{}, used: map[string]bool{}}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if text := lines.Text(); text != "" && !strings.HasPrefix(text, "#") {
			id, why, _ := strings.Cut(text, " ")
			if why == "" {
				t.Errorf("%s: %s without a reason", name, id)
			}
			d.reasons[id] = why
		}
	}
	return d
}

// has reports whether the vector is listed.
func (d *knownDifferences) has(id string) bool {
	_, listed := d.reasons[id]
	d.used[id] = d.used[id] || listed
	return listed
}

// check compares the result with the vector's.
func (d *knownDifferences) check(t *testing.T, id string, accepted, valid bool) {
	t.Helper()
	switch _, known := d.reasons[id]; {
	case accepted && !valid:
		t.Errorf("%s: accepted, and must be refused", id)
	case valid && known:
		d.used[id] = true
		if accepted {
			t.Errorf("%s: accepted, and so no longer a difference", id)
		}
	case valid && !accepted:
		t.Errorf("%s: refused, and should be accepted", id)
	}
}

func (d *knownDifferences) checkUsed(t *testing.T, prefix string) {
	t.Helper()
	for id := range d.reasons {
		if strings.HasPrefix(id, prefix) && !d.used[id] {
			t.Errorf("%s: no vector of this kind has that id", id)
		}
	}
}

// accepts reports whether the signature and the header of a token are valid
// with the key set. The payloads of these vectors are not claims, so nothing
// else can be checked.
func accepts(set *jwks.Set, token string, algorithms []string) bool {
	keys := &issuerKeys{}
	keys.set.Store(set)
	return verifier.SignatureGood(token, algorithms, keys)
}

type wycheproof struct {
	TestGroups []struct {
		Public, Private json.RawMessage
		Tests           []struct {
			TcID        int
			JWS, Result string
		}
	}
}

func readWycheproof(t *testing.T, name string) (w wycheproof, found bool) {
	t.Helper()
	text, found := vectors.Shared(t, "jwt/wycheproof/"+name)
	if found {
		if err := json.Unmarshal(text, &w); err != nil {
			t.Fatal(err)
		}
	}
	return w, found
}

var (
	publicAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	secretAlgorithms = []string{"HS256", "HS384", "HS512"}
)

func TestWycheproofSignatures(t *testing.T) {
	w, found := readWycheproof(t, "json_web_signature_test.json")
	if !found {
		return
	}
	known := readKnownDifferences(t)
	n := 0
	for _, group := range w.TestGroups {
		set, algorithms, err := singleKeySet(group.Public, group.Private)
		for _, test := range group.Tests {
			if test.TcID == 367 || test.TcID == 370 {
				continue // byte for byte the token of 357, with another result
			}
			n++
			accepted := err == nil && accepts(set, test.JWS, algorithms)
			known.check(t, fmt.Sprintf("json_web_signature/%d", test.TcID), accepted, test.Result == "valid")
		}
	}
	if n < 350 {
		t.Errorf("%d vectors only", n)
	}
	known.checkUsed(t, "json_web_signature/")
}

// singleKeySet makes a set of one JWK. A symmetric key is parsed as a secret
// file is.
func singleKeySet(public, private json.RawMessage) (*jwks.Set, []string, error) {
	if public != nil {
		set, err := jwks.Parse([]byte(`{"keys":[` + string(public) + `]}`))
		return set, publicAlgorithms, err
	}
	var jwk struct{ K, Alg string }
	if err := json.Unmarshal(private, &jwk); err != nil {
		return nil, nil, err
	}
	secret, err := base64.RawURLEncoding.DecodeString(jwk.K)
	if err != nil {
		return nil, nil, err
	}
	set, err := jwks.ParseSecret(authz.NewSecret(string(secret)))
	algorithms := secretAlgorithms
	if jwk.Alg != "" {
		algorithms = []string{jwk.Alg}
	}
	return set, algorithms, err
}

func TestWycheproofKeys(t *testing.T) {
	w, found := readWycheproof(t, "json_web_key_test.json")
	if !found {
		return
	}
	known := readKnownDifferences(t)
	for _, group := range w.TestGroups {
		document := group.Public
		if document == nil {
			document = group.Private
		}
		set, err := jwks.Parse(document)
		for _, test := range group.Tests {
			accepted := err == nil && accepts(set, test.JWS, publicAlgorithms)
			known.check(t, fmt.Sprintf("json_web_key/%d", test.TcID), accepted, test.Result == "valid")
		}
	}
	known.checkUsed(t, "json_web_key/")
}

// TestRFCExamples checks that the profile accepts none of the examples, and
// that the signatures that are marked valid are.
func TestRFCExamples(t *testing.T) {
	text, found := vectors.Shared(t, "jwt/rfc/rfc_vectors.jsonl")
	if !found {
		return
	}
	known := readKnownDifferences(t)
	profile := vectors.Profile(t)
	chain, err := newChain(t, vectors.KeySet(t))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var v struct {
			ID, Token, Signature string
			JWK                  json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		if _, reason := verifyToken(chain, context.Background(), v.Token, profile.Now); reason == authz.OK {
			t.Errorf("%s: accepted under the profile", v.ID)
		}
		public, private := v.JWK, json.RawMessage(nil)
		if strings.Contains(string(v.JWK), `"oct"`) {
			public, private = nil, v.JWK
		}
		accepted := false
		if string(v.JWK) != "" && string(v.JWK) != "null" {
			set, algorithms, err := singleKeySet(public, private)
			accepted = err == nil && accepts(set, v.Token, algorithms)
		}
		known.check(t, "rfc/"+v.ID, accepted, v.Signature == "valid")
	}
	known.checkUsed(t, "rfc/")
}
