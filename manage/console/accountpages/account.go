// Package accountpages has the pages of a user's own account: the password, the
// sessions and the applications that may act for the user. [account.Service]
// and [oauth.Service] do what they say.
package accountpages

import (
	"embed"

	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/manage/oauth"
	"keyward/manage/state"
	"keyward/store"
)

//go:embed *.html
var files embed.FS

type pages struct{ page.Templates }

// Routes are the pages.
func Routes(s *page.Site) []page.Route {
	p := pages{s.Parse(files)}
	return []page.Route{
		{Pattern: "GET /account", Serve: p.show},
		{Pattern: "GET /account/password", Always: true, Serve: p.showPassword},
		{Pattern: "POST /account/password", Always: true, Serve: p.changePassword},
		{Pattern: "POST /account/sessions/end", Serve: p.endSessions},
		{Pattern: "POST /account/applications/end", Serve: p.endApplication},
	}
}

// accountPage is what the page of the account gets.
type accountPage struct {
	*page.Form
	Roles     []string
	Sessions  []state.Session
	Current   string // the id of this session
	Idle, Max string
	// Issues: there is an issuer, and these have access.
	Issues       bool
	Applications []oauth.Application
}

var passwordFields = page.Fields{{Member: "password", ID: "new", Label: "New password"}, {Member: "current", ID: "current", Label: "Current password"}}

func (p pages) show(r *page.Request) error { return p.account(r, page.Head{}, page.NewForm(nil)) }

// account shows the page, with the form of the password as it was sent.
func (p pages) account(r *page.Request, head page.Head, form *page.Form) error {
	sessions, _, err := r.Accounts().Sessions(r.Context(), r.Actor, store.Page{Limit: 100, NewestFirst: true})
	if err != nil {
		return err
	}
	var applications []oauth.Application
	issuer := r.Issuer()
	if issuer != nil {
		if applications, err = issuer.Applications(r.Context(), r.Actor); err != nil {
			return err
		}
	}
	head.Title, head.Current = "Account", "/account"
	head.Crumbs = []page.Crumb{{Text: r.Words().OwnSection}, {Text: "Account"}}
	limits := r.Settings().Session
	return r.Render(p.Templates, "account.html", head, accountPage{
		form, rolesOf(r.Actor), sessions, r.Actor.Session(), page.Span(limits.Idle), page.Span(limits.Max), issuer != nil, applications,
	})
}

// rolesOf are the scopes that say what the actor may do here: an administrator has all.
func rolesOf(a access.Actor) []string {
	if a.Unbounded() {
		return []string{access.ScopeAdmin}
	}
	return a.Roles()
}

// showPassword is the page for a session whose password must be changed first.
func (p pages) showPassword(r *page.Request) error {
	if !r.Actor.MustChange() {
		return r.SeeOther("/account")
	}
	return p.mustChange(r, page.Head{}, page.NewForm(nil))
}

func (p pages) mustChange(r *page.Request, head page.Head, form *page.Form) error {
	head.Title, head.Bare = "Choose a new password", true
	return r.Render(p.Templates, "password.html", head, form)
}

func (p pages) changePassword(r *page.Request) error {
	cookie, err := r.Accounts().ChangePassword(r.Context(), r.Actor, r.Secret("current"), r.Secret("new"))
	if err == nil {
		r.SetCookie(cookie)
		if r.Actor.MustChange() {
			return r.Done("/", "password") // the login begins here
		}
		return r.Done("/account", "password")
	}
	form := r.SentForm()
	switch wrong, isWrong := page.WrongPassword(err); {
	case form.Take(err, passwordFields):
	case isWrong:
		form.Add("current", wrong)
	default:
		return err
	}
	if r.Actor.MustChange() {
		return p.mustChange(r, page.Head{}.Again(err), form)
	}
	return p.account(r, page.Head{}.Again(err), form)
}

// endApplication ends what the user has allowed an application.
func (p pages) endApplication(r *page.Request) error {
	if r.Issuer() == nil {
		return &page.Problem{Code: fault.NotFound}
	}
	if err := r.Issuer().Withdraw(r.Context(), r.Actor, r.Value("client")); err != nil {
		return err
	}
	return r.Done("/account", "access")
}

// endSessions ends one session of the user's, or all but this one.
func (p pages) endSessions(r *page.Request) error {
	which := r.Value("session")
	if which != "others" {
		if err := r.Accounts().EndSession(r.Context(), r.Actor, which); err != nil {
			return err
		}
		if which == r.Actor.Session() {
			r.ClearCookie()
			return r.SeeOther("/login")
		}
		return r.Done("/account", "session")
	}
	sessions, _, err := r.Accounts().Sessions(r.Context(), r.Actor, store.Page{})
	if err != nil {
		return err
	}
	for _, s := range sessions {
		if s.ID == r.Actor.Session() {
			continue
		}
		if err := r.Accounts().EndSession(r.Context(), r.Actor, s.ID); err != nil && fault.CodeOf(err) != fault.NotFound {
			return err
		}
	}
	return r.Done("/account", "sessions")
}
