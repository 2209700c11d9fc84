package keystore

import (
	"errors"
	"keyward/apikey"
	"slices"
	"time"
	"unicode/utf8"
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
	maxText   = 255
	maxHint   = apikey.MaxPrefix + apikey.HintLen
	maxList   = 1000
	maxBefore = 100 // previous secrets
)

// validText tells whether text can be a name: at most 255 bytes of UTF-8
// without control characters, which could forge lines in a log or a header.
func validText(text []byte) bool {
	if len(text) > maxText {
		return false
	}
	for _, c := range text {
		if c < 0x20 || c >= 0x7f {
			return validRunes(text)
		}
	}
	return true
}

func validRunes(text []byte) bool {
	if !utf8.Valid(text) {
		return false
	}
	for _, r := range string(text) {
		if r < 0x20 || 0x7f <= r && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return false
		}
	}
	return true
}

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
