package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"keyward/authz"
	"keyward/chars"
	"keyward/config/grammar"
	"keyward/config/strictyaml"
	"keyward/verifier/claims"
)

// ClaimValues names the values that a claim may have, with * for any text.
type ClaimValues struct {
	Claim  string // a name, a dotted path or a JSON pointer
	Values []string
}

// Bounds of max_token_bytes. Envoy passes 60 KiB of headers by default.
const (
	defaultTokenBytes = 8192
	minTokenBytes     = 256
	maxTokenBytes     = 64 << 10
)

func validClaimPath(text string) error {
	_, err := claims.ParsePath(text)
	return err
}

// scopeClaims reads the name of one claim, or a list of them.
func (d *decoder) scopeClaims(v strictyaml.Value, to *[]string) {
	if v.Kind == yaml.SequenceNode && len(v.Content) == 0 {
		d.Report(v.Line, "%s: the list is empty, so no scope would ever be granted; leave it out for the claim scope", v.Name)
		return
	}
	d.oneOrMore(to, "a claim", validClaimPath, samePath)(v)
}

// samePath returns a claim's path in the form in which two of the same claim are
// equal.
func samePath(text string) string {
	path, err := claims.ParsePath(text)
	if err != nil {
		return text
	}
	return path.String()
}

// checkedElsewhere are claims that other settings bound, with what to write
// instead of a condition.
var checkedElsewhere = map[string]string{
	"iss": "`issuer` is compared with it; each issuer has its own entry",
	"exp": "it is a time, which `leeway` and `max_lifetime` bound",
	"nbf": "it is a time, which `leeway` bounds",
	"iat": "it is a time, which `leeway` and `max_lifetime` bound",
	"cnf": "a token that has it is refused",
}

// claimValues reads the conditions of an issuer: a mapping from claims to lists
// of values.
func (d *decoder) claimValues(v strictyaml.Value, to *[]ClaimValues) {
	if v.Kind != yaml.MappingNode {
		d.Wrong(v, "a mapping from claims to lists of values, as {repository: [octo-org/*]}")
		return
	}
	*to = nil
	first := map[string]string{}
	for key, node := range strictyaml.Pairs(v.Node) {
		name := strictyaml.Value{Node: key, Name: v.Name}
		list := strictyaml.Value{Node: node, Name: v.Name + "." + key.Value}
		var path string
		if d.Checked(&path, validClaimPath)(name); path == "" {
			continue
		}
		same := samePath(path)
		switch {
		case first[same] == path: // reported as a key that stands there twice
		case checkedElsewhere[same] != "":
			d.Report(key.Line, "%s: a condition on %s is not possible: %s", v.Name, same, checkedElsewhere[same])
		case first[same] != "":
			d.Report(key.Line, "%s: %q and %q are the same claim; write all its values in one list", v.Name, first[same], path)
		default:
			first[same] = path
			*to = append(*to, ClaimValues{path, d.conditionValues(list)})
		}
	}
	slices.SortFunc(*to, func(a, b ClaimValues) int { return strings.Compare(a.Claim, b.Claim) })
}

// conditionValues reads the values of one claim.
func (d *decoder) conditionValues(v strictyaml.Value) (values []string) {
	switch {
	case v.Kind != yaml.SequenceNode:
		d.Wrong(v, `a list of values, as ["a", "b/*"]`)
		return nil
	case len(v.Content) == 0:
		d.Report(v.Line, "%s: the list is empty, so every token would be refused; write the values that the claim may have, or leave the claim out", v.Name)
		return nil
	}
	d.List(&values, claims.CheckValue)(v)
	d.reportTwice(v, values, asWritten)
	for i, value := range values {
		if warning := wideValue(value); warning != "" {
			d.Warn(v.Content[i].Line, "%s: %s %s", v.Name, d.Shown(v.Element(i)), warning)
		}
	}
	return values
}

// wideValue returns in which way a value accepts more than it seems to, "" if it
// does not. The names of others may begin or end as one's own do.
func wideValue(value string) string {
	isWord := func(c byte) bool { return chars.Alphanumeric.Is(c) }
	star := strings.Index(value, "*")
	switch {
	case strings.Trim(value, "*") == "":
		return "accepts every value of the claim, so that it need only be there"
	case star > 0 && isWord(value[star-1]):
		return "accepts longer names too: end the name in front of * with the character that follows it, such as / or :"
	case star == 0 && value[1] != '@' && value[1] != '.':
		return "accepts every beginning, such as the names of other owners: write the owner in front of *"
	default:
		return ""
	}
}

// tokenTypes reads values of typ.
func (d *decoder) tokenTypes(v strictyaml.Value, t *JWT) {
	d.List(&t.Types, grammar.TokenType)(v)
	d.reportTwice(v, t.Types, claims.MediaType)
	for i, name := range t.Types {
		element := v.Element(i)
		switch short := claims.MediaType(name); {
		case short == "at+jwt" || short == "jwt" && t.AuthMethod != authz.AuthMethodOAuth:
			d.Warn(element.Line, "%s: %s is of no effect: it is accepted already", v.Name, d.Shown(element))
		case short == "jwt":
			d.Warn(element.Line, "%s: %s accepts ID tokens too, if the issuer makes some for these audiences", v.Name, d.Shown(element))
		}
	}
}

// laxProblems returns which settings that accept more contradict the others.
func (t *JWT) laxProblems() (all []string) {
	reportIf := func(is bool, text string) {
		if is {
			all = append(all, text)
		}
	}
	reportIf(samePath(t.AudienceClaim) != "aud" && len(t.Audiences) == 0, "audience_claim needs audiences: the values that the claim may have")
	reportIf(!t.RequireExp && t.AuthMethod == authz.AuthMethodOAuth, "require_exp: false contradicts kind oauth, for which RFC 9068 section 2.2 requires exp; use kind jwt")
	reportIf(t.Keyward && (!t.RequireKid || len(t.Types) > 0 || samePath(t.AudienceClaim) != "aud"),
		"with keyward: true, leave out require_kid, types and audience_claim: the tokens of a Keyward have all that is required")
	return all
}

// laxWarnings returns which of these settings have no effect, or more than one
// may think.
func (t *JWT) laxWarnings() (all []string) {
	if !t.RequireKid && t.HMACSecretFile != "" {
		all = append(all, "require_kid: false is of no effect with hmac_secret_file: a secret has no kid")
	}
	if !t.RequireExp {
		all = append(all, "require_exp: false: a token that has neither exp nor iat is accepted until it is revoked, or its key is gone")
	}
	return all
}
