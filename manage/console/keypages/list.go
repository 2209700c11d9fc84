package keypages

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/manage/input"
	"keyward/store"
)

// pageSize is how many keys a page of the list has: it weighs some 40 kB.
const pageSize = 50

// soon is within which time a key counts as expiring.
const soon = 14 * 24 * time.Hour

// tab is a view of the list by the state of the keys.
type tab struct {
	Name, State string
	Count       int // -1: not known
	Current     bool
	Query       string
}

// filterForm is what the filters of the list say.
type filterForm struct {
	Q, User, Project, UnusedFor string
}

// listPage is what the list gets.
type listPage struct {
	Keys    []row
	Tabs    []tab
	Filter  filterForm
	State   string
	Any     bool   // a filter is set
	Bad     string // what is wrong with the filters
	Next    string // the query of the next page; "" is none
	First   string // that of the first page, if this one is another
	Oldest  bool   // first
	Order   string // the query of the other order
	Total   int    // -1: not known
	Make    bool   // the actor may make keys
	Revoke  bool   // the actor may revoke the selected
	Unused  bool   // it is known when keys were used
	Current string
	Use     string // commands
	None    bool   // there are no keys at all
	Select  bool   // none was selected, and one has to be
	Users   bool   // links to users lead somewhere
}

// row is a key in a list.
type row struct {
	manage.KeyView
	Now time.Time
}

// Ended reports whether the key is muted in lists.
func (k row) Ended() bool { return k.State.HasEnded() }

// Expiring reports whether the key ends soon.
func (k row) Expiring() bool { return !k.Ended() && !k.Expires.IsZero() && k.Expires.Sub(k.Now) < soon }

// Rotating returns until when an earlier secret is accepted; zero if there is none.
func (k row) Rotating() time.Time {
	var last time.Time
	for _, until := range k.Previous {
		last = store.Latest(last, until)
	}
	return last
}

// Age is how old the secret is.
func (k row) Age() time.Duration { return k.Now.Sub(store.Latest(k.Created, k.Rotated)) }

// rotateAfter is at which age a secret should be replaced.
const rotateAfter = 90 * 24 * time.Hour

// TooOld reports whether the key has ended by its age (keys.max_age), before it expires.
func (k row) TooOld() bool {
	return k.State == store.KeyExpired && (k.Expires.IsZero() || k.Expires.After(k.Now))
}

// Old reports whether the secret should be replaced.
func (k row) Old() bool { return (!k.Ended() || k.TooOld()) && k.Age() > rotateAfter }

// AgeText is the age in words.
func (k row) AgeText() string { return page.Span(k.Age()) }

// stateOf returns the filter of a tab.
func stateOf(name string, f *store.KeyFilter) bool {
	switch name {
	case "", "all":
	case "active":
		f.State = store.KeyActive
	case "expiring":
		f.Expiring = soon
	case "rotating":
		f.State, f.Rotating = store.KeyActive, true
	case "paused":
		f.State = store.KeyPaused
	case "pending":
		f.State = store.KeyNotYetValid
	case "expired":
		f.State = store.KeyExpired
	case "revoked":
		f.State = store.KeyRevoked
	default:
		return false
	}
	return true
}

func (p pages) list(r *page.Request) error {
	data := listPage{
		Filter: filterForm{r.Query("q"), r.Query("user"), r.Query("project"), r.Query("unused_for")}, State: r.Query("state"), Total: -1,
		Make: r.Actor.Has(access.Keys), Revoke: r.Actor.Has(access.Keys), Unused: r.Service().LastUse != nil, Select: r.Query("select") == "none", Users: r.Can("/users"),
	}
	data.Any = data.Filter != filterForm{}
	filter := store.KeyFilter{Text: strings.TrimSuffix(data.Filter.Q, "…"), User: data.Filter.User, Project: data.Filter.Project}
	if !stateOf(data.State, &filter) {
		data.Bad = "There is no such state."
	}
	if input.Spans(input.Span{Name: "unused_for", Text: data.Filter.UnusedFor, Into: &filter.UnusedFor}) != nil {
		data.Bad = "The time without use cannot be read: enter it like 30d."
	}
	data.Oldest = r.Query("sort") == "created"
	cursor := store.Page{After: store.Cursor(r.Query("cursor")), Limit: pageSize, NewestFirst: !data.Oldest}
	status := 0
	if data.Bad == "" {
		records, next, err := r.Service().ListKeys(r.Context(), r.Actor, filter, cursor)
		if fault.CodeOf(err) == fault.Invalid && err != nil {
			data.Bad = "The page cannot be found: begin with the first one."
		} else if err != nil {
			return err
		}
		if data.Keys, err = rows(r, records); err != nil {
			return err
		}
		data.links(r, next)
	}
	if data.Bad != "" {
		status = 422
	}
	data.tabs(r)
	data.None = len(data.Keys) == 0 && !data.Any && data.State == "" && data.Bad == "" && cursor.After == ""
	data.Use = r.Words().Use(r.Settings().APIURL)
	return r.Render(p.Templates, "list.html", page.Head{Title: "Keys", Status: status, Error: status != 0}, data)
}

// rows are the keys as they are now.
func rows(r *page.Request, records []store.KeyRecord) ([]row, error) {
	view, err := r.Service().KeyViewer(r.Context())
	if err != nil {
		return nil, err
	}
	shown := make([]row, 0, len(records))
	for i := range records {
		shown = append(shown, row{view(&records[i]), r.Now()})
	}
	return shown, nil
}

// links are the queries of the other pages of the list.
func (l *listPage) links(r *page.Request, next store.Cursor) {
	query := func(change func(url.Values)) string {
		q := r.HTTP.URL.Query()
		for _, name := range []string{"cursor", "done", "select"} {
			q.Del(name)
		}
		change(q)
		return "?" + q.Encode()
	}
	if next != "" {
		l.Next = query(func(q url.Values) { q.Set("cursor", string(next)) })
	}
	if r.Query("cursor") != "" {
		l.First = query(func(url.Values) {})
	}
	l.Order = query(func(q url.Values) {
		if l.Oldest {
			q.Del("sort")
		} else {
			q.Set("sort", "created")
		}
	})
}

// tabs are the views by state, with counts where no other filter is set.
func (l *listPage) tabs(r *page.Request) {
	counts, known := r.Service().CountKeys(r.Actor)
	known = known && !l.Any
	for _, each := range []tab{
		{Name: "All", State: "", Count: counts.All()}, {Name: "Active", State: "active", Count: counts.InForce()}, {Name: "Expiring", State: "expiring", Count: counts.Expiring}, {Name: "Rotating", State: "rotating", Count: counts.Rotating},
		{Name: "Paused", State: "paused", Count: counts.Paused}, {Name: "Not yet valid", State: "pending", Count: counts.NotYetValid},
		{Name: "Expired", State: "expired", Count: counts.Expired}, {Name: "Revoked", State: "revoked", Count: counts.Revoked},
	} {
		if !known {
			each.Count = -1
		}
		each.Current = each.State == l.State
		if each.Current {
			l.Total = each.Count
		}
		q := url.Values{}
		for name, value := range map[string]string{"state": each.State, "q": l.Filter.Q, "user": l.Filter.User, "project": l.Filter.Project, "unused_for": l.Filter.UnusedFor} {
			if value != "" {
				q.Set(name, value)
			}
		}
		each.Query = "?" + q.Encode()
		l.Tabs = append(l.Tabs, each)
	}
}

// Caption says which keys the table has.
func (l listPage) Caption() string {
	order := "the newest first"
	if l.Oldest {
		order = "the oldest first"
	}
	if l.Total >= 0 {
		return fmt.Sprintf("%s of %s, %s", page.Count(uint64(len(l.Keys))), page.Plural(l.Total, "key"), order)
	}
	return page.Plural(len(l.Keys), "key") + ", " + order
}
