// Package signin has the pages by which a person comes in and goes: login, logout, and
// the one-time links. [account.Service] does what they say.
package signin

import (
	"embed"

	"keyward/authz"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/manage/input"
	"keyward/manage/oidclogin"
	"keyward/manage/state"
)

//go:embed *.html
var files embed.FS

type pages struct{ page.Templates }

// Routes are the pages.
func Routes(s *page.Site) []page.Route {
	p := pages{s.Parse(files)}
	return []page.Route{
		{Pattern: "GET /login", Public: true, Serve: p.showLogin},
		{Pattern: "POST /login", Public: true, Serve: p.login},
		{Pattern: "POST " + page.ProviderPath, Public: true, Serve: p.beginProvider},
		{Pattern: "POST " + page.ProofPath, Serve: p.proveByProvider},
		{Pattern: "GET " + oidclogin.CallbackPath, Public: true, Serve: p.finishProvider},
		{Pattern: "POST /logout", Always: true, Serve: p.logout},
		{Pattern: "GET /setup/{code}", Public: true, Link: state.PurposeSetup, Serve: p.showSetup},
		{Pattern: "POST /setup/{code}", Public: true, Link: state.PurposeSetup, Serve: p.setUp},
		{Pattern: "GET /password/{code}", Public: true, Link: state.PurposePassword, Serve: p.showPassword},
		{Pattern: "POST /password/{code}", Public: true, Link: state.PurposePassword, Serve: p.setPassword},
	}
}

// loginPage is what the page of the login gets.
type loginPage struct {
	Next, Username string
	Wrong          string // what was wrong with the attempt before; "" is nothing
	Prove          bool   // a login with the provider has the person log in to it again
}

const loginTitle = "Sign in to the console"

func (p pages) showLogin(r *page.Request) error {
	return r.Render(p.Templates, "login.html", page.Head{Title: loginTitle, Bare: true}, loginPage{Next: page.LocalPath(r.Query("next"), "/")})
}

func (p pages) login(r *page.Request) error {
	next := page.LocalPath(r.Sent.Get("next"), "/")
	cookie, err := r.Login(r.HTTP, r.Call, r.Value("username"), r.Secret("password"), r.Cookie())
	if wrong, isWrong := page.WrongPassword(err); isWrong {
		head := page.Head{Title: loginTitle, Bare: true}.Again(err)
		return r.Render(p.Templates, "login.html", head, loginPage{Next: next, Username: r.Value("username"), Wrong: wrong})
	}
	if err != nil {
		return err
	}
	r.SetCookie(cookie)
	if shown, err := p.first(r, cookie); shown {
		return err
	}
	return r.SeeOther(next)
}

// first shows the key that a user gets at the first login. A login is one, whether or not
// there is a key: the first page offers what could not be given.
func (p pages) first(r *page.Request, cookie authz.Secret) (shown bool, err error) {
	actor, err := r.Accounts().Actor(r.Context(), cookie, r.Call)
	if err == nil && actor.Known() {
		public := r.Actor
		r.Actor = actor
		if shown, err = r.GiveFirst(); shown {
			return true, err
		}
		r.Actor = public
	}
	if err != nil {
		r.Failure(r.Context(), r, err)
	}
	return false, nil
}

func (p pages) logout(r *page.Request) error {
	r.ClearCookie()
	if err := r.Accounts().EndSession(r.Context(), r.Actor, r.Actor.Session()); err != nil && fault.CodeOf(err) != fault.NotFound {
		return err
	}
	r.Header().Set("Clear-Site-Data", `"cache"`)
	return r.SeeOther("/login")
}

// linkPage is what the page of a one-time link gets.
type linkPage struct {
	*page.Form
	Code state.Code
	Path string
}

var (
	setupHead     = page.Head{Title: "Set up the first administrator", Bare: true}
	passwordHead  = page.Head{Title: "Set your password", Bare: true}
	accountFields = page.Fields{{Member: "name", ID: "username", Label: "Username"}, {Member: "password", ID: "password", Label: "Password"}}
)

func (p pages) showSetup(r *page.Request) error { return p.showLink(r, state.PurposeSetup, nil) }

func (p pages) showPassword(r *page.Request) error { return p.showLink(r, state.PurposePassword, nil) }

// showLink shows the form of a link, again if refused says why it was not accepted.
func (p pages) showLink(r *page.Request, purpose state.Purpose, refused error) error {
	code, err := r.Accounts().Link(r.Context(), purpose, r.Code())
	if err != nil {
		return err
	}
	name, head := "setup.html", setupHead
	if purpose == state.PurposePassword {
		name, head = "password.html", passwordHead
	}
	data := linkPage{r.SentForm(), code, r.HTTP.URL.Path}
	if refused != nil {
		if !data.Take(refused, accountFields) {
			return refused
		}
		head = head.Again(refused)
	}
	return r.Render(p.Templates, name, head, data)
}

func (p pages) setUp(r *page.Request) error {
	name := r.Value("username")
	err := input.Addressable("user", name)
	if err != nil {
		return p.showLink(r, state.PurposeSetup, err)
	}
	_, cookie, err := r.Accounts().SetUp(r.Context(), r.Call, r.Code(), name, r.Secret("password"))
	if err != nil {
		return p.showLink(r, state.PurposeSetup, err)
	}
	r.SetCookie(cookie)
	return r.SeeOther("/")
}

func (p pages) setPassword(r *page.Request) error {
	if err := r.Accounts().SetPassword(r.Context(), r.Call, r.Code(), r.Secret("password")); err != nil {
		return p.showLink(r, state.PurposePassword, err)
	}
	return r.Done("/login", "set")
}
