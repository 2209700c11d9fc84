// Package pages has what the issuer shows in browsers: a login, and the question whether an
// application may have tokens. They look as the console's pages do.
package pages

import (
	"embed"
	"net/http"
	"net/url"
	"strings"

	"keyward/config"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/manage/oauth"
	"keyward/manage/oauth/protocol"
)

//go:embed *.html
var files embed.FS

// Pages are the pages. They implement protocol.Pages.
type Pages struct {
	site      *page.Site
	templates page.Templates
}

// New returns the pages of a site.
func New(site *page.Site) *Pages { return &Pages{site, site.Parse(files)} }

// ServeStatic serves a file that the pages refer to, and reports whether there is one of the
// request's path.
func (p *Pages) ServeStatic(w http.ResponseWriter, hr *http.Request) bool {
	return p.site.Static().Serve(w, hr)
}

func (p *Pages) render(w http.ResponseWriter, hr *http.Request, name, onward string, head page.Head, data any) error {
	if strings.Contains(onward, "[") { // the policy has no form for an address of IPv6
		onward = "http:"
	}
	page.Secure(w.Header(), onward)
	w.Header().Set("X-Frame-Options", "DENY") // for browsers without the policy: a click here gives access away
	head.Bare = true
	return p.site.NewRequest(w, hr, &page.Route{}, p.site.CallOf(hr)).Render(p.templates, name, head, data)
}

// loginPage is what the template of the login gets.
type loginPage struct {
	protocol.LoginPage
	Wrong string
}

// Login implements protocol.Pages.
func (p *Pages) Login(w http.ResponseWriter, hr *http.Request, l protocol.LoginPage) error {
	data, head := loginPage{LoginPage: l}, page.Head{Title: "Sign in"}
	if l.Client != "" {
		head.Title = "Sign in to continue to " + l.Client
	}
	if l.Wrong != nil {
		head = head.Again(l.Wrong)
		var is bool
		if data.Wrong, is = page.WrongPassword(l.Wrong); !is {
			if fault.CodeOf(l.Wrong) != fault.Forbidden {
				return l.Wrong
			}
			data.Wrong = fault.AsError(l.Wrong).Detail
		}
	}
	return p.render(w, hr, "login.html", l.Onward, head, data)
}

// consentPage is what the template of the consent gets.
type consentPage struct {
	protocol.ConsentPage
	Scopes []config.NamedScope
	Sent   string // the scopes, for the form
	Again  string // the link by which another user signs in
}

// Consent implements protocol.Pages.
func (p *Pages) Consent(w http.ResponseWriter, hr *http.Request, c protocol.ConsentPage) error {
	data := consentPage{ConsentPage: c, Sent: c.Scopes, Again: again(c.Request)}
	for _, scope := range c.Asked {
		data.Scopes = append(data.Scopes, p.named(scope))
	}
	return p.render(w, hr, "consent.html", c.Onward, page.Head{Title: "Allow " + c.Client + " to use " + p.site.Title() + " on your behalf?"}, data)
}

// named is a scope with what the configuration says of it.
func (p *Pages) named(scope string) config.NamedScope {
	if scope == oauth.ScopeOpenID {
		return config.NamedScope{Name: scope, Description: "Learn your username"}
	}
	for _, s := range p.site.Settings().Scopes {
		if s.Name == scope {
			return s
		}
	}
	return config.NamedScope{Name: scope}
}

// again is the link of a request by which another user signs in.
func again(request string) string {
	query, err := url.ParseQuery(request)
	if err != nil {
		return ""
	}
	query.Set("prompt", "select_account")
	return protocol.AuthorizePath + "?" + query.Encode()
}

// Error implements protocol.Pages.
func (p *Pages) Error(w http.ResponseWriter, hr *http.Request, status int, text string) error {
	return p.render(w, hr, "error.html", "", page.Head{Title: "This request cannot be answered", Status: status}, text)
}
