package operatorpages

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"keyward/apikey"
	"keyward/manage/console/page"
	"keyward/manage/fault"
	"keyward/manage/input"
	"keyward/store"
	"keyward/store/audit"
)

// pageSize is how many entries a page of the log has.
const pageSize = 50

// maxDetail bounds what the list shows of the values of one entry, in bytes. The API has
// all of them.
const maxDetail = 400

// auditPage is what the audit log gets.
type auditPage struct {
	Actor, Target, Action, Since string // filters

	Actions []audit.Action
	Spans   []span
	Entries []entry
	Pager   page.Pager
	Bad     string // what is wrong with the filters
	Any     bool   // a filter is set
}

// span is a time back from now that the filter offers.
type span struct {
	Value, Text string
	Chosen      bool
}

// entry is one of the log.
type entry struct {
	audit.Entry
	Path   string // of the page of its record; "" is none
	Detail string
}

// Bad reports whether the entry is about what was not done.
func (e entry) Bad() bool { return e.Outcome != audit.Done }

func (p pages) audit(r *page.Request) error {
	data := auditPage{Actor: r.Query("actor"), Target: r.Query("target"), Action: r.Query("action"), Since: r.Query("since"), Actions: audit.Actions()}
	data.Any = data.Actor != "" || data.Target != "" || data.Action != "" || data.Since != ""
	filter := store.AuditFilter{Actor: data.Actor, Record: data.Target, Action: audit.Action(data.Action)}
	var back time.Duration
	if input.Spans(input.Span{Name: "since", Text: data.Since, Into: &back}) != nil {
		data.Bad = "The time cannot be read: enter it like 7d."
	} else if back > 0 {
		filter.Since = r.Now().Add(-back)
	}
	data.offer()
	if data.Bad == "" {
		entries, next, err := r.Service().AuditLog(r.Context(), r.Actor, filter, store.Page{After: store.Cursor(r.Query("cursor")), Limit: pageSize, NewestFirst: true})
		switch {
		case err != nil && fault.CodeOf(err) == fault.Invalid:
			data.Bad = "The page cannot be found: begin with the first one."
		case err != nil:
			return err
		}
		for i := range entries {
			data.Entries = append(data.Entries, entry{entries[i], recordPath(r, &entries[i]), detail(&entries[i])})
		}
		data.Pager = r.Pager(string(next))
	}
	head := page.Head{Title: "Audit log"}
	if data.Bad != "" {
		head.Status, head.Error = http.StatusUnprocessableEntity, true
	}
	return r.Render(p.Templates, "audit.html", head, data)
}

// offer adds the times that the filter offers, and the one that was asked for.
func (a *auditPage) offer() {
	known := a.Since == "" || a.Bad != ""
	for _, s := range []span{{Value: "", Text: "the beginning"}, {Value: "24h", Text: "24 hours ago"}, {Value: "7d", Text: "7 days ago"}, {Value: "30d", Text: "30 days ago"}} {
		s.Chosen = s.Value == a.Since
		known = known || s.Chosen
		a.Spans = append(a.Spans, s)
	}
	if !known {
		a.Spans = append(a.Spans, span{a.Since, a.Since + " ago", true})
	}
}

// recordPath is the path of the page of an entry's record, if there may be one that the
// actor may see.
func recordPath(r *page.Request, e *audit.Entry) string {
	if e.Record == "" {
		return ""
	}
	for _, kind := range []struct {
		is              bool
		pattern, parent string
	}{
		{e.Action.Kind() == "key" && strings.HasPrefix(e.Record, apikey.IDPrefix), "/keys/{id}", "/keys/"},
		{e.Action.Kind() == "client", "/clients/{id}", "/clients/"},
		{e.Action.Kind() == "user" || e.Action.Kind() == "link", "/users/{name}", "/users/"},
		{e.Action.Kind() == "project", "/projects/{name}", "/projects/"},
	} {
		if kind.is && r.Can(kind.pattern) {
			return kind.parent + url.PathEscape(e.Record)
		}
	}
	return ""
}

// detail is what an entry says beside its action: why, how often, and what changed.
func detail(e *audit.Entry) string {
	var parts []string
	if e.Reason != "" {
		parts = append(parts, e.Reason)
	}
	if e.Count > 1 {
		parts = append(parts, page.Count(uint64(e.Count))+" times")
	}
	for _, c := range e.Changes {
		switch {
		case c.From == nil && c.To == nil:
			parts = append(parts, c.Field)
		case c.From == nil:
			parts = append(parts, c.Field+": "+string(c.To))
		case c.To == nil:
			parts = append(parts, c.Field+": removed")
		default:
			parts = append(parts, c.Field+": "+string(c.From)+" → "+string(c.To))
		}
	}
	text := strings.Join(parts, "; ")
	if len(text) > maxDetail {
		text = strings.ToValidUTF8(text[:maxDetail], "") + "…"
	}
	return text
}
