package tokenpages

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/store"
)

// revocationsPage is what the list of revocations gets.
type revocationsPage struct {
	TokenID, SessionID, Subject string // filters
	Revocations                 []store.Revocation
	Pager                       page.Pager
	Any                         bool   // a filter is set
	Make                        bool   // the actor may revoke
	Bad                         string // what is wrong with the filters
	Missing                     bool   // the configuration has no file of revocations
}

func (p pages) listRevocations(r *page.Request) error {
	filter := store.RevocationFilter{TokenID: r.Query("jti"), SessionID: r.Query("sid"), Subject: r.Query("subject")}
	data := revocationsPage{TokenID: filter.TokenID, SessionID: filter.SessionID, Subject: filter.Subject, Make: r.Actor.Has(access.Admin)}
	data.Any = filter != store.RevocationFilter{}
	head := page.Head{Title: "Revoked tokens"}
	records, next, err := r.Service().ListRevocations(r.Context(), r.Actor, filter, store.Page{After: store.Cursor(r.Query("cursor")), Limit: pageSize, NewestFirst: true})
	switch code := fault.CodeOf(err); {
	case err != nil && code == fault.NotFound:
		data.Missing = true
	case err != nil && code == fault.Invalid:
		data.Bad = "The page cannot be found: begin with the first one."
		head.Status, head.Error = http.StatusUnprocessableEntity, true
	case err != nil:
		return err
	}
	data.Revocations = records
	data.Pager = r.Pager(string(next))
	return r.Render(p.Templates, "revocations.html", head, data)
}

// revocationForm is what the form of a revocation, and the page that asks, get.
type revocationForm struct {
	*page.Form
	Until  time.Time
	Before time.Time
	Hidden []hiddenField // of the page that asks: what was typed
}

type hiddenField struct{ Name, Value string }

// The fields of a revocation by its members. The first one is also that of errors about
// several.
var revocationFields = page.Fields{
	{Member: "", ID: "which"}, {Member: "jti", ID: "jti", Label: "The id"}, {Member: "sid", ID: "sid", Label: "The session"},
	{Member: "subject", ID: "subject", Label: "The subject"}, {Member: "issued_before", ID: "issued_before", Label: "The time"},
	{Member: "until", ID: "until", Label: "The end"}, {Member: "reason", ID: "reason", Label: "The reason"},
}

// revocationInputs are the fields that are sent on from the page that asks.
var revocationInputs = []string{"which", "jti", "sid", "subject", "issued_before", "until", "reason"}

func revocationHead(title string) page.Head {
	return page.Head{Title: title, Current: "/revocations", Crumbs: []page.Crumb{{Path: "/revocations", Text: "Revoked tokens"}, {Text: "Revoke"}}}
}

func (p pages) showNewRevocation(r *page.Request) error {
	f := page.NewForm(url.Values{"which": {"jti"}, "subject": {r.Query("subject")}, "issued_before": {r.Now().Format(minuteLayout)}})
	return r.Render(p.Templates, "revocationform.html", revocationHead("Revoke tokens"), revocationForm{Form: f})
}

// minuteLayout is how browsers send a date and a time; the time is UTC.
const minuteLayout = "2006-01-02T15:04"

// timeOf reads a time of the form; "" is the zero time.
func timeOf(r *page.Request, f *page.Form, id, label string) time.Time {
	text := r.Value(id)
	if text == "" {
		return time.Time{}
	}
	for _, layout := range []string{minuteLayout, "2006-01-02T15:04:05", time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC()
		}
	}
	f.Add(id, label+" is not a time like 2026-12-31T23:59.")
	return time.Time{}
}

// readRevocation reads the form: of the choice alone, so that a field that is not shown
// does not make a revocation another one.
func readRevocation(r *page.Request, f *page.Form) manage.TokenRevocation {
	which := manage.TokenRevocation{Until: timeOf(r, f, "until", "The end"), Reason: r.Value("reason")}
	required := func(id, text string) string {
		value := r.Value(id)
		if value == "" {
			f.Add(id, text)
		}
		return value
	}
	before := func() time.Time {
		required("issued_before", "Enter the time before which the tokens were issued.")
		return timeOf(r, f, "issued_before", "The time")
	}
	switch r.Value("which") {
	case "jti":
		which.TokenID = required("jti", "Enter the id of the token, its jti.")
	case "sid":
		which.SessionID = required("sid", "Enter the id of the session, the sid of its tokens.")
	case "subject":
		which.Subject = required("subject", "Enter the subject of the tokens.")
		which.IssuedBefore = before()
	case "all":
		which.IssuedBefore = before()
	default:
		f.Add("which", "Choose which tokens to revoke.")
	}
	return which
}

// askRevocation shows what the revocation ends, and asks whether it is to be.
func (p pages) askRevocation(r *page.Request) error {
	f := r.SentForm()
	which := readRevocation(r, f)
	if len(f.Errors) > 0 {
		return r.Render(p.Templates, "revocationform.html", revocationHead("Revoke tokens").Again(nil), revocationForm{Form: f})
	}
	if _, err := r.Service().Revoke(fault.DryRun(r.Context()), r.Actor, which); !errors.Is(err, fault.ErrDryRun) {
		return p.refusedRevocation(r, f, err)
	}
	f.Once = page.NewForm(nil).Once
	data := revocationForm{Form: f, Until: which.Until, Before: which.IssuedBefore}
	for _, name := range revocationInputs {
		data.Hidden = append(data.Hidden, hiddenField{name, r.Value(name)})
	}
	return r.Render(p.Templates, "revocationask.html", revocationHead("Revoke these tokens?"), data)
}

// createRevocation revokes the tokens, once for a form.
func (p pages) createRevocation(r *page.Request) error {
	f := r.SentForm()
	which := readRevocation(r, f)
	if len(f.Errors) > 0 {
		return r.Render(p.Templates, "revocationform.html", revocationHead("Revoke tokens").Again(nil), revocationForm{Form: f})
	}
	_, _, err := r.Once(func(attempt page.Attempt) (page.Made, error) {
		if attempt.Resumed {
			if entries, err := r.Service().Made(r.Context(), r.Actor); err != nil || len(entries) > 0 {
				return page.Made{}, err
			}
		}
		_, err := r.Service().Revoke(r.Context(), r.Actor, which)
		return page.Made{}, err
	})
	if err != nil {
		return p.refusedRevocation(r, f, err)
	}
	return r.Done("/revocations", "tokens-revoked")
}

// refusedRevocation shows the form again with what is wrong with it.
func (p pages) refusedRevocation(r *page.Request, f *page.Form, err error) error {
	if !f.Take(err, revocationFields) {
		return err
	}
	return r.Render(p.Templates, "revocationform.html", revocationHead("Revoke tokens").Again(err), revocationForm{Form: f})
}
