package keytable

import (
	"time"

	"keyward/apikey"
	"keyward/store"
)

// Selector selects the rows of a table that a filter may select, so that few other
// records are read. The filter itself decides by the record.
type Selector struct {
	table         *Table
	filter        *store.KeyFilter
	user, project uint32 // 0: any
	none          bool   // the filter wants a name that no key has
	onStatus      bool
	text          []byte // that is searched for
	search        *Search
	verdicts      []verdict // by the number of a chunk of rows
	textID        apikey.ID
	textIsID      bool   // textID is what is searched for, too
	expiresBy     moment // latest end of a key's validity that is looked for; never: any
	secretBy      moment // latest beginning of its secret that is looked for; never: any
	needs         rowFlags
	excludes      rowFlags
	ended         []string        // by the number of a user that was deleted: its name
	status        store.KeyStatus // of one row after the other
}

// Selector returns what selects the table's rows by the filter. It keeps in the search what it
// finds out about the texts.
func (t *Table) Selector(f *store.KeyFilter, search *Search) *Selector {
	user, hasUser := t.names[f.User]
	project, hasProject := t.names[f.Project]
	s := &Selector{table: t, filter: f, user: user, project: project, none: !hasUser || !hasProject, onStatus: f.OnStatus(), search: search}
	s.text = []byte(f.Text)
	search.begin(&t.texts)
	s.textID, s.textIsID = apikey.ParseID(s.text)
	s.verdicts = make([]verdict, len(t.rows))
	s.needs, s.excludes = flagsOf(f)
	if f.Rotating {
		s.needs |= rowReplaced
	}
	s.expiresBy = never
	if f.Expiring > 0 && f.Rules.MaxAge == 0 {
		s.needs, s.excludes = s.needs|rowExpires, s.excludes|rowEnded
		s.expireBy(f.Now.Add(f.Expiring))
	}
	if f.State == store.KeyExpired && f.Rules.MaxAge == 0 {
		s.expireBy(f.Now)
	}
	s.secretBy = never
	if age := max(f.OlderThan, f.UnusedFor); age > 0 {
		if by, exact := momentOf(f.Now.Add(-age)); exact {
			s.secretBy = by
		}
	}
	if s.onStatus && len(f.Rules.Ended) > 0 {
		s.ended = make([]string, len(t.names))
		for name := range f.Rules.Ended {
			if n, known := t.names[name]; known {
				s.ended[n] = name
			}
		}
	}
	return s
}

// expireBy has only keys selected that expire by then.
func (s *Selector) expireBy(at time.Time) {
	if by, exact := momentOf(at); exact && (s.expiresBy == never || by < s.expiresBy) {
		s.expiresBy = by
	}
}

// flagsOf returns which flags each row in the filter's state has, and which none has.
func flagsOf(f *store.KeyFilter) (needs, excludes rowFlags) {
	switch f.State {
	case store.KeyActive:
		excludes = rowEnded | rowUnsupported | rowPaused
	case store.KeyNotYetValid:
		needs, excludes = rowNotBefore, rowEnded|rowUnsupported|rowPaused
	case store.KeyPaused:
		needs, excludes = rowPaused, rowEnded|rowUnsupported
	case store.KeyExpired:
		excludes = rowEnded | rowUnsupported
		if f.Rules.MaxAge == 0 {
			needs = rowExpires
		}
	case store.KeyUnsupported:
		needs, excludes = rowUnsupported, rowEnded
	case store.KeyRevoked:
		if len(f.Rules.Ended) == 0 {
			needs = rowEnded
		}
	}
	return needs, excludes
}

// Selects reports whether the filter may select the key of the n-th row.
func (s *Selector) Selects(n uint32, r *Row) bool {
	if s.passed(n) {
		return false
	}
	if r.flags&rowDeleted != 0 || r.flags&s.needs != s.needs || r.flags&s.excludes != 0 || s.none ||
		s.filter.IDs != nil && !s.filter.IDs[r.id.String()] || s.user != 0 && s.user != r.user || s.project != 0 && s.project != r.project {
		return false
	}
	if len(s.text) > 0 && !(s.textIsID && r.id == s.textID) && !s.table.texts.match(r.texts, s.text, s.search) {
		return false
	}
	if !s.onStatus || r.flags&rowInexact != 0 {
		return true
	}
	if s.expiresBy != never && r.expires > s.expiresBy || s.secretBy != never && r.secretSince >= s.secretBy {
		return false
	}
	s.setStatus(n, r)
	return s.filter.MatchStatus(&s.status) && (s.filter.UnusedFor == 0 || s.filter.MatchUse(r.id.String()))
}

// setStatus sets the status to what the row says. Of a user that was not deleted it has
// no name.
func (s *Selector) setStatus(n uint32, r *Row) {
	s.status = store.KeyStatus{
		Ended: r.flags&rowEnded != 0, Unsupported: r.flags&rowUnsupported != 0, Paused: r.flags&rowPaused != 0,
		Created: r.made(), SecretSince: r.secretSince.time(), Expires: r.expires.time(),
	}
	if r.flags&rowNotBefore != 0 {
		s.status.NotBefore = s.table.begins[n].time()
	}
	if s.ended != nil {
		s.status.User = s.ended[r.user]
	}
}
