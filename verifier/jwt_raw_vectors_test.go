package verifier_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"testing"

	"keyward/internal/vectors"
	"keyward/verifier"
	"keyward/verifier/jwks"
)

// TestWycheproofRawSignatures verifies signatures over messages that are not
// tokens, with keys that are parsed from a key set.
func TestWycheproofRawSignatures(t *testing.T) {
	known := readKnownDifferences(t)
	for name, algorithm := range map[string]string{"ed25519_test": "EdDSA", "ecdsa_secp256r1_sha256_p1363_test": "ES256"} {
		text, found := vectors.Shared(t, "jwt/wycheproof/"+name+".json")
		if !found {
			continue
		}
		var file struct {
			TestGroups []struct {
				PublicKey struct{ Uncompressed, PK string }
				Tests     []struct {
					TcID             int
					Msg, Sig, Result string
				}
			}
		}
		if err := json.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, group := range file.TestGroups {
			key := singleKey(t, group.PublicKey.Uncompressed, group.PublicKey.PK, algorithm)
			for _, test := range group.Tests {
				message, err := hex.DecodeString(test.Msg)
				if err != nil {
					t.Fatal(err)
				}
				signature, err := hex.DecodeString(test.Sig)
				accepted := err == nil && key != nil && verifier.RawSignatureGood(key, algorithm, string(message), signature)
				known.check(t, fmt.Sprintf("%s/%d", name, test.TcID), accepted, test.Result == "valid")
				n++
			}
		}
		if n < 150 {
			t.Errorf("%s: %d vectors only", name, n)
		}
		known.checkUsed(t, name+"/")
	}
}

// singleKey returns the key at a point of a curve, or the Ed25519 key, parsed
// from a key set; nil if the set is refused. Not every group has its key as a
// JWK.
func singleKey(t *testing.T, point, ed25519, algorithm string) *jwks.Key {
	t.Helper()
	raw, err := hex.DecodeString(point + ed25519)
	if err != nil {
		t.Fatal(err)
	}
	jwk := fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q}`, base64.RawURLEncoding.EncodeToString(raw))
	if point != "" { // 4, then the two coordinates
		x, y := raw[1:33], raw[33:]
		jwk = fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, base64.RawURLEncoding.EncodeToString(x), base64.RawURLEncoding.EncodeToString(y))
	}
	set, err := jwks.Parse(fmt.Appendf(nil, `{"keys":[%s]}`, jwk))
	if err != nil {
		return nil
	}
	keys, err := set.Find(jwks.Query{Algorithm: algorithm})
	if err != nil {
		return nil
	}
	return keys[0]
}
