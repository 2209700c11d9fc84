package manage

import (
	"net/netip"
	"time"

	"keyward/apikey"
	"keyward/store"
)

// KeyView is what is shown of a key, in the commands and in the API alike: all but
// the hashes.
type KeyView struct {
	ID       string         `json:"id"`
	Key      string         `json:"key,omitempty"` // only when the key is created or rotated
	Name     string         `json:"name,omitempty"`
	State    store.KeyState `json:"state"`
	User     string         `json:"user,omitempty"`
	Project  string         `json:"project,omitempty"`
	Paths    []string       `json:"paths,omitempty"`
	Scopes   *[]string      `json:"scopes,omitempty"` // nil: its user's
	Rate     string         `json:"rate,omitempty"`
	Prefix   string         `json:"prefix"`
	Hint     string         `json:"hint"`
	Format   apikey.Format  `json:"format"`
	Created  time.Time      `json:"created"`
	Expires  time.Time      `json:"expires,omitzero"`
	Revoked  time.Time      `json:"revoked,omitzero"`
	Deleted  time.Time      `json:"deleted,omitzero"`
	UserGone time.Time      `json:"user_deleted,omitzero"`    // when its user was deleted, which revoked the key
	Previous []time.Time    `json:"previous_until,omitempty"` // ends of graces

	Rotated   time.Time      `json:"rotated,omitzero"` // the last time
	NotBefore time.Time      `json:"not_before,omitzero"`
	Paused    *store.Pause   `json:"paused"` // null: not paused
	CIDRs     []netip.Prefix `json:"cidrs,omitempty"`

	Description string     `json:"description,omitempty"`
	Owner       string     `json:"owner,omitempty"`
	CreatedBy   string     `json:"created_by,omitempty"`
	Ending      *store.Act `json:"ending,omitempty"`  // by which it was revoked or deleted
	LastUse     time.Time  `json:"last_use,omitzero"` // only if it is known
}

// ViewKey returns what is shown of the key.
func ViewKey(k *store.KeyRules, r *store.KeyRecord, now time.Time) KeyView {
	v := KeyView{
		ID: r.ID, Name: r.Name, State: k.State(r.Status(), now), User: r.User, Project: r.Project, Paths: r.Paths, Scopes: r.Scopes,
		Rate: r.Rate, Prefix: r.Prefix, Hint: r.Hint, Format: r.Format,
		Created: r.Created.UTC(), Expires: r.Expires.UTC(), Revoked: r.Revoked.UTC(), Deleted: r.Deleted.UTC(),
		UserGone: k.Ended.Of(r.User, r.Created).UTC(),
		Rotated:  r.Rotated.UTC(), NotBefore: r.NotBefore.UTC(), CIDRs: r.CIDRs,
		Description: r.Description, Owner: r.Owner, CreatedBy: r.CreatedBy, Ending: r.Ending.Shown(),
	}
	if r.Paused != nil {
		v.Paused = &store.Pause{Since: r.Paused.Since.UTC(), Act: *r.Paused.Act.Shown()}
	}
	for _, p := range r.Unexpired(now) {
		v.Previous = append(v.Previous, p.Until.UTC())
	}
	return v
}

// UserView is what is shown of a user: all but the password hash.
type UserView struct {
	Name        string     `json:"name"`
	Disabled    bool       `json:"disabled"`
	Unsupported bool       `json:"unsupported,omitempty"` // a newer version wrote the record
	Service     bool       `json:"service,omitempty"`     // a program: it has keys, and never a password
	MustChange  bool       `json:"must_change,omitempty"` // the password, at the next login
	Scopes      []string   `json:"scopes"`
	Paths       []string   `json:"paths"`
	Created     time.Time  `json:"created"`
	Since       time.Time  `json:"valid_since,omitzero"` // earlier keys and tokens belong to a deleted user of that name
	CreatedBy   string     `json:"created_by,omitempty"` // the user who made it
	Ending      *store.Act `json:"ending,omitempty"`     // by which it was disabled, or lost all it had
}

// ViewUser returns what is shown of the user.
func ViewUser(r *store.UserRecord) UserView {
	return UserView{
		Name: r.Name, Disabled: r.Off(), Unsupported: r.Unsupported, Service: r.Service, MustChange: r.MustChange, Created: r.Created.UTC(), Since: r.ValidSince.UTC(), CreatedBy: r.CreatedBy, Ending: r.Ending.Shown(),
		Scopes: append([]string{}, r.Scopes...), Paths: append([]string{}, r.Paths...),
	}
}
