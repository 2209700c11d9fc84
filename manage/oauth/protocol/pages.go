package protocol

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"keyward/store/oauth"
)

// Pages are what the issuer shows to the users of browsers. An error is one of the program.
type Pages interface {
	// Login asks for a password, again if wrong says why one was not accepted.
	Login(w http.ResponseWriter, hr *http.Request, l LoginPage) error
	// Consent asks the user to allow what the client asks for.
	Consent(w http.ResponseWriter, hr *http.Request, c ConsentPage) error
	// Error says why a request cannot be answered, and not to its client.
	Error(w http.ResponseWriter, hr *http.Request, status int, text string) error
}

// LoginPage is what the login page shows.
type LoginPage struct {
	Client   string // the name
	Request  string // the authorization request, which the form sends back
	Username string
	Wrong    error  // why the attempt before was not accepted; nil for none
	Onward   string // the origin that the browser goes on to in the end
}

// ConsentPage is what the consent page shows.
type ConsentPage struct {
	Client, User    string
	Request, Scopes string // which the form sends back
	Asked           []string
	Refreshes       bool      // the client gets refresh tokens
	Before          time.Time // when the user last allowed the client something; zero for never
	Onward          string
}

func (p *Protocol) showConsent(w http.ResponseWriter, hr *http.Request, x *exchange, scopes []string) error {
	before, err := p.Service.ConsentedSince(hr.Context(), &x.visit.record, x.client)
	if err != nil {
		return err
	}
	return p.Pages.Consent(w, hr, ConsentPage{
		Client: x.client.Name, User: x.visit.record.Name, Request: x.request, Scopes: strings.Join(scopes, " "), Asked: scopes,
		Refreshes: slices.Contains(x.client.Grants, oauth.RefreshToken), Before: before, Onward: x.onward(),
	})
}

// onward is the origin of the redirect URI.
func (x *exchange) onward() string {
	u, err := url.Parse(x.redirectURI)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func (x *exchange) loginPage() LoginPage {
	return LoginPage{Client: x.client.Name, Request: x.request, Username: x.form.Get("login_hint"), Onward: x.onward()}
}

func (p *Protocol) showError(w http.ResponseWriter, hr *http.Request, status int, text string) {
	if err := p.Pages.Error(w, hr, status, text); err != nil {
		p.logFailure(hr.URL.Path, err)
	}
}

// showFailure shows that nothing could be decided.
func (p *Protocol) showFailure(w http.ResponseWriter, hr *http.Request, err error) {
	p.logFailure(hr.URL.Path, err)
	w.Header().Set("Retry-After", retryAfter)
	p.showError(w, hr, http.StatusServiceUnavailable, "This cannot be answered at the moment. Try again in a few seconds.")
}
