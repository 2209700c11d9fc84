package userpages

import (
	"net/http"
	"net/url"
	"time"

	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/store"
)

// How many users a page of a list has, and how many keys of each are counted.
const (
	pageSize   = 50
	countLimit = 100
)

// listPage is what a list gets.
type listPage struct {
	Service     bool // programs, or people
	Users       []listed
	Q, State    string
	Bad         string // what is wrong with the filters
	First, Next string // queries of other pages; "" is none
	Make        bool   // the actor may make users
	Keys        bool   // the actor sees keys
}

// listed is a user in a list.
type listed struct {
	user
	Keys    int // in force
	More    bool
	LastUse time.Time // of any of them
}

func (p pages) listPeople(r *page.Request) error   { return p.list(r, false) }
func (p pages) listPrograms(r *page.Request) error { return p.list(r, true) }

func (p pages) list(r *page.Request, service bool) error {
	data := listPage{Service: service, Q: r.Query("q"), State: r.Query("state"), Make: r.Actor.Has(access.Users), Keys: r.Actor.Has(keyReaders)}
	filter := store.UserFilter{Text: data.Q, Service: &service}
	off := data.State == "disabled"
	switch data.State {
	case "":
	case "active", "disabled":
		filter.Off = &off
	default:
		data.Bad = "There is no such state."
	}
	if data.Bad == "" {
		records, next, err := r.Service().ListUsers(r.Context(), r.Actor, filter, store.Page{After: store.Cursor(r.Query("cursor")), Limit: pageSize, NewestFirst: true})
		switch {
		case err != nil && fault.CodeOf(err) == fault.Invalid:
			data.Bad = "The page cannot be found: begin with the first one."
		case err != nil:
			return err
		}
		if err := data.add(r, records); err != nil {
			return err
		}
		data.links(r, next)
	}
	head := page.Head{Title: listCrumb(service).Text, Current: listOf(service)}
	if data.Bad != "" {
		head.Status, head.Error = http.StatusUnprocessableEntity, true
	}
	return r.Render(p.Templates, "list.html", head, data)
}

// add adds the users, with their keys if the actor may see them.
func (l *listPage) add(r *page.Request, records []store.UserRecord) error {
	for i := range records {
		row := listed{user: viewOf(&records[i])}
		if l.Keys {
			keys, next, err := keysOf(r, row.Name, store.Page{Limit: countLimit})
			if err != nil {
				return err
			}
			row.More = next != ""
			for _, k := range keys {
				row.LastUse = store.Latest(row.LastUse, k.LastUse)
				if !k.State.HasEnded() {
					row.Keys++
				}
			}
		}
		l.Users = append(l.Users, row)
	}
	return nil
}

// links are the queries of the other pages of the list.
func (l *listPage) links(r *page.Request, next store.Cursor) {
	q := url.Values{}
	for name, value := range map[string]string{"q": l.Q, "state": l.State} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if r.Query("cursor") != "" {
		l.First = "?" + q.Encode()
	}
	if next != "" {
		q.Set("cursor", string(next))
		l.Next = "?" + q.Encode()
	}
}
