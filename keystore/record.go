package keystore

import (
	"errors"
	"slices"
	"time"

	"keyward/apikey"
)

// What a command can be refused for; each is matched by errors.Is.
var (
	ErrNotFound  = errors.New("not found")
	ErrRevoked   = errors.New("revoked")
	ErrDuplicate = errors.New("there already")
	ErrInvalid   = errors.New("invalid")
)

// Record is all that a file says about one key, as its last line has it. It
// is what a line is made of, member by member.
type Record struct {
	ID      string   `json:"id"`
	Name    string   `json:"name,omitempty"`
	User    string   `json:"user,omitempty"`
	Project string   `json:"project,omitempty"`
	Paths   []string `json:"paths,omitempty"` // none: anywhere

	// Scopes is nil for a key that has its user's scopes. An empty list is none.
	Scopes *[]string `json:"scopes,omitempty"`
	Rate   string    `json:"rate,omitempty"` // as in 1000/h; "" is the default of its kind

	Prefix string        `json:"prefix,omitempty"`
	Hint   string        `json:"hint,omitempty"` // the prefix and 4 characters
	Format apikey.Format `json:"format"`
	Hash   apikey.Digest `json:"hash"`

	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	Revoked time.Time `json:"revoked,omitzero"`
	Deleted time.Time `json:"deleted,omitzero"`

	// Previous are the secrets that rotating replaced, each good until its time.
	Previous []Previous `json:"previous,omitempty"`

	// At is when this line was written.
	At time.Time `json:"at"`
}

// Previous is a secret that was replaced.
type Previous struct {
	Hash apikey.Digest `json:"hash"`
	// Until is the end of its grace. Zero is a secret without one, which ended
	// when it was replaced: no clock, and so no difference of clocks, has a say in that.
	Until time.Time `json:"until,omitzero"`
}

// Ended tells whether the key was revoked or deleted.
func (r *Record) Ended() bool { return !r.Revoked.IsZero() || !r.Deleted.IsZero() }

const (
	maxHint   = apikey.MaxPrefix + apikey.HintLen
	maxBefore = 100 // previous secrets
)

// clone makes a record that shares nothing with r.
func (r *Record) clone() Record {
	c := *r
	c.Paths = slices.Clone(r.Paths)
	c.Previous = slices.Clone(r.Previous)
	if r.Scopes != nil {
		scopes := append([]string{}, *r.Scopes...)
		c.Scopes = &scopes
	}
	return c
}
