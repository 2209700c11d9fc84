//go:build !race

package verifier_test

import (
	"context"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"keyward/authz"
	"keyward/verifier"
	"keyward/verifier/jwks"
)

// These benchmarks compare the cost of an uncached token with that of its
// signature alone.
func BenchmarkVerifyRS256(b *testing.B) { benchmarkVerify(b, "RS256") }
func BenchmarkVerifyES256(b *testing.B) { benchmarkVerify(b, "ES256") }
func BenchmarkVerifyEdDSA(b *testing.B) { benchmarkVerify(b, "EdDSA") }

func benchmarkVerify(b *testing.B, algorithm string) {
	fixture := newJWTFixture(b, nil)
	token := fixture.mint(algorithm, map[string]any{"jti": "0123456789abcdef", "client_id": "web", "scope": "read write"})
	b.Run("signature", func(b *testing.B) {
		last := strings.LastIndexByte(token, '.')
		signature, err := jwt.NewParser().DecodeSegment(token[last+1:])
		if err != nil {
			b.Fatal(err)
		}
		keys, err := fixture.keys.set.Load().Find(jwks.Query{ID: algorithm, HasID: true, Algorithm: algorithm})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if err := jwt.GetSigningMethod(algorithm).Verify(token[:last], signature, keys[0].VerificationKey()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("uncached", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := verifier.VerifyUncached(fixture.JWT, token, fixture.now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cached", func(b *testing.B) {
		c := &authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(token)}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := fixture.Verify(context.Background(), c, fixture.now); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestCachedTokenAllocatesNothing(t *testing.T) {
	f := newJWTFixture(t, nil)
	c := &authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret(f.mint("EdDSA", nil))}
	verify := func() {
		if _, err := f.Verify(t.Context(), c, f.now); err != nil {
			t.Fatal(err)
		}
	}
	verify()
	if n := testing.AllocsPerRun(200, verify); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
