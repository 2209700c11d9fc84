package protocol_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/manage"
	"keyward/manage/oauth/protocol"
	"keyward/manage/registry"
	"keyward/store"
)

// TestCodeReplay: a code is good once. Its second use ends what came of the first.
func TestCodeReplay(t *testing.T) {
	f := newIssuer(t)
	code := f.code(f.web)
	access, refresh := f.tokensOf("the first", f.exchange(f.web, code))
	if !f.accepted(access) {
		t.Error("the checks refuse the first token")
	}
	f.wantError("another client's, used", f.exchange(f.other, code), 400, "invalid_grant")
	if !f.accepted(access) {
		t.Error("another client has ended the tokens")
	}
	f.wantError("again", f.exchange(f.web, code), 400, "invalid_grant")
	f.wantError("a third time", f.exchange(f.web, code), 400, "invalid_grant")
	if f.accepted(access) {
		t.Error("the first token is still accepted")
	}
	f.wantError("its refresh token", f.refresh(f.web, refresh), 400, "invalid_grant")
}

// TestCodeRefused: which exchanges get nothing, and leave the code valid.
func TestCodeRefused(t *testing.T) {
	f := newIssuer(t)
	code := f.code(f.web)
	long := strings.Repeat("a", 50)
	for what, a := range map[string]answer{
		"another client":        f.exchange(f.other, code),
		"another redirect URI":  f.exchange(f.web, code, "redirect_uri", webRedirect+"/"),
		"no redirect URI":       f.exchange(f.web, code, "redirect_uri", ""),
		"a wrong code_verifier": f.exchange(f.web, code, "code_verifier", long),
		"no code_verifier":      f.exchange(f.web, code, "code_verifier", ""),
		"an unknown code":       f.exchange(f.web, code[:len(code)-1]+"x"),
		"junk":                  f.exchange(f.web, "junk"),
	} {
		f.wantError(what, a, 400, "invalid_grant")
	}
	f.wantError("no code", f.exchange(f.web, ""), 400, "invalid_request")
	if _, refresh := f.tokensOf("after all that", f.exchange(f.web, code)); refresh == "" {
		t.Error("no refresh token")
	}
	expired := f.code(f.web)
	f.pass(61 * time.Second)
	f.wantError("expired", f.exchange(f.web, expired), 400, "invalid_grant")
	plain := f.code(f.web, "code_challenge", "", "code_challenge_method", "")
	f.wantError("a code_verifier that was not asked for", f.exchange(f.web, plain), 400, "invalid_grant")
	f.tokensOf("a confidential client without PKCE", f.exchange(f.web, plain, "code_verifier", ""))
}

// TestCodesAtOnce: of several exchanges of one code at once one gets tokens, and they end.
func TestCodesAtOnce(t *testing.T) {
	f := newIssuer(t)
	code := f.code(f.web)
	var group sync.WaitGroup
	answers := make([]answer, 12)
	for i := range answers {
		group.Go(func() { answers[i] = f.exchange(f.web, code) })
	}
	group.Wait()
	won := 0
	for _, a := range answers {
		if a.StatusCode == http.StatusOK {
			won++
		} else {
			f.wantError("a loser", a, 400, "invalid_grant")
		}
	}
	if won > 1 {
		t.Errorf("%d exchanges got tokens", won)
	}
}

// TestRefreshes: a refresh token gives the same successor for ten seconds, to all that ask at
// once; later it ends its family.
func TestRefreshes(t *testing.T) {
	f := newIssuer(t)
	_, first := f.tokensOf("a code", f.exchange(f.web, f.code(f.web)))
	f.wantError("another client's", f.refresh(f.other, first), 400, "invalid_grant")
	var group sync.WaitGroup
	answers := make([]answer, 8)
	for i := range answers {
		group.Go(func() { answers[i] = f.refresh(f.web, first) })
	}
	group.Wait()
	_, second := f.tokensOf("at once", answers[0])
	for _, a := range answers {
		if _, same := f.tokensOf("at once", a); same != second {
			t.Error("two successors")
		}
	}
	access, third := f.tokensOf("the successor", f.refresh(f.web, second))
	f.wantError("the first, whose successor was used", f.refresh(f.web, first), 400, "invalid_grant")
	if !f.accepted(access) {
		t.Error("the family has ended within the leeway")
	}
	f.pass(11 * time.Second)
	f.wantError("the second, by another client", f.refresh(f.other, second), 400, "invalid_grant")
	for what, a := range map[string]answer{
		"introspecting a used one": f.post(protocol.IntrospectPath, f.web.form("token", second)),
		"revoking a used one":      f.post(protocol.RevokePath, f.web.form("token", second)),
		"revoking another's":       f.post(protocol.RevokePath, f.other.form("token", third)),
		"introspecting another's":  f.post(protocol.IntrospectPath, f.other.form("token", third)),
	} {
		if a.StatusCode != http.StatusOK || a.members["active"] == true {
			t.Errorf("%s: %d %s", what, a.StatusCode, a.text)
		}
	}
	if !f.accepted(access) {
		t.Error("the family has ended by what ends nothing")
	}
	f.wantError("reuse", f.refresh(f.web, second), 400, "invalid_grant")
	if f.accepted(access) {
		t.Error("the access token is accepted after a reuse")
	}
	f.wantError("the latest, after a reuse", f.refresh(f.web, third), 400, "invalid_grant")
}

// TestRefreshScopes: a refresh may ask for less, and not for more; it gives what the user and
// the client have now.
func TestRefreshScopes(t *testing.T) {
	f := newIssuer(t)
	a := f.exchange(f.web, f.code(f.web, "scope", "read write admin openid", "nonce", "n"))
	if _, _ = f.tokensOf("a code", a); a.member("scope") != "read write openid" || a.member("id_token") == "" {
		t.Errorf("%s", a.text)
	}
	refresh := a.member("refresh_token")
	f.wantError("more", f.refresh(f.web, refresh, "scope", "read admin"), 400, "invalid_scope")
	a = f.refresh(f.web, refresh, "scope", "read")
	if _, _ = f.tokensOf("less", a); a.member("scope") != "read" || a.member("id_token") != "" {
		t.Errorf("%s", a.text)
	}
	_, err := f.service.Records.UpdateUser(t.Context(), f.admin, manage.UserRef{Name: "alice"}, manage.UserPatch{Scopes: &[]string{"write"}})
	f.fatal(err)
	a = f.refresh(f.web, a.member("refresh_token"))
	if _, _ = f.tokensOf("of a user who has less", a); a.member("scope") != "write openid" {
		t.Errorf("%s", a.text)
	}
}

// TestClientCredentials: a client gets tokens for itself, with the scopes that it has.
func TestClientCredentials(t *testing.T) {
	f := newIssuer(t)
	own := []string{"grant_type", "client_credentials"}
	a := f.token(f.machine, own...)
	access, refresh := f.tokensOf("all scopes", a)
	if a.member("scope") != "read write" || refresh != "" || a.member("id_token") != "" || !f.accepted(access) {
		t.Errorf("%s", a.text)
	}
	if a := f.token(f.machine, append(own, "scope", "admin read openid")...); a.member("scope") != "read" {
		t.Errorf("some scopes: %s", a.text)
	}
	f.wantError("none of its scopes", f.token(f.machine, append(own, "scope", "admin")...), 400, "invalid_scope")
	f.wantError("another resource", f.token(f.machine, append(own, "resource", "https://other.example.com")...), 400, "invalid_target")
	f.wantError("a client without the grant", f.token(f.other, own...), 400, "unauthorized_client")
	f.wantError("a public client", f.token(f.app, own...), 400, "unauthorized_client")
	f.wantError("a code of a client without that grant", f.token(f.machine, "grant_type", "authorization_code", "code", "kwt_x"), 400, "invalid_grant")
	yes := true
	_, err := f.service.Records.UpdateClient(t.Context(), f.admin, registry.ClientRef{ID: f.machine.ID, IfMatch: store.AnyVersion}, registry.ClientPatch{Disabled: &yes})
	f.fatal(err)
	if f.accepted(access) {
		t.Error("disabled: the token is accepted")
	}
	f.wantError("disabled", f.token(f.machine, own...), 401, "invalid_client")
}

// TestClientAuthentication: who gets nothing from any endpoint, and with which answer.
func TestClientAuthentication(t *testing.T) {
	f := newIssuer(t)
	basic := func(id, secret string) string {
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth(id, secret)
		return r.Header.Get("Authorization")
	}
	own := url.Values{"grant_type": {"client_credentials"}}
	id, secret := f.machine.ID, f.machine.secret
	for what, c := range map[string]struct {
		form          url.Values
		authorization string
		status        int
		code          string
	}{
		"Basic":                      {own, basic(id, secret), 200, ""},
		"Basic, encoded":             {own, basic(strings.ReplaceAll(id, "_", "%5F"), strings.ReplaceAll(secret, "_", "%5F")), 200, ""},
		"Basic, with the client_id":  {with(own, "client_id", id), basic(id, secret), 200, ""},
		"Basic, and another id":      {with(own, "client_id", f.web.ID), basic(id, secret), 401, "invalid_client"},
		"two ways":                   {f.machine.form("grant_type", "client_credentials"), basic(id, secret), 400, "invalid_request"},
		"a wrong secret":             {f.machine.form("grant_type", "client_credentials", "client_secret", secret+"x"), "", 401, "invalid_client"},
		"a wrong one in Basic":       {own, basic(id, "kwcs_x"), 401, "invalid_client"},
		"a bad escape":               {own, basic(id, "%zz"), 401, "invalid_client"},
		"an empty secret":            {with(own, "client_id", id), "", 401, "invalid_client"},
		"another's secret":           {with(own, "client_id", id, "client_secret", f.web.secret), "", 401, "invalid_client"},
		"an unknown client":          {with(own, "client_id", "c_8ENbdXlcXqgX", "client_secret", secret), "", 401, "invalid_client"},
		"a key's id":                 {with(own, "client_id", "k_8ENbdXlcXqgX", "client_secret", secret), "", 401, "invalid_client"},
		"no client":                  {own, "", 401, "invalid_client"},
		"a public one with a secret": {with(own, "client_id", f.app.ID, "client_secret", "made up"), "", 401, "invalid_client"},
		"Bearer":                     {own, "Bearer " + secret, 401, "invalid_client"},
		"an assertion":               {with(own, "client_id", id, "client_assertion", "e30.e30.", "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), "", 401, "invalid_client"},
		"the type of one alone":      {f.machine.form("grant_type", "client_credentials", "client_assertion_type", "x"), "", 401, "invalid_client"},
		"another grant":              {f.machine.form("grant_type", "password", "username", "alice", "password", testPassword), "", 400, "unsupported_grant_type"},
		"an exchange of tokens":      {f.machine.form("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"), "", 400, "unsupported_grant_type"},
		"no grant":                   {f.machine.form(), "", 400, "unsupported_grant_type"},
	} {
		var header []string
		if c.authorization != "" {
			header = []string{"Authorization", c.authorization}
		}
		a := f.post(protocol.TokenPath, c.form, header...)
		if c.status == 200 {
			f.tokensOf(what, a)
			continue
		}
		f.wantError(what, a, c.status, c.code)
		if challenged := a.Header.Get("WWW-Authenticate") != ""; challenged != (c.status == 401 && c.authorization != "") {
			t.Errorf("%s: WWW-Authenticate: %q", what, a.Header.Get("WWW-Authenticate"))
		}
	}
	for _, path := range []string{protocol.RevokePath, protocol.IntrospectPath} {
		f.wantError(path, f.post(path, url.Values{"token": {"x"}, "client_id": {id}, "client_secret": {"x"}}), 401, "invalid_client")
	}
	f.wantError("introspection by a public client", f.post(protocol.IntrospectPath, url.Values{"token": {"x"}, "client_id": {f.app.ID}}), 401, "invalid_client")
}

// TestForms: what two readers could read in two ways is refused, and nothing is taken from a
// URL.
func TestForms(t *testing.T) {
	f := newIssuer(t)
	form := f.machine.form("grant_type", "client_credentials")
	f.wantError("everything in the query", f.post(protocol.TokenPath+"?"+form.Encode(), nil), 400, "invalid_request")
	f.wantError("a query beside the body", f.post(protocol.TokenPath+"?scope=read", form), 400, "invalid_request")
	f.wantError("a token in the query", f.post(protocol.RevokePath+"?token=x", form), 400, "invalid_request")
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		hr, err := http.NewRequestWithContext(t.Context(), method, protocol.TokenPath, http.NoBody)
		f.fatal(err)
		if a := f.serve(hr); a.StatusCode != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "POST" {
			t.Errorf("%s: %d", method, a.StatusCode)
		}
	}
	body := func(mediaType, text string) answer {
		t.Helper()
		hr, err := http.NewRequestWithContext(t.Context(), http.MethodPost, protocol.TokenPath, strings.NewReader(text))
		f.fatal(err)
		hr.Header.Set("Content-Type", mediaType)
		return f.serve(hr)
	}
	const formType, jsonType = "application/x-www-form-urlencoded", "application/json"
	credentials := `"client_id": "` + f.machine.ID + `", "client_secret": "` + f.machine.secret + `"`
	f.tokensOf("JSON", body(jsonType, `{"grant_type": "client_credentials", `+credentials+`}`))
	for what, a := range map[string]answer{
		"twice":                   body(formType, form.Encode()+"&grant_type=client_credentials"),
		"a semicolon":             body(formType, form.Encode()+";scope=read"),
		"JSON twice":              body(jsonType, `{"grant_type": "client_credentials", "grant_type": "client_credentials", `+credentials+`}`),
		"JSON that is nested":     body(jsonType, `{"grant_type": {"a": "b"}, `+credentials+`}`),
		"JSON with a list":        body(jsonType, `{"grant_type": ["client_credentials"], `+credentials+`}`),
		"JSON with a number":      body(jsonType, `{"grant_type": 1, `+credentials+`}`),
		"JSON with more behind":   body(jsonType, `{"grant_type": "client_credentials", `+credentials+`} {}`),
		"a list":                  body(jsonType, `[]`),
		"another media type":      body("text/plain", form.Encode()),
		"no media type":           body("", form.Encode()),
		"more than 64 KiB":        body(formType, form.Encode()+"&x="+strings.Repeat("a", 70_000)),
		"more than 64 parameters": body(formType, form.Encode()+manyParameters()),
	} {
		f.wantError(what, a, 400, "invalid_request")
	}
}

func manyParameters() string {
	var text strings.Builder
	for i := range 70 {
		text.WriteString("&p" + string(rune('a'+i%26)) + strings.Repeat("x", i/26) + "=1")
	}
	return text.String()
}
