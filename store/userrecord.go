package store

import (
	"slices"
	"strings"
	"time"
)

// UserRecord is all that a store says about one user.
type UserRecord struct {
	Name     string    `json:"name"`
	Paths    []string  `json:"paths,omitempty"` // none: anywhere
	Scopes   []string  `json:"scopes,omitempty"`
	Disabled bool      `json:"disabled,omitempty"`
	Password string    `json:"password,omitempty"` // a hash
	Created  time.Time `json:"created"`
	Deleted  time.Time `json:"deleted,omitzero"`

	// ValidSince is when an earlier user of that name was deleted: keys made and
	// tokens issued until then are not this one's. Zero: there was none.
	ValidSince time.Time `json:"valid_since,omitzero"`

	// At is when the record was last changed.
	At time.Time `json:"at"`

	// Seq, Unknown and Unsupported are as in KeyRecord: a user whose record is not
	// supported is disabled.
	Seq         int64  `json:"seq,omitempty"`
	Unknown     string `json:"-"`
	Unsupported bool   `json:"-"`
}

// EndedAt is when the last user of that name was deleted, which is what the next
// one's ValidSince is to be; zero if none was.
func (r *UserRecord) EndedAt() time.Time { return Latest(r.ValidSince, r.Deleted) }

// CheckAccess returns why the paths and scopes are invalid. Those of a record that
// is not supported give access to nothing.
func (r *UserRecord) CheckAccess() error {
	if r.Unsupported {
		return nil
	}
	_, _, err := CompileAccess(r.Paths, r.Scopes)
	return err
}

// Clone returns a record that shares no memory with r.
func (r *UserRecord) Clone() UserRecord {
	c := *r
	c.Name, c.Password, c.Unknown = strings.Clone(r.Name), strings.Clone(r.Password), strings.Clone(r.Unknown)
	c.Paths, c.Scopes = cloneTexts(r.Paths), cloneTexts(r.Scopes)
	return c
}

// Latest is the latest of some times, of which zero is the earliest.
func Latest(times ...time.Time) time.Time {
	return slices.MaxFunc(times, time.Time.Compare)
}

// EndedUsers is when the last user of each name was deleted, also where there
// is another one now.
type EndedUsers map[string]time.Time

// Of returns when the user was deleted whose key was made at that time; zero
// if that user is still there, or never was.
func (e EndedUsers) Of(name string, made time.Time) time.Time {
	if at := e[name]; !made.Truncate(time.Microsecond).After(at) { // the index holds microseconds
		return at
	}
	return time.Time{}
}

// ImportedUser is a user of another system, who is to be taken over: of one who
// is there already, only the password changes.
type ImportedUser struct {
	Line     int // of the input, which an error names
	Name     string
	Password string // a hash
}
