package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/manage/access"
	"keyward/manage/fault"
	"keyward/manage/gate"
	"keyward/manage/input"
	"keyward/manage/problem"
	"keyward/manage/session"
	"keyward/manage/state"

	"github.com/danielgtaylor/huma/v2"
)

// linkPaths are where the links are, by what they are for.
var linkPaths = map[state.Purpose]string{state.PurposeSetup: "/setup/", state.PurposePassword: "/password/"}

// LinkPath is the path of a one-time link, without its code.
func LinkPath(purpose state.Purpose) string { return linkPaths[purpose] }

// linkOf returns the code of a request to a link: all that follows, so that no part of
// it is in the log as the path of another request.
func linkOf(r *http.Request) (state.Purpose, authz.Secret, bool) {
	for purpose, path := range linkPaths {
		if code, ok := strings.CutPrefix(r.URL.Path, path); ok && code != "" {
			return purpose, authz.NewSecret(code), true
		}
	}
	return "", authz.Secret{}, false
}

// Serves reports whether a request is one for the API. A one-time link is a page as well:
// a browser asks for HTML and sends a form. A target that programs could read differently
// is not a page's.
func Serves(r *http.Request) bool {
	target, _, _ := strings.Cut(r.RequestURI, "?")
	if _, err := urlpath.Parse(target, urlpath.Rules{}); err != nil || r.URL.Path == "/api" || strings.HasPrefix(r.URL.Path, "/api/") {
		return true
	}
	if _, _, isLink := linkOf(r); !isLink {
		return false
	}
	if changes(r) {
		kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		return kind != "application/x-www-form-urlencoded"
	}
	return !strings.Contains(r.Header.Get("Accept"), "text/html")
}

const crossOriginDetail = "a change needs Sec-Fetch-Site: same-origin, or an Origin that is the console's public_url"

// changes reports whether the request may change something.
func changes(r *http.Request) bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions
}

// serveLink serves a request to a one-time link. The code is verified before the body
// is read, and those who have none share the places of one caller.
func (a *api) serveLink(w http.ResponseWriter, r *http.Request, purpose state.Purpose, token authz.Secret) {
	if !a.Gate.Take(gate.Stranger) {
		overload(w, "too many requests to links are being served")
		return
	}
	defer a.Gate.Give(gate.Stranger)
	if !a.hasOperation(r) {
		a.serve(w, r)
		return
	}
	if changes(r) && !a.Origin().Same(r) {
		problem.New(problem.CrossOrigin, crossOriginDetail).Write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), gate.RequestTime)
	defer cancel()
	link, denial := a.AuthenticateLink(r, purpose, token)
	if denial != nil {
		writeLinkDenial(w, denial)
		return
	}
	p := ambiguous(r)
	if p == nil {
		_, p = readBody(w, r)
	}
	if p != nil {
		p.Write(w)
		return
	}
	a.serve(w, r.WithContext(context.WithValue(ctx, callKey{}, &call{log: a.Log, link: link, token: token})))
}

// writeLinkDenial writes the denial of a link: one that is not good is not there.
func writeLinkDenial(w http.ResponseWriter, d *gate.Denial) {
	if d.Status == http.StatusUnauthorized {
		p := problem.New(fault.NotFound, "the link is not valid: it was used, has expired, or has been replaced")
		p.DecisionID = d.DecisionID
		p.Write(w)
		return
	}
	writeDenial(w, d)
}

// LinkCode is the code in the path of a link.
type LinkCode struct {
	Code string `path:"code" maxLength:"255"`
}

// LinkBody is what a link is for.
type LinkBody struct {
	Purpose string    `json:"purpose" enum:"setup,password"`
	User    string    `json:"user,omitempty" doc:"Whose password it sets."`
	Expires time.Time `json:"expires"`
}

// registerLinks adds the one-time links.
func (a *api) registerLinks(h huma.API) {
	for purpose, path := range linkPaths {
		add(h, operation{id: "get-" + string(purpose) + "-link", method: http.MethodGet, path: path + "{code}", summary: "Show what a one-time link is for", tag: "Links", link: true},
			func(ctx context.Context, _ access.Actor, _ *LinkCode) (*struct{ Body LinkBody }, error) {
				code, err := a.Accounts().Link(ctx, purpose, callOf(ctx).token)
				return &struct{ Body LinkBody }{LinkBody{string(purpose), code.Subject, code.Expires}}, err
			})
	}
	add(h, operation{id: "use-password-link", method: http.MethodPost, path: linkPaths[state.PurposePassword] + "{code}", summary: "Set the password by a one-time link", status: http.StatusNoContent, tag: "Links", link: true},
		func(ctx context.Context, _ access.Actor, in *struct {
			LinkCode
			Body struct {
				Password string `json:"password" doc:"8 to 72 bytes." writeOnly:"true"`
			}
		}) (*struct{}, error) {
			c := callOf(ctx)
			return nil, a.Accounts().SetPassword(ctx, c.link, c.token, authz.NewSecret(in.Body.Password))
		})
	add(h, operation{id: "use-setup-link", method: http.MethodPost, path: linkPaths[state.PurposeSetup] + "{code}", summary: "Create the first administrator by a one-time link", status: http.StatusCreated, tag: "Links", link: true, errors: []int{http.StatusConflict}},
		func(ctx context.Context, _ access.Actor, in *struct {
			LinkCode
			Body struct {
				Name     string `json:"name" minLength:"1" maxLength:"255"`
				Password string `json:"password" doc:"8 to 72 bytes." writeOnly:"true"`
			}
		}) (*setUpOutput, error) {
			if err := input.Addressable("user", in.Body.Name); err != nil {
				return nil, err
			}
			c := callOf(ctx)
			r, cookie, err := a.Accounts().SetUp(ctx, c.link, c.token, in.Body.Name, authz.NewSecret(in.Body.Password))
			if err != nil {
				return nil, err
			}
			return &setUpOutput{session.SetCookie(cookie), viewUser(&r)}, nil
		})
}

// setUpOutput is the response with the first administrator, who is logged in by it.
type setUpOutput struct {
	SetCookie string `header:"Set-Cookie"`
	Body      UserBody
}
