package store

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"keyward/apikey"
	"keyward/store/audit"
)

// KeyRecord is all that a store says about one key. It is what a line is made of,
// member by member.
type KeyRecord struct {
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
	Rotated time.Time `json:"rotated,omitzero"` // when it last got a new secret

	// Of what restricts the key, each has to be met.
	NotBefore time.Time      `json:"not_before,omitzero"`
	Paused    *Pause         `json:"paused,omitempty"` // nil: not paused
	CIDRs     []netip.Prefix `json:"cidrs,omitempty"`  // of its clients; none: any address

	// What permission never depends on.
	Description string `json:"description,omitempty"`
	Owner       string `json:"owner,omitempty"`
	CreatedBy   string `json:"created_by,omitempty"`
	Ending      *Act   `json:"ending,omitempty"` // by which it was revoked or deleted; nil: not known

	// Previous are the secrets that rotations replaced, each valid until its time.
	Previous []PreviousSecret `json:"previous,omitempty"`

	// At is when the record was last changed.
	At time.Time `json:"at"`

	// Seq is the number of the change that the record is from; zero is none.
	Seq int64 `json:"seq,omitempty"`

	// Must names members that a reader has to know, beside those that restrict the
	// key, which each line names.
	Must []string `json:"must,omitempty"`

	// Unknown are the members that this version does not know, as they were written
	// and with commas between them: they are ignored, and written again.
	Unknown string `json:"-"`

	// Unsupported is a record that this version must not interpret, since it does
	// not know a member that a reader must know: the key has ended, until a later
	// record about it is supported. Of its other members some may be missing; all
	// but those that end a key are in Unknown.
	Unsupported bool `json:"-"`
}

// PreviousSecret is a secret that was replaced.
type PreviousSecret struct {
	Hash apikey.Digest `json:"hash"`
	// Until is the end of its grace. Zero is a secret without one, which ended
	// when it was replaced: no clock, and so no difference of clocks, decides that.
	Until time.Time `json:"until,omitzero"`
	// Unknown are the members that this version does not know, as in KeyRecord.
	Unknown string `json:"-"`
}

// Act has the actor that paused, disabled or ended what a record is about, the way, and
// the reason. It is in the record, so that it is known although the audit log could not
// be written.
type Act struct {
	By     string    `json:"by,omitempty"` // as audit.Entry.Actor
	Via    audit.Via `json:"via,omitempty"`
	Reason string    `json:"reason,omitempty"`
	// Unknown are the members that this version does not know, as in KeyRecord.
	Unknown string `json:"-"`
}

// Pause is that the key is refused until it is resumed.
type Pause struct {
	Since time.Time `json:"since"`
	Act
}

// maxPrevious bounds the previous secrets of a key.
const maxPrevious = 100

// Ended reports whether the key was revoked or deleted.
func (r *KeyRecord) Ended() bool { return !r.Revoked.IsZero() || !r.Deleted.IsZero() }

// SecretSince returns when the key got its secret: when it was rotated last, or made.
func (r *KeyRecord) SecretSince() time.Time { return Latest(r.Created, r.Rotated) }

// AccessValid reports whether the paths and scopes are valid. Those of a record
// that is not supported give access to nothing.
func (r *KeyRecord) AccessValid() bool {
	if r.Unsupported {
		return true
	}
	_, _, err := CompileAccess(r.Paths, r.OwnScopes())
	return err == nil
}

// OwnScopes returns the key's own scopes; none if it has its user's.
func (r *KeyRecord) OwnScopes() []string {
	if r.Scopes == nil {
		return nil
	}
	return *r.Scopes
}

// Clone returns a record that shares no memory with r.
func (r *KeyRecord) Clone() KeyRecord {
	c := *r
	for _, text := range []*string{
		&c.ID, &c.Name, &c.User, &c.Project, &c.Rate, &c.Prefix, &c.Hint, &c.Unknown, &c.Description, &c.Owner, &c.CreatedBy,
	} {
		*text = strings.Clone(*text)
	}
	c.Paths, c.Must = cloneTexts(r.Paths), cloneTexts(r.Must)
	c.CIDRs = slices.Clone(r.CIDRs)
	if r.Paused != nil {
		c.Paused = &Pause{r.Paused.Since, *r.Paused.clone()}
	}
	c.Ending = r.Ending.clone()
	c.Previous = append([]PreviousSecret(nil), r.Previous...)
	if r.Scopes != nil {
		scopes := append([]string{}, cloneTexts(*r.Scopes)...)
		c.Scopes = &scopes
	}
	return c
}

func (a *Act) clone() *Act {
	if a == nil {
		return nil
	}
	return &Act{strings.Clone(a.By), audit.Via(strings.Clone(string(a.Via))), strings.Clone(a.Reason), strings.Clone(a.Unknown)}
}

func cloneTexts(texts []string) []string {
	if texts == nil {
		return nil
	}
	all := make([]string, len(texts))
	for i, text := range texts {
		all[i] = strings.Clone(text)
	}
	return all
}
