package verifier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyward/authz"
	"keyward/verifier/claims"
	"keyward/verifier/jwks"
)

// JWTIssuer names an issuer whose tokens are accepted, and the rules for them.
type JWTIssuer struct {
	Name       string           // in errors
	AuthMethod authz.AuthMethod // AuthMethodJWT, or AuthMethodOAuth for access tokens with all requirements of RFC 9068
	Issuer     string           // iss, compared byte for byte
	Audiences  []string         // one of them must be in the audience claim; empty: any audience or none
	Algorithms []string         // names of RFC 7518 and 8037; HMAC (HS…) must not be mixed with others
	Keys       KeySource

	// Claims are located as claims.ParsePath says.
	SubjectClaim  string            // "": sub
	ScopeClaims   []string          // the scopes of all that are present are granted; nil: scope
	AudienceClaim string            // "": aud
	Claims        []ClaimConditions // all must hold

	Leeway      time.Duration // for clock differences; 0: none
	MaxLifetime time.Duration // from now and from iat until exp; must be positive
	Users       bool          // subjects are users, who must exist and be enabled, and whose paths apply

	Types       []string // values of typ that are accepted too; nil: none
	OptionalKid bool     // several keys may be tried for a token that names none of them, see jwks.Query
	OptionalExp bool     // a token without exp ends MaxLifetime after its iat, or, without that too, never
	MaxBytes    int      // of a token; 0: DefaultMaxBytes

	// Own is Keyward's own issuer, whose AuthMethod is AuthMethodOAuth and whose subjects are
	// Users. Its tokens have claims that other issuers' have not: see ownClaims.
	Own bool
}

// ClaimConditions names the values that a claim may have, see
// claims.NewCondition.
type ClaimConditions struct {
	Claim  string
	Values []string
}

// DefaultMaxBytes bounds a token of an issuer that says nothing else.
const DefaultMaxBytes = 8192

// jwtIssuer is a validated JWTIssuer.
type jwtIssuer struct {
	JWTIssuer
	subject, audience claims.Path
	scopes            []claims.Path
	conditions        []claims.Condition
	wantConditions    []string                     // Cause.Want for each
	types             []string                     // accepted values of typ, see claims.MediaType
	methods           map[string]jwt.SigningMethod // by algorithm
	options           []jwt.ParserOption           // golang-jwt's rules for claims, except for the time

	wantAudience, wantAlgorithm, wantLifetime, wantType string // Cause.Want for these
}

func newJWTIssuer(c JWTIssuer) (*jwtIssuer, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	i := &jwtIssuer{JWTIssuer: c, methods: map[string]jwt.SigningMethod{}}
	if err := i.locateClaims(); err != nil {
		return nil, err
	}
	i.options = []jwt.ParserOption{jwt.WithIssuer(c.Issuer), jwt.WithIssuedAt(), jwt.WithLeeway(c.Leeway)}
	if i.audience.Is("aud") {
		i.options = append(i.options, jwt.WithAudience(c.Audiences...))
	}
	if !c.OptionalExp {
		i.options = append(i.options, jwt.WithExpirationRequired())
	}
	i.describe()
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

func (c *JWTIssuer) check() error {
	switch {
	case c.AuthMethod != authz.AuthMethodJWT && c.AuthMethod != authz.AuthMethodOAuth:
		return errors.New("its tokens must be JWTs or OAuth access tokens")
	case c.Issuer == "" || c.Keys == nil || len(c.Algorithms) == 0:
		return errors.New("it needs an iss, keys and algorithms")
	case c.Own && (c.AuthMethod != authz.AuthMethodOAuth || !c.Users):
		return errors.New("the tokens of Keyward's own issuer must be access tokens of users")
	case c.Leeway < 0 || c.MaxLifetime <= 0 || c.MaxBytes < 0:
		return errors.New("leeway and the maximum length must not be negative, and the maximum lifetime must be positive")
	case slices.Contains(c.Audiences, ""):
		return errors.New("an audience must have a name")
	case c.OptionalExp && c.AuthMethod == authz.AuthMethodOAuth:
		return errors.New("RFC 9068 requires exp of access tokens")
	default:
		return nil
	}
}

// locateClaims parses the paths of the claims.
func (i *jwtIssuer) locateClaims() (err error) {
	if i.subject, err = claims.ParsePath(cmp.Or(i.SubjectClaim, "sub")); err != nil {
		return fmt.Errorf("subject claim: %w", err)
	}
	if i.audience, err = claims.ParsePath(cmp.Or(i.AudienceClaim, "aud")); err != nil {
		return fmt.Errorf("audience claim: %w", err)
	}
	names := i.ScopeClaims
	if len(names) == 0 {
		names = []string{"scope"}
	}
	for _, name := range names {
		path, err := claims.ParsePath(name)
		if err != nil {
			return fmt.Errorf("scope claim: %w", err)
		}
		i.scopes = append(i.scopes, path)
	}
	for _, c := range i.Claims {
		condition, err := claims.NewCondition(c.Claim, c.Values)
		if err != nil {
			return err
		}
		i.conditions = append(i.conditions, condition)
		i.wantConditions = append(i.wantConditions, oneOf(c.Values)+" in "+c.Claim+" (claims)")
	}
	return nil
}

// describe makes what Causes say that the issuer's tokens must have.
func (i *jwtIssuer) describe() {
	i.wantAudience = "a text or a list of texts"
	if len(i.Audiences) > 0 {
		i.wantAudience = oneOf(i.Audiences) + " (audiences)"
	}
	if !i.audience.Is("aud") {
		i.wantAudience += " in " + i.AudienceClaim
	}
	i.wantAlgorithm = oneOf(i.Algorithms) + " (algorithms)"
	i.wantLifetime = "a time at most " + i.MaxLifetime.String() + " (max_lifetime)"
	i.wantType = "JWT, at+jwt, or none"
	i.types = []string{"", "jwt", "at+jwt"}
	if i.AuthMethod == authz.AuthMethodOAuth {
		i.wantType, i.types = "at+jwt (RFC 9068 section 4)", []string{"at+jwt"}
	}
	for _, name := range i.Types {
		i.types = append(i.types, claims.MediaType(name))
	}
	if len(i.Types) > 0 {
		i.wantType += ", or " + oneOf(i.Types) + " (types)"
	}
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
// is not accepted as one. A token of another type was made for another purpose
// (RFC 8725 section 3.11).
func (i *jwtIssuer) accepts(h *joseHeader) *Cause {
	switch {
	case i.methods[h.algorithm] == nil:
		return &Cause{RuleAlg, i.wantAlgorithm, "another algorithm"}
	case !slices.Contains(i.types, h.typ):
		return &Cause{RuleTyp, i.wantType, "another type, or none"}
	default:
		return nil
	}
}

// findKeys returns the keys that the header names, or that may be tried. The
// algorithm is one of the issuer's and one of each key's.
func (i *jwtIssuer) findKeys(ctx context.Context, h *joseHeader, now time.Time) ([]*jwks.Key, error) {
	keys, err := i.Keys.Find(ctx, jwks.Query{ID: h.kid, HasID: h.hasKid, Algorithm: h.algorithm, OptionalID: i.OptionalKid}, now)
	switch {
	case errors.Is(err, jwks.ErrManyKeys):
		return nil, invalid(&Cause{RuleKid, "the id of one of the issuer's keys for " + h.algorithm, "none, and several keys fit"})
	case errors.Is(err, jwks.ErrNoKey) && !h.hasKid:
		return nil, invalid(&Cause{RuleKid, "a key of the issuer for " + h.algorithm, "none"})
	case errors.Is(err, jwks.ErrNoKey):
		return nil, invalid(&Cause{RuleKid, "the id of one of the issuer's keys for " + h.algorithm, "another one"})
	case err != nil:
		return nil, fmt.Errorf("keys of token issuer %q: %w", i.Name, err)
	}
	for _, key := range keys {
		if !key.SupportsAlgorithm(h.algorithm) {
			return nil, invalid(&Cause{RuleAlg, "an algorithm of the key", "another one"})
		}
	}
	return keys, nil
}

// verifySignature returns the key that made the signature, nil for none of them.
func (i *jwtIssuer) verifySignature(s *signedToken, keys []*jwks.Key) *jwks.Key {
	method := i.methods[s.header.algorithm]
	for _, key := range keys {
		if method.Verify(s.input, s.signature, key.VerificationKey()) == nil {
			return key
		}
	}
	return nil
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
