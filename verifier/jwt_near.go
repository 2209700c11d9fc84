package verifier

import (
	"fmt"
	"slices"
	"strings"

	"keyward/chars"
)

// nearIssuer says in which way an iss that is not configured resembles one that
// is: a mistake that operators cannot see in a message without the token's
// text. It names configured issuers only.
func (j *JWT) nearIssuer(iss string) string {
	if iss == "" || len(iss) > maxKeyID {
		return ""
	}
	for _, differs := range issuerDifferences {
		for _, configured := range j.sorted {
			if differs.from(iss, configured) {
				return fmt.Sprintf(" that differs from %q %s", configured, differs.how)
			}
		}
	}
	return ""
}

// issuerDifferences are the ways in which two different issuers may resemble
// each other, the closest first.
var issuerDifferences = []struct {
	how  string
	from func(a, b string) bool
}{
	{"only by the / at the end", func(a, b string) bool { return strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/") }},
	{"only by the case of letters", func(a, b string) bool { return chars.LowerASCII(a) == chars.LowerASCII(b) }},
	{"only by http and https", func(a, b string) bool { return withoutScheme(a) == withoutScheme(b) }},
	{"by the version of the token: one is of Entra v1.0, the other of v2.0", func(a, b string) bool {
		x, y := entraTenant(a), entraTenant(b)
		return x != "" && x == y
	}},
	{"by the tenant", func(a, b string) bool { return entraTenant(a) != "" && entraTenant(b) != "" }},
	{"by what follows the host, as those of other tenants and realms do", func(a, b string) bool {
		return withoutScheme(a) != a && issuerHost(a) == issuerHost(b)
	}},
}

// withoutScheme returns an issuer that is an http or https URL without its
// scheme, and any other unchanged.
func withoutScheme(issuer string) string {
	rest, isURL := strings.CutPrefix(issuer, "https://")
	if !isURL {
		rest, _ = strings.CutPrefix(issuer, "http://")
	}
	return rest
}

func issuerHost(issuer string) string {
	host, _, _ := strings.Cut(withoutScheme(issuer), "/")
	return host
}

// entraTenant returns the tenant of an issuer of Microsoft Entra, "" if it is
// not one. Version 1.0 is https://sts.windows.net/TENANT/, and version 2.0 is
// https://login.microsoftonline.com/TENANT/v2.0.
func entraTenant(issuer string) string {
	for _, prefix := range []string{"https://sts.windows.net/", "https://login.microsoftonline.com/"} {
		if rest, ok := strings.CutPrefix(issuer, prefix); ok {
			tenant, version, _ := strings.Cut(rest, "/")
			if slices.Contains([]string{"", "v2.0", "v2.0/"}, version) {
				return tenant
			}
		}
	}
	return ""
}
