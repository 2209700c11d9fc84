package store

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"keyward/store/audit"
)

// Page is a part of a list. The zero Page is the entire list.
type Page struct {
	After       Cursor // "": from the beginning
	Limit       int    // 0: to the end
	NewestFirst bool
}

// Cursor is where a page ended. It stays good while the list grows.
type Cursor string

// KeyFilter selects keys that meet every condition that is not zero.
type KeyFilter struct {
	IDs           map[string]bool // nil: any
	User, Project string
	Text          string    // in the name, or the entire id or hint
	MadeAfter     time.Time // zero: whenever it was made

	State     KeyState
	OlderThan time.Duration // the age of the key's secret is above it
	UnusedFor time.Duration // so is the time since the last use, too
	Rotating  bool          // a secret that was replaced is still accepted
	Expiring  time.Duration // the key has not ended, and expires within it

	// What the conditions on the state and on times depend on; UnusedFor needs LastUse,
	// which returns the zero time for a key that was never used.
	Rules   KeyRules
	Now     time.Time
	LastUse func(id string) time.Time
}

// Match reports whether the filter selects the key.
func (f *KeyFilter) Match(r *KeyRecord) bool {
	return (f.IDs == nil || f.IDs[r.ID]) && (f.User == "" || f.User == r.User) && (f.Project == "" || f.Project == r.Project) &&
		(f.MadeAfter.IsZero() || r.Created.After(f.MadeAfter)) &&
		(f.Text == "" || f.Text == r.ID || f.Text == r.Hint || strings.Contains(r.Name, f.Text)) &&
		(!f.OnStatus() || f.MatchStatus(r.Status())) && f.MatchUse(r.ID) && (!f.Rotating || len(r.Unexpired(f.Now)) > 0)
}

// OnStatus reports whether the filter has a condition that MatchStatus decides.
func (f *KeyFilter) OnStatus() bool {
	return f.State != "" || f.OlderThan > 0 || f.UnusedFor > 0 || f.Expiring > 0
}

// MatchStatus reports whether the status meets the conditions on the state and on times.
func (f *KeyFilter) MatchStatus(s *KeyStatus) bool {
	age := f.Now.Sub(s.SecretSince)
	switch {
	case f.OlderThan > 0 && age <= f.OlderThan:
		return false
	case f.UnusedFor > 0 && age <= f.UnusedFor: // a secret cannot have been unused for longer
		return false
	case f.State == "" && f.Expiring == 0:
		return true
	}
	state := f.Rules.State(s, f.Now)
	return (f.State == "" || f.State == state) &&
		(f.Expiring == 0 || !state.HasEnded() && f.Rules.Ends(s, f.Now.Add(f.Expiring)))
}

// MatchUse reports whether the key was unused for long enough.
func (f *KeyFilter) MatchUse(id string) bool {
	return f.UnusedFor == 0 || f.LastUse != nil && f.Now.Sub(f.LastUse(id)) > f.UnusedFor
}

// UserFilter selects users that have all that is not zero.
type UserFilter struct {
	Text    string // in the name
	Service *bool  // a program, or a person
	Off     *bool  // one that can do nothing now, or one that can
}

// Match reports whether the filter selects the user.
func (f *UserFilter) Match(r *UserRecord) bool {
	return strings.Contains(r.Name, f.Text) && (f.Service == nil || *f.Service == r.Service) && (f.Off == nil || *f.Off == r.Off())
}

// RevocationFilter selects revocations that have all that is not zero.
type RevocationFilter struct{ TokenID, SessionID, Subject string }

// Match reports whether the filter selects the revocation.
func (f *RevocationFilter) Match(r *Revocation) bool {
	return (f.TokenID == "" || f.TokenID == r.TokenID) && (f.SessionID == "" || f.SessionID == r.SessionID) &&
		(f.Subject == "" || f.Subject == r.Subject)
}

// AuditFilter selects entries that have all that is not zero.
type AuditFilter struct {
	Actor, Record string
	Action        audit.Action
	Operation     string
	Since         time.Time
}

// Match reports whether the filter selects the entry.
func (f *AuditFilter) Match(e *audit.Entry) bool {
	return (f.Actor == "" || f.Actor == e.Actor || f.Actor == e.ActorKey) && (f.Record == "" || f.Record == e.Record) &&
		(f.Action == "" || f.Action == e.Action) && (f.Operation == "" || f.Operation == e.Operation) && !e.Time.Before(f.Since)
}

// Position is where a record is in a list: by when it was made, and among those
// made then by its id. The order in which a store has them is not used: a
// compaction between two pages may change it.
type Position struct {
	Made time.Time
	ID   string
}

// Compare returns -1 if p is before q in a list, +1 if it is behind, else 0.
func (p Position) Compare(q Position) int {
	return cmp.Or(p.Made.Compare(q.Made), strings.Compare(p.ID, q.ID))
}

// Compare returns -1 if a is before b on pages in this order, +1 if it is behind,
// else 0.
func (p Page) Compare(a, b Position) int {
	if p.NewestFirst {
		return b.Compare(a)
	}
	return a.Compare(b)
}

// Start returns where the page before this one ended, nil if this is the first.
// What cannot be a page is ErrInvalid.
func (p Page) Start() (*Position, error) {
	if p.Limit < 0 {
		return nil, fmt.Errorf("%w: a limit below zero", ErrInvalid)
	}
	if p.After == "" {
		return nil, nil
	}
	end, err := p.After.position()
	if err != nil {
		return nil, err
	}
	return &end, nil
}

// Paginate returns a page of all. Those that match refuses have a position too: a page
// may end with a record that is deleted before the next one is read.
func Paginate[R any](all []R, at func(*R) Position, match func(*R) bool, p Page) ([]R, Cursor, error) {
	end, err := p.Start()
	if err != nil {
		return nil, "", err
	}
	var wanted []*R
	for i := range all {
		if (end == nil || p.Compare(at(&all[i]), *end) > 0) && match(&all[i]) {
			wanted = append(wanted, &all[i])
		}
	}
	slices.SortFunc(wanted, func(a, b *R) int { return p.Compare(at(a), at(b)) })
	more := p.Limit > 0 && len(wanted) > p.Limit
	if more {
		wanted = wanted[:p.Limit]
	}
	var page []R
	for _, r := range wanted {
		page = append(page, *r)
	}
	if !more {
		return page, "", nil
	}
	return page, at(&page[len(page)-1]).Cursor(), nil
}

// Cursor returns that of a page which ended with the record at the position.
func (p Position) Cursor() Cursor {
	return Cursor(base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %d %s", p.Made.Unix(), p.Made.Nanosecond(), p.ID)))
}

var errCursor = fmt.Errorf("%w: not a cursor of this list", ErrInvalid)

// position returns where the page ended.
func (c Cursor) position() (Position, error) {
	text, err := base64.RawURLEncoding.DecodeString(string(c))
	parts := strings.SplitN(string(text), " ", 3)
	if err != nil || len(parts) != 3 {
		return Position{}, errCursor
	}
	seconds, errSeconds := strconv.ParseInt(parts[0], 10, 64)
	nanos, errNanos := strconv.ParseInt(parts[1], 10, 32)
	if errSeconds != nil || errNanos != nil || nanos < 0 || nanos >= int64(time.Second) {
		return Position{}, errCursor
	}
	return Position{time.Unix(seconds, nanos), parts[2]}, nil
}
