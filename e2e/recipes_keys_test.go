package e2e

import (
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
)

func TestRecipeStripe(t *testing.T) { throughProxies(t, recipeStripe, overHTTP...) }

func recipeStripe(t *testing.T, proxy string) {
	r := newRecipe(t, "stripe", proxy, nil)
	r.hosts = append(r.hosts, "api.example.com:80")
	r.run()
	r.variables["MISTYPED"] = misconfigured(r.variables["TEST"])
	r.variables["OTHER_PREFIX"] = strings.Replace(r.variables["TEST"], "sk_test_", "sk_live_", 1)
	r.script("forged", `
curl https://api.example.com/v1/charges -u "$MISTYPED:" # 401 invalid_token
curl https://api.example.com/v1/charges -u "$OTHER_PREFIX:" # 401 invalid_token
curl https://api.example.com/v1/charges -u "$TEST:" -H 'X-Auth-Project: live' # 200, X-Auth-Project: test
curl https://api.example.com/v1/payouts/po_1/cancel -u "$TEST:" -d a=b # 403 wrong_project
keyward user set acct_1 --config keyward.yaml --disabled < /dev/null
curl https://api.example.com/v1/charges -u "$LIVE:" # 401 disabled_user
`)
	r.keepsSecrets(t)
}

func TestRecipeGitHub(t *testing.T) { throughProxies(t, recipeGitHub, overHTTP...) }

func recipeGitHub(t *testing.T, proxy string) {
	r := newRecipe(t, "github", proxy, nil)
	r.run()
	r.variables["IMPORTED"] = gitHubToken("qkJaB6MffYVzZXWqmcoF49yrUxP3wf")
	r.variables["MISTYPED"] = misconfigured(r.variables["CLASSIC"])
	// Without imported keys a wrong checksum is enough to refuse one.
	r.script("imported and forged", `
curl https://api.example.com/user -H "Authorization: token $MISTYPED" # 401 invalid_token
curl https://api.example.com/user -u "$MISTYPED:x-oauth-basic" # 401 invalid_token
curl https://api.example.com/user -u "octocat:$IMPORTED" # 401 invalid_token
printf '%s\n' "$IMPORTED" | keyward key import --config keyward.yaml --name imported --user octocat
curl https://api.example.com/user -u "octocat:$IMPORTED" # 200, X-Auth-Subject: octocat
curl https://api.example.com/user -u "mallory:$IMPORTED" # 200, X-Auth-Subject: octocat
curl https://api.example.com/user -H "Authorization: token $MISTYPED" # 401 unknown_key
curl https://api.example.com/repos/octocat/hello-world -H "Authorization: Bearer $FINE" # 403 path_not_allowed
`)
	r.keepsSecrets(t)
}

// gitHubToken returns a token in the format of GitHub, whose checksum is that of
// the 30 characters before it.
func gitHubToken(body string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := ""
	for n := crc32.ChecksumIEEE([]byte(body)); n > 0; n /= 62 {
		sum = digits[n%62:n%62+1] + sum
	}
	return fmt.Sprintf("ghp_%s%06s", body, sum)
}
