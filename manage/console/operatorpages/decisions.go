package operatorpages

import (
	"net/http"
	"slices"
	"strings"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/console/page"
	"keyward/manage/denials"
	"keyward/manage/fault"
)

// decisionPage is what the page about a denial gets.
type decisionPage struct {
	*page.Form
	ID     string // that was asked for
	Asked  bool   // an id was asked for
	Denial *denials.Denial
	Now    *denials.Now // nil: it cannot be decided again
	Pasted bool         // the denial is that of a log line
	Steps  []step
	Advice advice
	// NowAdvice is about the reason for which the request would be denied now.
	NowAdvice advice
	KeyPath   string // of the page of its key; "" is none
	// Key is the key as it is now; nil if there is none, or it is not for the actor.
	Key      *manage.KeyView
	UserPath string // of the page of its user; "" is none
}

// step is one of a check: the last one refuses, if the request would be denied.
type step struct {
	Name, Outcome string
	Refuses       bool
	Skipped       bool // the check ended before it
}

// stepNames are what people call the steps.
var stepNames = map[string]string{
	"path": "Path", "route": "Route", "credential": "Credential", "policy": "Scopes, paths and project", "rate": "Rate limits", "allow": "Allowed",
}

// checkSteps are the steps of a check, in their order.
var checkSteps = []string{"path", "route", "credential", "policy", "rate"}

// Changed reports whether the request would be decided otherwise now.
func (d decisionPage) Changed() bool { return d.Now != nil && d.Now.Reason != d.Denial.Reason }

// decisionFields are the fields by which a denial is found.
var decisionFields = page.Fields{{Member: "line", ID: "line", Label: "The line is"}}

var decisionHead = page.Head{Title: "Explain a denial"}

// showDecision explains a denial of this process by its id.
func (p pages) showDecision(r *page.Request) error {
	data := decisionPage{Form: page.NewForm(nil), ID: r.Query("id")}
	data.Asked = data.ID != ""
	if !data.Asked {
		return r.Render(p.Templates, "decision.html", decisionHead, data)
	}
	denial, now, err := r.Service().Decision(r.Context(), r.Actor, data.ID)
	switch {
	case fault.CodeOf(err) == fault.NotFound && err != nil:
		head := decisionHead
		head.Status = http.StatusNotFound
		return r.Render(p.Templates, "decision.html", head, data)
	case err != nil:
		return err
	}
	data.explain(r, denial, now)
	return r.Render(p.Templates, "decision.html", decisionHead, data)
}

// explainLine explains the denial of a line of the decision log. It changes nothing: the
// line comes by a form so that it is in no URL.
func (p pages) explainLine(r *page.Request) error {
	data := decisionPage{Form: r.SentForm(), Pasted: true}
	line := r.Value("line")
	if line == "" {
		data.Add("line", "Paste a line of the log.")
		return r.Render(p.Templates, "decision.html", decisionHead.Again(nil), data)
	}
	denial, now, err := r.Service().DecisionOfLine(r.Context(), r.Actor, []byte(line))
	switch {
	case err != nil && data.Take(err, decisionFields):
		return r.Render(p.Templates, "decision.html", decisionHead.Again(err), data)
	case err != nil:
		return err
	}
	data.explain(r, denial, now)
	return r.Render(p.Templates, "decision.html", decisionHead, data)
}

// skipAfter adds the steps that a check does not reach after it ended at one.
func (d *decisionPage) skipAfter(last string) {
	at := slices.Index(checkSteps, last)
	if at < 0 {
		return
	}
	for _, name := range checkSteps[at+1:] {
		d.Steps = append(d.Steps, step{Name: stepNames[name], Skipped: true})
	}
}

// explain adds what is known of the denial.
func (d *decisionPage) explain(r *page.Request, denial *denials.Denial, now *denials.Now) {
	d.Denial, d.Now, d.Advice = denial, now, adviceOn(authz.ParseReason(denial.Reason))
	if now != nil {
		denied := now.Decision != "allow"
		if denied {
			d.NowAdvice = adviceOn(authz.ParseReason(now.Reason))
		}
		for i, s := range now.Steps {
			name := stepNames[s.Name]
			if name == "" {
				name = strings.ReplaceAll(s.Name, "_", " ")
			}
			d.Steps = append(d.Steps, step{Name: name, Outcome: s.Outcome, Refuses: denied && i == len(now.Steps)-1})
		}
		if denied {
			d.skipAfter(now.Steps[len(now.Steps)-1].Name)
		}
	}
	if denial.KeyID != "" && r.Can("/keys/{id}") {
		d.KeyPath = pathUnder("/keys/", denial.KeyID)
		// A log line may name any key, and one that was deleted has no record.
		if record, err := r.Service().Key(r.Context(), r.Actor, manage.KeyRef{ID: denial.KeyID}); err == nil {
			if view, err := r.Service().KeyViewer(r.Context()); err == nil {
				shown := view(&record)
				d.Key = &shown
			}
		}
	}
	// A subject is a user of the records only with a key or a password.
	if denial.Subject != "" && denial.Subject != denial.KeyID && r.Can("/users/{name}") &&
		(denial.AuthMethod == authz.AuthMethodAPIKey.String() || denial.AuthMethod == authz.AuthMethodBasic.String()) {
		d.UserPath = pathUnder("/users/", denial.Subject)
	}
}
