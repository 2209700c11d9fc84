package tokensource_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/verifier/tokensource"
)

// TestIntrospectionResponsesOfServers checks what becomes of responses in the
// shape that servers give them. Names and ids are invented.
func TestIntrospectionResponsesOfServers(t *testing.T) {
	m := newFaultServer(t)
	for _, c := range []struct{ server, body, want string }{
		{"Keycloak", `{"exp":4102444800,"nbf":0,"iat":1785491929,"jti":"7e0a2c4b","iss":"https://sso.test/realms/shop","aud":"account","sub":"alice","typ":"Bearer","azp":"web",
			"session_state":"c05e","name":"","preferred_username":"alice","acr":"0","allowed-origins":[],"realm_access":{"roles":["a role with spaces"]},"resource_access":{"account":{"roles":["view-profile"]}},
			"scope":"openid read","client_id":"web","username":"alice","token_type":"Bearer","active":true}`, "alice of web [openid read] until 2100"},
		{"Keycloak, a refresh token", `{"exp":4102444800,"sub":"alice","typ":"Refresh","scope":"read","client_id":"web","active":true}`, "invalid_token"},
		{"Doorkeeper, a token without end", `{"active":true,"scope":"public","client_id":"abc123","token_type":"Bearer","exp":0,"iat":1713800000}`, "client abc123 [public]"},
		{"Doorkeeper, null", `{"active":true,"scope":"","client_id":null,"sub":"alice","token_type":"Bearer","exp":null,"iat":1713800000}`, "alice of  []"},
		{"Hydra", `{"active":true,"scope":"read","client_id":"web","sub":"alice","exp":4102444800,"iat":1713800000,"nbf":1713800000,"aud":[],"iss":"https://hydra.test/","token_type":"Bearer","token_use":"access_token","ext":{"sub":"eve"}}`,
			"alice of web [read] until 2100"},
		{"Hydra, a refresh token", `{"active":true,"scope":"read","client_id":"web","sub":"alice","token_type":"Bearer","token_use":"refresh_token"}`, "invalid_token"},
		{"WSO2, exp in a text", `{"aut":"APPLICATION_USER","nbf":"1713800000","scope":"default","active":true,"token_type":"Bearer","exp":"4102444800","iat":"1713800000","client_id":"Af_Z","username":"alice@carbon.super"}`,
			"alice@carbon.super of Af_Z [default] until 2100"},
		{"UAA", `{"user_id":"7","user_name":"alice","sub":"7","cid":"web","client_id":"web","scope":["read","write"],"aud":["web","api"],"jti":"j","exp":4102444800,"iat":1713800000,"iss":"https://uaa.test/oauth/token","active":true,"revocable":true}`,
			"7 of web [read write] until 2100"},
		{"UAA, check_token, which is another protocol", `{"user_id":"7","sub":"7","scope":["read"],"exp":4102444800}`, "?"},
		{"Okta", `{"active":true,"token_type":"Bearer","scope":"read","client_id":"web","username":"alice@shop.test","exp":4102444800,"iat":1713800000,"sub":"alice@shop.test","aud":"https://shop.test","iss":"https://shop.okta.test","jti":"AT.1","uid":"00u"}`,
			"alice@shop.test of web [read] until 2100"},
		{"Zitadel", `{"active":true,"scope":"openid","client_id":"2@shop","token_type":"Bearer","exp":4102444800,"iat":1713800000,"nbf":1713800000,"sub":"7","aud":["1","2"],"jti":"9","username":"alice","name":"Ä B","updated_at":1713800000}`,
			"7 of 2@shop [openid] until 2100"},
		{"IdentityServer", `{"iss":"https://ids.test","nbf":1713800000,"exp":4102444800,"aud":["api"],"client_id":"web","sub":"alice","auth_time":1713800000,"idp":"local","amr":"pwd","active":true,"scope":"read write"}`,
			"alice of web [read write] until 2100"},
		{"SimpleIdServer", `{"active":true,"client_id":"web","scope":["read"],"aud":["api"],"sub":"alice","exp":4102444800.0}`, "alice of web [read] until 2100"},
		{"authentik", `{"iss":"https://ak.test/application/o/shop/","sub":"alice","aud":"web","exp":4102444800,"iat":1713800000,"acr":"goauthentik.io/providers/oauth2/default","active":true,"scope":"read","client_id":"web"}`,
			"alice of web [read] until 2100"},
		{"ForgeRock", `{"active":true,"scope":"read","realm":"/shop","client_id":"web","user_id":"alice","username":"alice","token_type":"Bearer","exp":4102444800,"sub":"(usr!alice)","subname":"alice","iss":"https://am.test/oauth2","auth_level":0,"authGrantId":"x"}`,
			"(usr!alice) of web [read] until 2100"},
		{"Gitea", `{"active":true,"scope":"","username":"","aud":null,"iss":"https://git.test","sub":"7","exp":4102444800,"iat":1713800000}`, "7 of  [] until 2100"},
		{"Passport, numbers for ids", `{"active":true,"sub":12,"client_id":7,"aud":"7","scope":[""],"exp":4102444800,"jti":99}`, "12 of 7 [] until 2100"},
		{"PingFederate, a client's token", `{"active":true,"scope":"read","client_id":"web","token_type":"Bearer","exp":4102444800,"username":null,"sub":null}`, "client web [read] until 2100"},
		{"CAS, the time to live in exp", `{"active":true,"sub":"alice","client_id":"web","exp":28800,"iat":1713800000}`, "expired_token"},
		{"Frappe, an expired token that is called active", `{"active":true,"sub":"alice","client_id":"web","exp":1713800000}`, "expired_token"},
		{"OpenEMR, a date object in exp", `{"active":true,"sub":"alice","exp":{"date":"2040-01-31 00:00:00.000000","timezone":"UTC"}}`, "?"},
		{"oxAuth, milliseconds in exp", `{"active":true,"sub":"alice","exp":4102444800000}`, "?"},
		{"oxAuth, scopes", `{"active":true,"client_id":"web","sub":"alice","scopes":"read","exp":4102444800}`, "alice of web [] until 2100"},
		{"Google's tokeninfo, which is another protocol", `{"azp":"web","aud":"web","sub":"7","scope":"openid","exp":"4102444800","expires_in":"3599","access_type":"offline"}`, "?"},
		{"DPoP", `{"active":true,"sub":"alice","token_type":"DPoP","cnf":{"jkt":"x"}}`, "invalid_token"},
		{"cnf is null", `{"active":true,"sub":"alice","token_type":"Bearer","cnf":null}`, "alice of  []"},
		{"cnf is empty", `{"active":true,"sub":"alice","token_type":"Bearer","cnf":{}}`, "invalid_token"},
	} {
		m.set(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8") // some do not say application/json
			respond(c.body)(w, r)
		})
		v := newIntrospection(t, m.url(), slack)
		p, err := v.Verify(context.Background(), &authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret("t")}, time.Now())
		if got := shown(p, err); got != c.want {
			t.Errorf("%s: %s (%v), want %s", c.server, got, err, c.want)
		}
	}
}

// shown describes whom a token stands for, or the reason why it is refused; "?"
// means that the response could not be read.
func shown(p *authz.Principal, err error) string {
	refusal, refused := errors.AsType[*authz.CredentialError](err)
	switch {
	case refused:
		return refusal.Reason.String()
	case err != nil:
		return "?"
	}
	who := "client " + p.ClientID
	if p.User != "" {
		who = p.User + " of " + p.ClientID
	}
	if !p.ExpiresAt.IsZero() {
		return fmt.Sprintf("%s [%s] until %d", who, p.Scopes, p.ExpiresAt.Year())
	}
	return fmt.Sprintf("%s [%s]", who, p.Scopes)
}

// TestNullGrantsNothing checks that a member that is null cannot pass where a
// value is required.
func TestNullGrantsNothing(t *testing.T) {
	m := newFaultServer(t)
	for body, want := range map[string]string{
		`{"active":true,"sub":null,"username":null,"client_id":null}`: "invalid_token",
		`{"active":true,"sub":"alice","aud":null}`:                    "invalid_token",
		`{"active":true,"sub":"alice","aud":[]}`:                      "invalid_token",
		`{"active":true,"sub":"alice","aud":["api"]}`:                 "alice of  []",
		`{"active":true,"sub":"alice","aud":"api","exp":0,"cnf":0}`:   "invalid_token",
		`{"active":null,"sub":"alice","aud":"api"}`:                   "?",
		`{"active":false,"sub":"alice","aud":"api","exp":0}`:          "invalid_token",
	} {
		m.set(respond(body))
		v := newIntrospection(t, m.url(), slack, "api")
		p, err := v.Verify(context.Background(), &authz.Credential{Scheme: authz.SchemeBearer, Secret: authz.NewSecret("t")}, time.Now())
		if got := shown(p, err); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

// TestIntrospectionErrorsSayWhatToDo checks the errors of the usual mistakes in
// url, and of client credentials that the server refuses.
func TestIntrospectionErrorsSayWhatToDo(t *testing.T) {
	m := newFaultServer(t)
	for want, answer := range map[string]http.HandlerFunc{
		"status 302, a redirect that is not followed: configure the URL where it leads":         respondStatus(302),
		"status 404: url must be the introspection_endpoint of the server's metadata":           respondStatus(404),
		"status 405: url must be the introspection_endpoint of the server's metadata":           respondStatus(405),
		"it is a page of HTML: the URL leads to a login or an error page":                       respond("<html>"),
		"active is not true or false: url must be an introspection endpoint (RFC 7662)":         respond(`{"sub":"alice"}`),
		"exp is not a time in seconds since 1970, before the year 10000 (milliseconds are not)": respond(`{"active":true,"exp":4102444800000}`),
	} {
		m.set(answer)
		if _, err := introspect(newIntrospector(t, tokensource.IntrospectorConfig{URL: m.url(), Timeout: slack}), "t"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
	m.set(respondStatus(401))
	for secret, want := range map[string]string{
		"letters-and.digits_7~": "check client_id and client_secret_file",
		"with+a/slash":          "form-encoded (RFC 6749 section 2.3.1)",
	} {
		var log bytes.Buffer
		i := newIntrospector(t, tokensource.IntrospectorConfig{
			URL: m.url(), Timeout: slack, ClientID: "web", ClientSecret: authz.NewSecret(secret), Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if _, err := introspect(i, "t"); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(log.String(), want) || strings.Contains(err.Error()+log.String(), secret) {
			t.Errorf("%v, logged %s; want %s", err, &log, want)
		}
	}
}
