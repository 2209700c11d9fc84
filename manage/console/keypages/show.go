package keypages

import (
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/store"
	"keyward/store/audit"
	"keyward/usage"
)

// showPage is what the page of a key gets.
type showPage struct {
	key
	Row     row
	Usage   usage.Usage
	Allowed uint64 // of the last 30 days
	Denied  uint64
	Charts  []page.Chart
	History []audit.Entry
	Limit   *manage.KeyLimit
	Once    string // of the form that rotates the key
	Users   bool   // links to users, projects, the audit log and denials lead somewhere
	Project bool
	Audit   bool
	Explain bool
}

// historySize is how many entries of the audit log the page of a key has.
const historySize = 10

func (a area) show(r *page.Request) error {
	k, err := a.find(r)
	if err != nil {
		return err
	}
	used, err := r.Service().KeyUsage(r.Context(), r.Actor, k.ID)
	if err != nil {
		return err
	}
	data := showPage{
		key: k, Row: row{k.KeyView, r.Now()}, Usage: used, Charts: page.Charts(used.Days), Once: page.NewForm(nil).Once,
		Users: r.Can("/users"), Project: r.Can("/projects"), Audit: r.Can("/audit"), Explain: r.Can("/decisions"),
	}
	for _, day := range used.Days {
		data.Allowed, data.Denied = data.Allowed+day.Allowed, data.Denied+day.Denied
	}
	if r.Actor.Has(access.Read) {
		if data.Limit, err = r.Service().KeyLimit(r.Context(), r.Actor, k.ID); err != nil {
			data.Limit = nil // it is shown where it is known
		}
		data.History, _, err = r.Service().AuditLog(r.Context(), r.Actor, store.AuditFilter{Record: k.ID}, store.Page{Limit: historySize, NewestFirst: true})
		if err != nil {
			return err
		}
	}
	head := page.Head{Title: k.Name, Current: a.path, Crumbs: a.crumbs(r, page.Crumb{Text: k.Name})}
	return r.Render(a.Templates, "key.html", head, data)
}

// Requests is how many there were in the last 30 days.
func (s showPage) Requests() uint64 { return s.Allowed + s.Denied }
