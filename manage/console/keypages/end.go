package keypages

import (
	"keyward/authz"
	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/usage"
)

// endPage is what a page that asks whether a key is to be ended, or to be paused, gets.
type endPage struct {
	key
	*page.Form
	Usage   usage.Usage
	Today   uint64 // requests since midnight
	Why     string // the reason that is chosen
	Replace bool   // a new key may be made in its place
}

// reasons are what the choices of a reason mean in the record.
var reasons = map[string]string{"leaked": "leaked", "unneeded": "no longer needed", "": ""}

// reasonOf is the reason that the form gives.
func reasonOf(r *page.Request) string {
	if reason, known := reasons[r.Value("why")]; known {
		return reason
	}
	return r.Value("note")
}

// ask shows the page that asks.
func (a area) ask(r *page.Request, template, title, crumb string) error {
	k, err := a.find(r)
	if err != nil {
		return err
	}
	used, err := r.Service().KeyUsage(r.Context(), r.Actor, k.ID)
	if err != nil {
		return err
	}
	form := page.NewForm(nil)
	form.ETag = string(k.ETag)
	data := endPage{key: k, Form: form, Usage: used, Why: "unneeded", Replace: a.own || r.Actor.Has(access.Keys)}
	if r.Query("why") == "leaked" {
		data.Why = "leaked"
	}
	if len(used.Days) > 0 {
		data.Today = used.Days[0].Allowed + used.Days[0].Denied
	}
	return r.Render(a.Templates, template, a.head(r, &k, title+" "+k.Name+"?", crumb), data)
}

func (a area) askRevoke(r *page.Request) error { return a.ask(r, "revoke.html", "Revoke", "Revoke") }
func (a area) askDelete(r *page.Request) error { return a.ask(r, "delete.html", "Delete", "Delete") }
func (a area) askPause(r *page.Request) error  { return a.ask(r, "pause.html", "Pause", "Pause") }
func (a area) askEndGrace(r *page.Request) error {
	return a.ask(r, "grace.html", "Refuse the old secret of", "Refuse the old secret")
}

func (a area) revoke(r *page.Request) error {
	ref := a.ref(r)
	ref.Reason = reasonOf(r)
	if r.Value("replace") == "yes" {
		// What the form does once is the new key. To revoke is another change, which may be made
		// again.
		actor := r.Actor
		return a.replace(r, func() (store.KeyRecord, error) { return r.Service().RevokeKey(r.Context(), actor, ref) })
	}
	if _, err := r.Service().RevokeKey(r.Context(), r.Actor, ref); err != nil {
		return err
	}
	return r.Done(a.path+"/"+ref.ID, "revoked")
}

// replace revokes a key, and makes another with what the key had. A key that leaked is
// revoked first: it ends although no other can be made.
func (a area) replace(r *page.Request, revoke func() (store.KeyRecord, error)) error {
	var record store.KeyRecord
	var secret authz.Secret
	made, again, err := r.Once(func(attempt page.Attempt) (page.Made, error) {
		old, err := revoke()
		if err != nil {
			return page.Made{}, err
		}
		p := store.KeyParams{
			Name: old.Name, User: old.User, Project: old.Project, Paths: old.Paths, Scopes: old.Scopes, Rate: old.Rate, Prefix: old.Prefix, Format: old.Format,
			Expires: old.Expires, NotBefore: old.NotBefore, CIDRs: old.CIDRs, Description: old.Description, Owner: old.Owner,
		}
		record, secret, err = r.MakeKey(attempt, p)
		return page.Made{ID: record.ID, Name: record.Name}, err
	})
	switch {
	case err != nil:
		return err
	case again || secret.Empty():
		return a.showAgain(r, made)
	}
	return a.showSecret(r, r.Words().Created, "The old "+r.Words().Key+" was revoked: its next request is refused.", &record, secret)
}

func (a area) deleteKey(r *page.Request) error {
	if _, err := r.Service().DeleteKey(r.Context(), r.Actor, a.ref(r)); err != nil {
		return err
	}
	return r.Done(a.path, "deleted")
}

// bulkPage is what the page that asks whether several keys are to be revoked gets.
type bulkPage struct {
	Keys    []row
	Unknown int
	Used    []string // the names of those that were used within a day
}

// maxAsked bounds the keys that one page asks about.
const maxAsked = 200

func (p pages) askRevokeAll(r *page.Request) error {
	ids := r.HTTP.URL.Query()["id"]
	if len(ids) == 0 {
		return r.SeeOther("/keys?select=none")
	}
	if len(ids) > maxAsked {
		return fault.Refuse(fault.Invalid, "more than %d keys were selected", maxAsked)
	}
	filter := store.KeyFilter{IDs: map[string]bool{}}
	for _, id := range ids {
		filter.IDs[id] = true
	}
	records, _, err := r.Service().ListKeys(r.Context(), r.Actor, filter, store.Page{NewestFirst: true})
	if err != nil {
		return err
	}
	data := bulkPage{Unknown: len(filter.IDs) - len(records)}
	if data.Keys, err = rows(r, records); err != nil {
		return err
	}
	if len(data.Keys) == 0 {
		return r.SeeOther("/keys?select=none")
	}
	for _, k := range data.Keys {
		if !k.LastUse.IsZero() && r.Now().Sub(k.LastUse) < day {
			data.Used = append(data.Used, k.Name)
		}
	}
	head := page.Head{Title: "Revoke " + page.Plural(len(data.Keys), "key") + "?", Current: "/keys", Crumbs: []page.Crumb{{Path: "/keys", Text: "Keys"}, {Text: "Revoke"}}}
	return r.Render(p.Templates, "bulk.html", head, data)
}
