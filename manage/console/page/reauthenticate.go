package page

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"keyward/manage/fault"
)

// A form that was refused because the login is too long ago is shown again as hidden
// fields, with one for the password: nothing that was typed is lost, but passwords. A user
// who logged in with the OpenID provider logs in to it again instead, in another tab: the
// form stays in this one, and is sent again by hand.

// ProofField is the field of a form that proves again who the user is.
const ProofField = "reauthenticate_password"

// providerField marks a form that is sent again after a login with the provider.
const providerField = "reauthenticate_provider"

// passwordFields are never in a hidden field, a digest or a page.
var passwordFields = []string{"password", "current", "new", ProofField}

func withoutPasswords(values url.Values) url.Values {
	kept := url.Values{}
	for name, all := range values {
		if !slices.Contains(passwordFields, name) {
			kept[name] = all
		}
	}
	return kept
}

// proofPage is what the page that asks for the password gets.
type proofPage struct {
	Action string
	Hidden []hiddenField
	Wrong  string // what was wrong with the proof before; "" is nothing
	User   string
	// Provider is the name of the provider that the user logs in to again; "" is none:
	// there is a password.
	Provider string
}

type hiddenField struct{ Name, Value string }

// AskForProof answers a form with the page that asks for the password, and sends the
// form again with it.
func (r *Request) AskForProof(wrong string) error {
	page := proofPage{Action: r.HTTP.URL.Path, Wrong: wrong, User: r.Actor.User()}
	byProvider, err := r.Accounts().ByProvider(r.Context(), r.Actor)
	switch {
	case err != nil:
		return err
	case byProvider && r.ProviderName() == "":
		return &Problem{Code: fault.Forbidden, Detail: "this needs a login within the last 15 minutes: sign out, and sign in again"}
	case byProvider:
		page.Provider = r.ProviderName()
	}
	if byProvider && r.proofAwaited {
		page.Wrong = "You have not signed in to " + page.Provider + " again since."
	}
	values := withoutPasswords(r.Sent)
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.SortFunc(names, strings.Compare)
	for _, name := range names {
		for _, value := range values[name] {
			page.Hidden = append(page.Hidden, hiddenField{name, value})
		}
	}
	head := Head{Title: "Confirm that it is you", Status: http.StatusForbidden, Error: page.Wrong != ""}
	return r.Render(r.errors, "reauthenticate.html", head, page)
}

// Prove renews the session by the password in the form's ProofField, if it has one. It
// returns false if it has answered the request itself.
func (r *Request) Prove() (proved bool, err error) {
	r.proofAwaited = r.Sent.Has(providerField)
	r.Sent.Del(providerField)
	if !r.Sent.Has(ProofField) {
		return true, nil
	}
	cookie, actor, err := r.Accounts().Reauthenticate(r.Context(), r.Actor, r.Secret(ProofField))
	if wrong, isWrong := WrongPassword(err); isWrong {
		return false, r.AskForProof(wrong)
	}
	if err != nil {
		return false, err
	}
	r.SetCookie(cookie)
	r.Actor = actor
	r.Sent.Del(ProofField)
	return true, nil
}
