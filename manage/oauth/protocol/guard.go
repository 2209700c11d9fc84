package protocol

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"keyward/authz"
	"keyward/chars"
	"keyward/manage/fault"
	"keyward/manage/gate"
	"keyward/store"
	"keyward/verifier/strictjson"
)

// maxMembers is how many parameters a request has at most.
const maxMembers = 64

// readForm reads the parameters of a request that is sent to an endpoint by a program: a form,
// or flat JSON. Nothing may be in the query, where it would be logged, and nothing twice, of
// which two readers could take different ones; resource alone may be repeated (RFC 8707
// section 2).
func readForm(w http.ResponseWriter, hr *http.Request) (url.Values, *problem) {
	if hr.URL.RawQuery != "" {
		return nil, badRequest("parameters belong in the body")
	}
	text, err := gate.ReadBody(w, hr, gate.MaxBody, gate.BodyTime)
	if err != nil {
		return nil, badRequest(err.Error())
	}
	media, _, err := mime.ParseMediaType(hr.Header.Get("Content-Type"))
	if err != nil && len(text) > 0 {
		return nil, badRequest("there is no valid Content-Type")
	}
	switch {
	case len(text) == 0:
		return url.Values{}, nil
	case media == "application/json":
		return readJSON(text)
	case media == "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(text))
		if err != nil || len(form) > maxMembers {
			return nil, badRequest("the form cannot be read")
		}
		return form, checkOnce(form)
	}
	return nil, badRequest("the body is neither a form nor JSON")
}

func readJSON(text []byte) (url.Values, *problem) {
	members, err := strictjson.Object(text, strictjson.Limits{Depth: 1, Members: maxMembers})
	if err != nil {
		return nil, badRequest("the body: " + err.Error())
	}
	form := url.Values{}
	for name, v := range members {
		value, is := v.(string)
		if !is {
			return nil, badRequest("the body has a member that is not a text")
		}
		form.Set(name, value)
	}
	return form, nil
}

func checkOnce(form url.Values) *problem {
	for name, values := range form {
		if len(values) > 1 && name != "resource" {
			return badRequest("a parameter is there twice")
		}
	}
	return nil
}

// clientSecret is how a client authenticates.
type clientSecret struct {
	id     string
	secret authz.Secret
	basic  bool
}

// secretOf reads how the client authenticates: by Basic or in the form, and not by both (RFC
// 6749 section 2.3).
func secretOf(hr *http.Request, form url.Values) (clientSecret, *problem) {
	if form.Has("client_assertion") || form.Has("client_assertion_type") {
		return clientSecret{}, invalidClient(false)
	}
	sent := clientSecret{id: form.Get("client_id"), secret: authz.NewSecret(form.Get("client_secret"))}
	headers := hr.Header.Values("Authorization")
	if len(headers) == 0 {
		return sent, nil
	}
	user, password, is := hr.BasicAuth()
	switch {
	case len(headers) > 1 || !is:
		return clientSecret{}, invalidClient(true)
	case form.Has("client_secret"):
		return clientSecret{}, badRequest("the client authenticates in two ways")
	}
	id, err := url.QueryUnescape(user) // section 2.3.1
	secret, err2 := url.QueryUnescape(password)
	if err != nil || err2 != nil || sent.id != "" && sent.id != id {
		return clientSecret{}, invalidClient(true)
	}
	return clientSecret{id, authz.NewSecret(secret), true}, nil
}

// begin reads a request and authenticates its client. A problem was answered.
func (p *Protocol) begin(w http.ResponseWriter, hr *http.Request, path string) (*exchange, bool) {
	if !p.allowOrigin(w, hr) {
		return nil, false
	}
	if hr.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		writeError(w, &problem{status: http.StatusMethodNotAllowed, code: "invalid_request", description: "the method is POST"})
		return nil, false
	}
	form, wrong := readForm(w, hr)
	if wrong == nil {
		var sent clientSecret
		if sent, wrong = secretOf(hr, form); wrong == nil {
			x := &exchange{path: path, call: p.CallOf(hr), form: form, basic: sent.basic}
			if wrong = p.authenticate(hr, x, sent); wrong == nil {
				return x, true
			}
		}
	}
	writeError(w, wrong)
	return nil, false
}

// authenticate sets the client of the request. A wrong secret counts as a wrong credential.
func (p *Protocol) authenticate(hr *http.Request, x *exchange, sent clientSecret) *problem {
	if sent.id == "" {
		return invalidClient(sent.basic)
	}
	var client store.Client
	var failed error
	if sent.secret.Empty() { // nothing that could be guessed
		client, failed = p.Service.AuthenticateClient(hr.Context(), sent.id, sent.secret)
		switch {
		case failed == nil:
			x.client = &client
			return nil
		case fault.CodeOf(failed) == fault.NotFound:
			return invalidClient(sent.basic)
		}
		p.logFailure(x.path, failed)
		return unavailable
	}
	denial := p.Check(hr, x.path, sent.secret, verify(func(ctx context.Context) error {
		client, failed = p.Service.AuthenticateClient(ctx, sent.id, sent.secret)
		if fault.CodeOf(failed) == fault.NotFound {
			return &authz.CredentialError{Reason: authz.InvalidToken}
		}
		return failed
	}))
	switch {
	case denial == nil:
		x.client = &client
		return nil
	case denial.Reason == authz.RateLimited:
		return &problem{status: http.StatusTooManyRequests, code: "temporarily_unavailable", retryAfter: denial.RetryAfter}
	case fault.CodeOf(failed) == fault.NotFound:
		return invalidClient(sent.basic)
	}
	p.logFailure(x.path, failed)
	return unavailable
}

// verify is a verifier that finds out whose secret it is.
type verify func(ctx context.Context) error

// Verify implements authz.Verifier.
func (v verify) Verify(ctx context.Context, _ *authz.Credential, _ time.Time) (*authz.Principal, error) {
	if err := v(ctx); err != nil {
		return nil, err
	}
	return &authz.Principal{AuthMethod: authz.AuthMethodAnonymous}, nil
}

// forLibrary is the request as the library reads it: the form, with the client in it.
func (x *exchange) forLibrary(hr *http.Request) *http.Request {
	hr = x.with(hr)
	form := url.Values{}
	for name, values := range x.form {
		form[name] = values
	}
	hr.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if x.client != nil {
		form.Set("client_id", x.client.ID)
		form.Del("client_secret")
		if !x.client.Public {
			form.Set("client_secret", x.client.ID) // see verifySecret
		}
	}
	hr.Form, hr.PostForm = form, form
	return hr
}

// allowOrigin answers for scripts of other origins (CORS), and reports whether the request
// goes on: those of public clients may ask for tokens. No cookie counts here.
func (p *Protocol) allowOrigin(w http.ResponseWriter, hr *http.Request) bool {
	w.Header().Add("Vary", "Origin")
	origin := hr.Header.Get("Origin")
	if origin != "" && p.AllowsOrigin(origin) {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Expose-Headers", "Retry-After, WWW-Authenticate")
	}
	if hr.Method != http.MethodOptions {
		return true
	}
	if w.Header().Get("Access-Control-Allow-Origin") != "" {
		w.Header().Set("Access-Control-Allow-Methods", "POST")
		w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
		w.Header().Set("Access-Control-Max-Age", "600")
	}
	w.WriteHeader(http.StatusNoContent)
	return false
}

// token answers the token endpoint (RFC 6749 section 3.2).
func (p *Protocol) token(w http.ResponseWriter, hr *http.Request) {
	x, ok := p.begin(w, hr, TokenPath)
	if !ok {
		return
	}
	if x.form.Get("grant_type") != "client_credentials" && x.form.Get("grant_type") != "refresh_token" {
		x.form.Del("scope") // a code has its scopes (section 4.1.3)
	}
	if x.form.Has("scope") {
		x.form.Set("scope", eachOnce(x.form.Get("scope")))
	}
	p.answer(w, hr, x)
}

// eachOnce returns the scopes without those that are there before: the library would sign
// each as often as it is sent.
func eachOnce(scopes string) string {
	var kept []string
	seen := map[string]bool{}
	for scope := range strings.FieldsSeq(scopes) {
		if !seen[scope] {
			kept, seen[scope] = append(kept, scope), true
		}
	}
	return strings.Join(kept, " ")
}

// revoke answers the revocation endpoint (RFC 7009).
func (p *Protocol) revoke(w http.ResponseWriter, hr *http.Request) {
	if x, ok := p.begin(w, hr, RevokePath); ok {
		p.answer(w, hr, x)
	}
}

// introspect answers the introspection endpoint (RFC 7662), which is for clients that can
// prove who they are.
func (p *Protocol) introspect(w http.ResponseWriter, hr *http.Request) {
	x, ok := p.begin(w, hr, IntrospectPath)
	if !ok {
		return
	}
	if x.client.Public {
		writeError(w, invalidClient(x.basic))
		return
	}
	x.token = authz.NewSecret(x.form.Get("token"))
	p.answer(w, hr, x)
}

// userInfo answers the endpoint of OpenID Connect Core section 5.3.
func (p *Protocol) userInfo(w http.ResponseWriter, hr *http.Request) {
	if !p.allowOrigin(w, hr) {
		return
	}
	scheme, token, _ := strings.Cut(hr.Header.Get("Authorization"), " ")
	x := &exchange{path: UserInfoPath, call: p.CallOf(hr), token: authz.NewSecret(token), form: url.Values{}}
	switch {
	case hr.URL.RawQuery != "":
		writeError(w, badRequest("parameters belong in the body"))
	case len(hr.Header.Values("Authorization")) != 1 || chars.LowerASCII(scheme) != "bearer" || token == "":
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
	case hr.Method != http.MethodGet && hr.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
	default:
		p.answer(w, hr, x)
	}
}

var errNoAnswer = errors.New("the library has not answered")
