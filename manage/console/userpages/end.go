package userpages

import (
	"keyward/manage"
	"keyward/manage/console/page"
	"keyward/store"
	"keyward/usage"
)

// endPage is what a page that asks whether a user is to be disabled or deleted gets.
type endPage struct {
	user
	See  bool // the actor sees keys
	Keys int  // in force
	More bool
	Last usage.Usage
}

// ask shows the page that asks.
func (p pages) ask(r *page.Request, template, title, crumb string) error {
	u, err := find(r)
	if err != nil {
		return err
	}
	data := endPage{user: u, See: r.Actor.Has(keyReaders)}
	if data.See {
		if err := data.count(r); err != nil {
			return err
		}
	}
	return r.Render(p.Templates, template, u.head(title+" "+u.Name+"?", crumb), data)
}

// count counts the keys that would end, and finds the one that was used last.
func (e *endPage) count(r *page.Request) error {
	keys, next, err := keysOf(r, e.Name, store.Page{Limit: countLimit, NewestFirst: true})
	if err != nil {
		return err
	}
	e.More = next != ""
	last := manage.KeyView{}
	for _, k := range keys {
		if !k.State.HasEnded() {
			e.Keys++
		}
		if k.LastUse.After(last.LastUse) {
			last = k
		}
	}
	if last.ID != "" {
		e.Last, err = r.Service().KeyUsage(r.Context(), r.Actor, last.ID)
	}
	return err
}

func (p pages) askDisable(r *page.Request) error {
	return p.ask(r, "disable.html", "Disable", "Disable")
}
func (p pages) askDelete(r *page.Request) error { return p.ask(r, "delete.html", "Delete", "Delete") }

func (p pages) disable(r *page.Request) error { return turn(r, true, "disabled") }
func (p pages) enable(r *page.Request) error  { return turn(r, false, "enabled") }

// turn disables or enables the user.
func turn(r *page.Request, off bool, note string) error {
	if _, err := r.Service().UpdateUser(r.Context(), r.Actor, ref(r), manage.UserPatch{Disabled: &off}); err != nil {
		return err
	}
	return r.Done(pathOf(nameOf(r)), note)
}

func (p pages) deleteUser(r *page.Request) error {
	u, err := find(r)
	if err != nil {
		return err
	}
	if err := r.Service().DeleteUser(r.Context(), r.Actor, ref(r)); err != nil {
		return err
	}
	return r.Done(u.List(), "deleted")
}
