package e2e

import (
	"encoding/base64"
	"strings"
	"testing"
)

func TestRecipeGitHubActions(t *testing.T) {
	throughProxies(t, func(t *testing.T, proxy string) {
		r, issuer := newGitHubActions(t, proxy)
		r.run()
		changed := func(claim string, value any) string {
			return issuer.token("id-token.json", func(_, c map[string]any) { c[claim] = value })
		}
		r.sends(deployRequest, issuer.forgeries("id-token.json"), []tokenCase{
			{"an enterprise's issuer", changed("iss", issuer.URL+"/octocat-inc"), "401 invalid_token"},
			{"pull_request_target", changed("event_name", "pull_request_target"), "401 invalid_token"},
			{"a branch that begins as a tag", changed("ref", "refs/heads/refs/tags/v1"), "401 invalid_token"},
			{"an id that begins so", changed("repository_id", "4567890"), "401 invalid_token"},
			{"an id in a list", changed("repository_id", []string{"1", "2"}), "401 invalid_token"},
			{"no id", issuer.token("id-token.json", func(_, c map[string]any) { delete(c, "repository_id") }), "401 invalid_token"},
			{"no environment", issuer.token("id-token.json", func(_, c map[string]any) { delete(c, "environment") }), "401 invalid_token"},
		})
		r.keepsSecrets(t)
	}, "haproxy", "caddy", "traefik")
}

const deployRequest = `curl -X POST https://api.example.com/deployments -H "Authorization: Bearer $TOKEN"`

// newGitHubActions makes the page's system. Pairs change its configuration.
func newGitHubActions(t *testing.T, proxy string, pairs ...string) (*recipe, *recipeIssuer) {
	t.Helper()
	issuer := startRecipeIssuer(t, "github-actions", "https://token.actions.githubusercontent.com")
	r := newRecipe(t, "github-actions", proxy, func(page string) string { return replaced(t, pairs...)(issuer.config(page)) })
	for name, claims := range map[string]map[string]any{
		"TOKEN":              {},
		"TAG":                {"ref": "refs/tags/v1.2.0", "ref_type": "tag", "event_name": "release"},
		"NEW_FORMAT":         {"sub": "repo:octo-org@123456/octo-repo@456789:environment:production"},
		"ANOTHER_REPOSITORY": {"repository": "octo-org/other", "repository_id": "456790", "sub": "repo:octo-org/other:environment:production"},
		"NAMESAKE":           {"repository_id": "999999", "repository_owner_id": "888888"},
		"FORK":               {"repository": "mallory/octo-repo", "repository_id": "777777", "repository_owner": "mallory", "repository_owner_id": "666666", "sub": "repo:mallory/octo-repo:environment:production"},
		"PULL_REQUEST":       {"ref": "refs/pull/7/merge", "event_name": "pull_request", "head_ref": "main", "base_ref": "main", "ref_type": "branch"},
		"BRANCH":             {"ref": "refs/heads/main-2"},
		"STAGING":            {"environment": "staging", "sub": "repo:octo-org/octo-repo:environment:staging"},
		"DEFAULT_AUDIENCE":   {"aud": "https://github.com/octo-org"},
	} {
		r.variables[name] = issuer.token("id-token.json", func(_, c map[string]any) {
			for claim, value := range claims {
				c[claim] = value
			}
		})
	}
	return r, issuer
}

// TestRecipeGitHubActionsPatterns: the page's patterns of names, and its users.
func TestRecipeGitHubActionsPatterns(t *testing.T) {
	const ids = "repository_owner_id: [\"123456\"]\n    repository_id: [\"456789\"]\n"
	subject := func(i *recipeIssuer, sub string) string {
		return i.token("id-token.json", func(_, c map[string]any) { c["sub"] = sub })
	}
	r, issuer := newGitHubActions(t, "", ids, "sub: [\"repo:octo-org/*\", \"repo:octo-org@123456/*\"]\n")
	r.sends(deployRequest, []tokenCase{
		{"a repository", subject(issuer, "repo:octo-org/x:ref:refs/heads/main"), "200, X-Auth-Subject: repo:octo-org/x:ref:refs/heads/main"},
		{"the immutable format", subject(issuer, "repo:octo-org@123456/x@1:ref:refs/heads/main"), "200"},
		{"another owner", subject(issuer, "repo:octo-org-evil/x:ref:refs/heads/main"), "401 invalid_token"},
		{"another id", subject(issuer, "repo:octo-org@1234567/x@1:ref:refs/heads/main"), "401 invalid_token"},
		{"the first immutable format", subject(issuer, "repo:octo-org-123456/x-1:ref:refs/heads/main"), "401 invalid_token"},
	})
	r, issuer = newGitHubActions(t, "", "keys: {file: \"\"}", "keys: {file: \"\"}\nusers: {file: users.jsonl}", "  max_lifetime:", "  users: true\n  max_lifetime:", "methods: [POST]", "scopes: [deploy]")
	r.script("users", "keyward user set repo:octo-org/octo-repo:environment:production --config keyward.yaml --scope deploy < /dev/null\n"+
		"keyward user set repo:octo-org/x:environment:production --config keyward.yaml --scope read < /dev/null\n")
	r.sends(deployRequest, []tokenCase{
		{"a user", issuer.token("id-token.json", nil), "200, X-Auth-Scopes: deploy"},
		{"a user without the scope", subject(issuer, "repo:octo-org/x:environment:production"), "403 insufficient_scope"},
		{"another repository", subject(issuer, "repo:octo-org/y:environment:production"), "401 disabled_user"},
	})
}

func TestRecipeKubernetes(t *testing.T) {
	throughProxies(t, func(t *testing.T, proxy string) {
		r, issuer := newKubernetes(t, proxy)
		r.run()
		r.sends(ordersRequest, issuer.forgeries("token.json"), []tokenCase{
			{"no namespace", issuer.token("token.json", func(_, c map[string]any) { delete(c, "kubernetes.io") }), "401 invalid_token"},
			{"the namespace under a flat name", issuer.token("token.json", func(_, c map[string]any) {
				delete(c, "kubernetes.io")
				c["kubernetes.io/serviceaccount/namespace"], c["/kubernetes.io/namespace"] = "shop", "shop"
			}), "401 invalid_token"},
		})
		r.script("a disabled service account", "keyward user set system:serviceaccount:shop:checkout --config keyward.yaml --disabled < /dev/null\n"+
			ordersRequest+" # 401 disabled_user\n")
		r.keepsSecrets(t)
	}, "haproxy", "caddy", "traefik")
}

const ordersRequest = `curl https://api.example.com/orders -H "Authorization: Bearer $TOKEN"`

// newKubernetes makes the page's system. Pairs change its configuration.
func newKubernetes(t *testing.T, proxy string, pairs ...string) (*recipe, *recipeIssuer) {
	t.Helper()
	issuer := startRecipeIssuer(t, "kubernetes", "https://kubernetes.default.svc.cluster.local")
	r := newRecipe(t, "kubernetes", proxy, func(page string) string { return replaced(t, pairs...)(issuer.config(page)) })
	account := func(namespace, name string) func(_, claims map[string]any) {
		return func(_, c map[string]any) {
			c["sub"] = "system:serviceaccount:" + namespace + ":" + name
			private := c["kubernetes.io"].(map[string]any)
			private["namespace"], private["serviceaccount"].(map[string]any)["name"] = namespace, name
		}
	}
	r.variables["TOKEN"] = issuer.token("token.json", nil)
	r.variables["INVOICER"] = issuer.token("token.json", account("billing", "invoicer"))
	r.variables["ANOTHER_NAMESPACE"] = issuer.token("token.json", account("default", "checkout"))
	r.variables["NO_USER"] = issuer.token("token.json", account("shop", "default"))
	r.variables["FOR_THE_API_SERVER"] = issuer.token("token.json", func(_, c map[string]any) { c["aud"] = []string{issuer.URL} })
	r.variables["EXTENDED"] = issuer.token("token.json", func(_, c map[string]any) {
		at, err := c["iat"].(interface{ Int64() (int64, error) }).Int64()
		if err != nil {
			t.Fatal(err)
		}
		c["exp"], c["kubernetes.io"].(map[string]any)["warnafter"] = at+365*24*3600, at+3607
	})
	r.variables["LEGACY"] = issuer.token("legacy-token.json", nil)
	return r, issuer
}

// TestRecipeKubernetesFile: the page's copy of the keys, from which no request is
// made, its condition on the name, and its entry for legacy tokens.
func TestRecipeKubernetesFile(t *testing.T) {
	r, issuer := newKubernetes(t, "", "    /kubernetes.io/namespace:", "    /kubernetes.io/serviceaccount/name: [checkout]\n    /kubernetes.io/namespace:", "  users: true\n", "  users: true\n  jwks_file: cluster.jwks\n")
	issuer.Close()
	writeFile(t, r.dir, "cluster.jwks", issuer.keySet())
	r.script("users", `keyward user set system:serviceaccount:shop:checkout --config keyward.yaml --scope orders < /dev/null
keyward user set system:serviceaccount:billing:invoicer --config keyward.yaml --scope orders < /dev/null
`+ordersRequest+` # 200, X-Auth-Subject: system:serviceaccount:shop:checkout
curl https://api.example.com/orders -H "Authorization: Bearer $INVOICER" # 401 invalid_token
`)
	r.sends(ordersRequest, []tokenCase{{"another key", issuer.forged("token.json"), "401 invalid_token"}})

	config := strings.Replace(r.config(), "jwt:\n", "jwt:\n- {name: legacy, issuer: kubernetes/serviceaccount, jwks_file: cluster.jwks, users: true, require_exp: false, claims: {kubernetes.io/serviceaccount/namespace: [shop]}}\n", 1)
	config = strings.Replace(config, "  users: true\n", "  users: true\n  jwks_file: cluster.jwks\n", 1)
	writeFile(t, r.dir, "legacy.yaml", config)
	for token, want := range map[string]string{
		r.variables["LEGACY"]: "allow",
		issuer.token("legacy-token.json", func(_, c map[string]any) { c["kubernetes.io/serviceaccount/namespace"] = "default" }): "deny",
		issuer.forged("legacy-token.json"): "deny",
	} {
		check := r.command("check", "--config", "legacy.yaml", "--method", "GET", "--path", "/orders", "--header", "Authorization: Bearer "+token)
		out, err := check.CombinedOutput()
		if (err == nil) != (want == "allow") {
			t.Errorf("want %s: %v: %s", want, err, out)
		}
	}
}

// TestRecipeKubernetesWebsocket: a browser's handshake, as with the API server.
func TestRecipeKubernetesWebsocket(t *testing.T) {
	throughProxies(t, func(t *testing.T, proxy string) {
		r, issuer := newKubernetes(t, proxy)
		r.keyward("user", "set", "system:serviceaccount:shop:checkout", "--config", "keyward.yaml", "--scope", "orders")
		w := r.startWebsockets()
		offered := func(token string) []string {
			return []string{"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io." + base64.RawURLEncoding.EncodeToString([]byte(token)) + ", base64.binary.k8s.io"}
		}
		w.opens("/orders", "/orders", offered(r.variables["TOKEN"]), map[string][]string{
			"sec-websocket-protocol": {"base64.binary.k8s.io"}, "x-auth-subject": {"system:serviceaccount:shop:checkout"},
		})
		w.refuses("/orders", offered(issuer.forged("token.json")), "invalid_token")
		w.refuses("/orders", offered(r.variables["FOR_THE_API_SERVER"]), "invalid_token")
		r.keepsSecrets(t)
	})
}
