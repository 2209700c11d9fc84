package verifier

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyward/authz"
	"keyward/verifier/jwks"
)

// JWTIssuer names an issuer whose tokens are accepted, and the rules for them.
type JWTIssuer struct {
	Name       string           // in errors
	AuthMethod authz.AuthMethod // AuthMethodJWT, or AuthMethodOAuth for access tokens with all requirements of RFC 9068
	Issuer     string           // iss, compared byte for byte
	Audiences  []string         // one of them must be in aud; empty: any aud or none
	Algorithms []string         // names of RFC 7518 and 8037; HMAC (HS…) must not be mixed with others
	Keys       KeySource

	SubjectClaim string // a member's name, or else a dotted path into nested objects; "": sub
	ScopeClaim   string // the same for the scopes; "": scope

	Leeway      time.Duration // for clock differences; 0: none
	MaxLifetime time.Duration // from now and from iat until exp; must be positive
	Users       bool          // subjects are users, who must exist and be enabled, and whose paths apply

	// Own is Keyward's own issuer, whose AuthMethod is AuthMethodOAuth and whose subjects are
	// Users. Its tokens have claims that other issuers' have not: see ownClaims.
	Own bool
}

// jwtIssuer is a validated JWTIssuer.
type jwtIssuer struct {
	JWTIssuer
	subject, scope claimPath
	methods        map[string]jwt.SigningMethod // by algorithm
	options        []jwt.ParserOption           // golang-jwt's rules for claims, except for the time

	wantAudience, wantAlgorithm, wantLifetime string // Cause.Want for these
}

func newJWTIssuer(c JWTIssuer) (*jwtIssuer, error) {
	switch {
	case c.AuthMethod != authz.AuthMethodJWT && c.AuthMethod != authz.AuthMethodOAuth:
		return nil, errors.New("its tokens must be JWTs or OAuth access tokens")
	case c.Issuer == "" || c.Keys == nil || len(c.Algorithms) == 0:
		return nil, errors.New("it needs an iss, keys and algorithms")
	case c.Own && (c.AuthMethod != authz.AuthMethodOAuth || !c.Users):
		return nil, errors.New("the tokens of Keyward's own issuer must be access tokens of users")
	case c.Leeway < 0 || c.MaxLifetime <= 0:
		return nil, errors.New("leeway must not be negative, and the maximum lifetime must be positive")
	case slices.Contains(c.Audiences, ""):
		return nil, errors.New("an audience must have a name")
	}
	i := &jwtIssuer{
		JWTIssuer: c, subject: newClaimPath(c.SubjectClaim, "sub"), scope: newClaimPath(c.ScopeClaim, "scope"),
		methods: map[string]jwt.SigningMethod{},
		options: []jwt.ParserOption{
			jwt.WithIssuer(c.Issuer), jwt.WithAudience(c.Audiences...), jwt.WithExpirationRequired(),
			jwt.WithIssuedAt(), jwt.WithLeeway(c.Leeway),
		},
	}
	i.wantAudience = "a text or a list of texts"
	if len(c.Audiences) > 0 {
		i.wantAudience = oneOf(c.Audiences) + " (audiences)"
	}
	i.wantAlgorithm = oneOf(c.Algorithms) + " (algorithms)"
	i.wantLifetime = "a time at most " + c.MaxLifetime.String() + " (max_lifetime)"
	secret := strings.HasPrefix(c.Algorithms[0], "HS")
	for _, name := range c.Algorithms {
		method := signingMethod(name)
		if method == nil {
			return nil, fmt.Errorf("%q is not a known signature algorithm", name)
		}
		if strings.HasPrefix(name, "HS") != secret {
			return nil, errors.New("algorithms with a secret and with a public key are mixed")
		}
		i.methods[name] = method
	}
	return i, nil
}

// signingMethod returns golang-jwt's method, nil for an algorithm that is not
// supported. Its argument comes from the configuration, never from a token.
func signingMethod(algorithm string) jwt.SigningMethod {
	switch algorithm {
	case "HS256":
		return jwt.SigningMethodHS256
	case "HS384":
		return jwt.SigningMethodHS384
	case "HS512":
		return jwt.SigningMethodHS512
	case "RS256":
		return jwt.SigningMethodRS256
	case "RS384":
		return jwt.SigningMethodRS384
	case "RS512":
		return jwt.SigningMethodRS512
	case "PS256":
		return exactSalt(jwt.SigningMethodPS256)
	case "PS384":
		return exactSalt(jwt.SigningMethodPS384)
	case "PS512":
		return exactSalt(jwt.SigningMethodPS512)
	case "ES256":
		return jwt.SigningMethodES256
	case "ES384":
		return jwt.SigningMethodES384
	case "ES512":
		return jwt.SigningMethodES512
	case "EdDSA":
		return jwt.SigningMethodEdDSA
	default:
		return nil
	}
}

// exactSalt requires a salt as long as the hash (RFC 7518 section 3.5). By
// default golang-jwt verifies a salt of any length.
func exactSalt(m *jwt.SigningMethodRSAPSS) jwt.SigningMethod {
	return &jwt.SigningMethodRSAPSS{SigningMethodRSA: m.SigningMethodRSA, Options: m.Options}
}

// accepts checks a header against the issuer's rules. RFC 9068 section 4
// requires the type of an access token, so that an ID token of the same issuer
// is not accepted as one.
func (i *jwtIssuer) accepts(h *joseHeader) *Cause {
	switch {
	case i.methods[h.algorithm] == nil:
		return &Cause{RuleAlg, i.wantAlgorithm, "another algorithm"}
	case i.AuthMethod == authz.AuthMethodOAuth && !h.accessToken:
		return &Cause{RuleTyp, "at+jwt (RFC 9068 section 4)", "another type, or none"}
	default:
		return nil
	}
}

// findKey returns the key that the header names. The algorithm is one of the
// issuer's and one of the key's.
func (i *jwtIssuer) findKey(ctx context.Context, h *joseHeader, now time.Time) (*jwks.Key, error) {
	key, err := i.Keys.Find(ctx, h.kid, h.hasKid, h.algorithm, now)
	switch {
	case errors.Is(err, jwks.ErrManyKeys):
		return nil, invalid(&Cause{RuleKid, "the id of one of the issuer's keys for " + h.algorithm, "none, and several keys fit"})
	case errors.Is(err, jwks.ErrNoKey) && !h.hasKid:
		return nil, invalid(&Cause{RuleKid, "a key of the issuer for " + h.algorithm, "none"})
	case errors.Is(err, jwks.ErrNoKey):
		return nil, invalid(&Cause{RuleKid, "the id of one of the issuer's keys for " + h.algorithm, "another one"})
	case err != nil:
		return nil, fmt.Errorf("keys of token issuer %q: %w", i.Name, err)
	case !key.SupportsAlgorithm(h.algorithm):
		return nil, invalid(&Cause{RuleAlg, "an algorithm of the key", "another one"})
	default:
		return key, nil
	}
}

// verifySignature reports whether the key made the signature.
func (i *jwtIssuer) verifySignature(s *signedToken, key *jwks.Key) bool {
	return i.methods[s.header.algorithm].Verify(s.input, s.signature, key.VerificationKey()) == nil
}

// oneOf quotes the operator's values for a Cause.
func oneOf(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = strconv.Quote(v)
	}
	return strings.Join(quoted, " or ")
}

// validateClaims validates the claims a second time, with golang-jwt.
func (i *jwtIssuer) validateClaims(members map[string]any, now time.Time) error {
	clock := jwt.WithTimeFunc(func() time.Time { return now })
	options := append(i.options[:len(i.options):len(i.options)], clock)
	return jwt.NewValidator(options...).Validate(jwt.MapClaims(members))
}
