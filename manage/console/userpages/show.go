package userpages

import (
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/store"
	"keyward/usage"
)

// showPage is what the page of a user gets.
type showPage struct {
	user
	*page.Form        // the one that creates a key
	Keys       []key  // the newest first
	More       string // the path of the list that has all of them; "": these are all
	Last       usage.Usage
	See        bool // the actor sees keys
	Make       bool // the actor may make them
	Mine       bool // the actor may change the user
	Admin      bool
	Audit      bool
	Creator    string // the path of the page of who made the user; "": there is none
}

// key is a key of the user.
type key struct {
	manage.KeyView
	Requests uint64 // of the last 30 days
}

// Live reports whether the key has not ended.
func (k key) Live() bool { return !k.State.HasEnded() }

// keysOf returns a page of the keys of the user as they are now.
func keysOf(r *page.Request, name string, p store.Page) ([]manage.KeyView, store.Cursor, error) {
	records, next, err := r.Service().ListKeys(r.Context(), r.Actor, store.KeyFilter{User: name}, p)
	if err != nil {
		return nil, "", err
	}
	view, err := r.Service().KeyViewer(r.Context())
	if err != nil {
		return nil, "", err
	}
	keys := make([]manage.KeyView, 0, len(records))
	for i := range records {
		keys = append(keys, view(&records[i]))
	}
	return keys, next, nil
}

func (p pages) show(r *page.Request) error { return p.render(r, page.Head{}, page.NewForm(nil)) }

// render shows the user, with the form of a key as it was sent.
func (p pages) render(r *page.Request, head page.Head, form *page.Form) error {
	u, err := find(r)
	if err != nil {
		return err
	}
	data := showPage{
		user: u, Form: form, See: r.Actor.Has(keyReaders), Make: r.Actor.Has(access.Keys), Mine: r.Actor.Has(access.Users), Admin: r.Actor.Has(access.Admin),
		Audit: r.Can("/audit"),
	}
	if u.CreatedBy != "" {
		if _, err := r.Service().User(r.Context(), r.Actor, u.CreatedBy); err == nil {
			data.Creator = pathOf(u.CreatedBy)
		}
	}
	if data.See {
		if err := data.addKeys(r); err != nil {
			return err
		}
	}
	head.Title, head.Current = u.Name, u.List()
	head.Crumbs = []page.Crumb{listCrumb(u.Service), {Text: u.Name}}
	return r.Render(p.Templates, "user.html", head, data)
}

func (s *showPage) addKeys(r *page.Request) error {
	keys, next, err := keysOf(r, s.Name, store.Page{Limit: pageSize, NewestFirst: true})
	if err != nil {
		return err
	}
	for _, k := range keys {
		used, err := r.Service().KeyUsage(r.Context(), r.Actor, k.ID)
		if err != nil {
			return err
		}
		shown := key{KeyView: k}
		for _, day := range used.Days {
			shown.Requests += day.Allowed + day.Denied
		}
		if used.Last.After(s.Last.Last) {
			s.Last = used
		}
		s.Keys = append(s.Keys, shown)
	}
	if next != "" {
		s.More = "/keys"
	}
	return nil
}

// InForce is how many of the keys that are shown have not ended.
func (s *showPage) InForce() (n int) {
	for _, k := range s.Keys {
		if k.Live() {
			n++
		}
	}
	return n
}
