package keypages

import (
	"keyward/manage/console/page"
	"keyward/store"
)

// ownPage is what the list of one's own keys gets.
type ownPage struct {
	Keys []ownRow
	Old  []string // the names of keys that should be replaced
	Next string   // the query of the next page; "" is none
	Use  string   // commands
}

// ownRow is a key of one's own in the list, with its use.
type ownRow struct {
	row
	Requests uint64 // of the last 30 days
}

func (p pages) ownList(r *page.Request) error {
	records, next, err := r.Service().OwnKeys(r.Context(), r.Actor, store.Page{After: store.Cursor(r.Query("cursor")), Limit: pageSize, NewestFirst: true})
	if err != nil {
		return err
	}
	shown, err := rows(r, records)
	if err != nil {
		return err
	}
	data := ownPage{Use: r.Words().Use(r.Settings().APIURL)}
	if next != "" {
		data.Next = "?cursor=" + string(next)
	}
	for _, k := range shown {
		used, err := r.Service().KeyUsage(r.Context(), r.Actor, k.ID)
		if err != nil {
			return err
		}
		own := ownRow{row: k}
		for _, day := range used.Days {
			own.Requests += day.Allowed + day.Denied
		}
		if k.Old() {
			data.Old = append(data.Old, k.Name)
		}
		data.Keys = append(data.Keys, own)
	}
	head := page.Head{Title: r.Words().OwnKeys, Crumbs: []page.Crumb{{Path: "/account", Text: r.Words().OwnSection}, {Text: r.Words().OwnKeys}}}
	return r.Render(p.Templates, "own.html", head, data)
}
