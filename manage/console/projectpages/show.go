package projectpages

import (
	"fmt"

	"keyward/authz"
	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/store"
	"keyward/usage"
)

// showPage is what the page of a project gets.
type showPage struct {
	project
	Mine   *ownKey // the member's newest key of the project; nil: it has none
	Others int     // of its keys of the project
	See    bool    // the actor sees the members
	Keys   bool    // the actor sees keys of others
	Admin  bool
	Users  bool // links to users lead somewhere
	New    bool // there is a form for a key of one's own
	Own    bool // there is a list of one's own keys
}

// ownKey is the member's key, with its use.
type ownKey struct {
	manage.KeyView
	Version store.Version
	Once    string
	Usage   usage.Usage
	Charts  []page.Chart
	Today   uint64 // requests since midnight
	Allowed uint64 // of the last 30 days
	Denied  uint64
}

// Masked is what is shown of the key's secret.
func (k *ownKey) Masked() string { return k.Hint + "…" }

// Requests is how many there were in the last 30 days.
func (k *ownKey) Requests() uint64 { return k.Allowed + k.Denied }

// Share is how many of them were allowed.
func (k *ownKey) Share() string {
	if k.Requests() == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", float64(k.Allowed*1000/k.Requests())/10)
}

func (p pages) show(r *page.Request) error {
	found, err := find(r)
	if err != nil {
		return err
	}
	data := showPage{
		project: found, See: r.Actor.Has(access.Read), Keys: r.Actor.Has(keyReaders), Admin: r.Actor.Has(access.Admin),
		Users: r.Can("/users"), New: r.Can("/me/keys/new"), Own: r.Can("/me/keys"),
	}
	if found.Member {
		if err := data.addKey(r); err != nil {
			return err
		}
	}
	head := page.Head{Title: found.Title(), Current: "/projects", Crumbs: []page.Crumb{{Path: "/projects", Text: "Projects"}, {Text: found.Title()}}}
	return r.Render(p.Templates, "project.html", head, data)
}

// addKey finds the member's newest key of the project that has not ended.
func (s *showPage) addKey(r *page.Request) error {
	view, err := r.Service().KeyViewer(r.Context())
	if err != nil {
		return err
	}
	for next := (store.Page{Limit: 1000, NewestFirst: true}); ; {
		records, after, err := r.Service().OwnKeys(r.Context(), r.Actor, next)
		if err != nil {
			return err
		}
		for i := range records {
			k := view(&records[i])
			switch {
			case k.Project != s.Name || k.State.HasEnded():
			case s.Mine != nil:
				s.Others++
			default:
				s.Mine = &ownKey{KeyView: k, Version: records[i].Version(), Once: page.NewForm(nil).Once}
			}
		}
		if after == "" {
			break
		}
		next.After = after
	}
	if s.Mine == nil {
		return nil
	}
	return s.Mine.addUsage(r)
}

func (k *ownKey) addUsage(r *page.Request) (err error) {
	if k.Usage, err = r.Service().KeyUsage(r.Context(), r.Actor, k.ID); err != nil {
		return err
	}
	k.Charts = page.Charts(k.Usage.Days)
	for i, day := range k.Usage.Days {
		k.Allowed, k.Denied = k.Allowed+day.Allowed, k.Denied+day.Denied
		if i == 0 {
			k.Today = day.Allowed + day.Denied
		}
	}
	return nil
}

// replaceKey gives the member's key of the project a new secret, which it shows, and ends
// every earlier one in the same step. The key stays the same record, with its use.
func (p pages) replaceKey(r *page.Request) error {
	found, err := find(r)
	if err != nil {
		return err
	}
	key := manage.KeyRef{ID: r.Value("key"), IfMatch: store.Version(r.Sent.Get("etag")), Own: true}
	record, err := r.Service().Key(r.Context(), r.Actor, key)
	if err == nil && (!found.Member || record.Project != found.Name) {
		err = fault.Of(store.ErrNotFound)
	}
	if err != nil {
		return err
	}
	var secret authz.Secret
	made, again, err := r.Once(func(attempt page.Attempt) (page.Made, error) {
		if attempt.Resumed {
			if entries, err := r.Service().Made(r.Context(), r.Actor); err != nil || len(entries) > 0 {
				return page.Made{ID: record.ID, Name: record.Name}, err
			}
		}
		var err error
		record, secret, err = r.Service().RotateKey(r.Context(), r.Actor, key, 0)
		return page.Made{ID: record.ID, Name: record.Name}, err
	})
	switch {
	case err != nil:
		return err
	case again || secret.Empty():
		return r.ShownBefore(found.head("The key was already shown", "Key"), made.Name, found.Path, page.LostProjectKey)
	}
	return r.ShowKey(found.head("Your new key", "Your new key"), &record, secret, "The old key is refused from now on.", found.Path, page.LostProjectKey)
}
