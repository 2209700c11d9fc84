package e2e

import (
	"hash/crc32"
	"slices"
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
	r.tellsGitClients()
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

// tellsGitClients: git sends its token only after a challenge for Basic, and a
// client learns that its token is about to end, where the proxy passes that on.
func (r *recipe) tellsGitClients() {
	r.t.Helper()
	if a := r.get("/user"); a.status != 401 || !strings.Contains(a.header.Get("WWW-Authenticate"), `Basic realm="GitHub"`) {
		r.t.Errorf("without a token: %d, WWW-Authenticate %q", a.status, a.header.Values("WWW-Authenticate"))
	}
	if slices.Contains([]string{"caddy", "traefik"}, r.opts.proxy) {
		return
	}
	for token, told := range map[string]bool{"ENDING": true, "CLASSIC": false} {
		if a := r.get("/user", bearer(r.variables[token])); a.status != 200 || (a.header.Get("X-Keyward-Key-Expires") != "") != told {
			r.t.Errorf("%s: %d, expires %q", token, a.status, a.header.Get("X-Keyward-Key-Expires"))
		}
	}
}

// TestGitHubToken compares the format with a token that npm, which took it over,
// has published (secretlint/secretlint#200).
func TestGitHubToken(t *testing.T) {
	const body = "qkJaB6MffYVzZXWqmcoF49yrUxP3wf"
	if got := gitHubToken(body); got != "ghp_"+body+"0LsakP" {
		t.Errorf("%s", got)
	}
}

// gitHubToken returns a token in the format of GitHub, whose checksum is that of
// the 30 characters before it.
func gitHubToken(body string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := ""
	for n := crc32.ChecksumIEEE([]byte(body)); n > 0; n /= 62 {
		sum = digits[n%62:n%62+1] + sum
	}
	return "ghp_" + body + strings.Repeat("0", 6-len(sum)) + sum
}

// providerKeys are those that the page has the proxy put in, by variable.
var providerKeys = []string{"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AZURE_OPENAI_API_KEY", "GEMINI_API_KEY"}

func TestRecipeLLMGateways(t *testing.T) {
	for _, name := range providerKeys {
		t.Setenv(name, name) // as nginx's file on the page has them
	}
	throughProxies(t, recipeLLMGateways, overHTTP...)
}

func recipeLLMGateways(t *testing.T, proxy string) {
	r := newRecipe(t, "llm-gateways", proxy, nil)
	r.provider = "Bearer OPENAI_API_KEY"
	r.run()
	r.variables["MISTYPED"] = misconfigured(r.variables["KEY"])
	r.script("forged", `
curl https://api.example.com/v1/messages -H "x-api-key: $MISTYPED" --json '{}' # 401 invalid_token
curl https://api.example.com/openai/x -H "api-key: $MISTYPED" # 401 invalid_token
curl https://api.example.com/v1beta/models/x:y -H "x-goog-api-key: $MISTYPED" # 401 invalid_token
curl https://api.example.com/v1/messages -H "x-api-key: Bearer $KEY" --json '{}' # 200, X-Auth-Project: support
curl https://api.example.com/v1/messages -H "x-api-key: $KEY" -H "x-goog-api-key: $KEY" # 401 ambiguous_credential
curl https://api.example.com/v1/messages -H "x-api-key: $KEY" -H 'X-Auth-Project: trial' # 200, X-Auth-Project: support
curl https://api.example.com/v2/models -H "Authorization: Bearer $KEY" # 403 route_denied
`)
	if slices.Contains([]string{"", "nginx", "envoy-module"}, proxy) {
		r.getsProviderKeys()
	}
	r.keepsSecrets(t)
}

// getsProviderKeys: each API gets the key of its provider, and no other, also
// if the client sends one of that name.
func (r *recipe) getsProviderKeys() {
	r.script("keys of the providers", `
curl https://api.example.com/v1/chat/completions -H "x-api-key: $KEY" # 200, Authorization: Bearer OPENAI_API_KEY, X-Api-Key: -, Api-Key: -, X-Goog-Api-Key: -
curl https://api.example.com/v1/messages -H "Authorization: Bearer $KEY" # 200, Authorization: -, X-Api-Key: ANTHROPIC_API_KEY, Api-Key: -, X-Goog-Api-Key: -
curl https://api.example.com/v1/messages/batches -H "x-api-key: $KEY" # 200, Authorization: -, X-Api-Key: ANTHROPIC_API_KEY
curl https://api.example.com/openai/deployments/gpt-4o/chat/completions -H "api-key: $KEY" # 200, Authorization: -, X-Api-Key: -, Api-Key: AZURE_OPENAI_API_KEY, X-Goog-Api-Key: -
curl https://api.example.com/v1beta/models/x:y -H "x-goog-api-key: $KEY" # 200, Authorization: -, X-Api-Key: -, Api-Key: -, X-Goog-Api-Key: GEMINI_API_KEY
`)
}
