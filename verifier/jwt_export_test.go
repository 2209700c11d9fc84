package verifier

import (
	"context"
	"time"

	"keyward/authz"
	"keyward/verifier/admission"
	"keyward/verifier/jwks"
)

// SignatureGood reports whether a token's header and signature are valid,
// whatever its payload.
func SignatureGood(token string, algorithms []string, keys KeySource) bool {
	return signatureGood(token, JWTIssuer{AuthMethod: authz.AuthMethodJWT, Issuer: "any", Algorithms: algorithms, Keys: keys, MaxLifetime: time.Hour})
}

func signatureGood(token string, issuer JWTIssuer) bool {
	i, err := newJWTIssuer(issuer)
	if err != nil {
		return false
	}
	signed, cause := parseSegments(token)
	if cause != nil || i.accepts(&signed.header) != nil {
		return false
	}
	found, err := i.findKeys(context.Background(), &signed.header, time.Time{})
	return err == nil && i.verifySignature(&signed, found) != nil
}

// VerifyUncached verifies a token as if it were not cached.
func VerifyUncached(j *JWT, token string, now time.Time) error {
	id := j.cfg.Fingerprints.Sum("jwt", token)
	_, _, err := j.compute(context.Background(), id, &authz.Credential{}, token, now)
	return err
}

// RawSignatureGood reports whether a signature over any text is valid.
func RawSignatureGood(key *jwks.Key, algorithm, text string, signature []byte) bool {
	return key.SupportsAlgorithm(algorithm) && signingMethod(algorithm).Verify(text, signature, key.VerificationKey()) == nil
}

// ClientOf returns the client at an address.
func ClientOf(address string) admission.Client { return clientOf(authz.ParseAddress(address)) }

// SignatureGoodAnyKid is SignatureGood for an issuer whose tokens need not name
// their key.
func SignatureGoodAnyKid(token string, algorithms []string, keys KeySource) bool {
	return signatureGood(token, JWTIssuer{AuthMethod: authz.AuthMethodJWT, Issuer: "any", Algorithms: algorithms, Keys: keys, MaxLifetime: time.Hour, OptionalKid: true})
}
