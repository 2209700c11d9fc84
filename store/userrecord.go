package store

import (
	"slices"
	"strings"
	"time"

	"keyward/passwordhash"
	"keyward/store/jsonline"
	"keyward/store/recordline"
)

const (
	errUserName jsonline.Error = "no name, or an invalid one"
	errService  jsonline.Error = "a service user with a password or a linked identity"
	errIdentity jsonline.Error = "of oidc_issuer and oidc_subject one is there without the other"
)

// UserRecord is all that a store says about one user.
type UserRecord struct {
	Name     string   `json:"name"`
	Paths    []string `json:"paths,omitempty"` // none: anywhere
	Scopes   []string `json:"scopes,omitempty"`
	Disabled bool     `json:"disabled,omitempty"`
	Password string   `json:"password,omitempty"` // a hash

	// MustChange is a password that was set by another person, and that the user has
	// to replace at the next login to the console or the issuer. It does not change
	// what Basic credentials may do.
	MustChange bool `json:"must_change,omitempty"`

	// Service is a user that is a program: it has keys, and never a password.
	Service bool `json:"service,omitempty"`

	// OIDCIssuer and OIDCSubject are the identity at an OpenID provider that logs in
	// as this user: its iss and sub. Both are empty if there is none.
	OIDCIssuer  string `json:"oidc_issuer,omitempty"`
	OIDCSubject string `json:"oidc_subject,omitempty"`

	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by,omitempty"` // the user who made it; "" if a command did
	Deleted   time.Time `json:"deleted,omitzero"`
	Ending    *Act      `json:"ending,omitempty"` // by which it was disabled, deleted, or lost all it had; nil: not known

	// ValidSince is when all that the name had was ended, by deleting an earlier user
	// of that name or by [UserRecord.EndAll]: keys made, sessions begun and tokens
	// issued until then do not count. Zero: that never happened.
	ValidSince time.Time `json:"valid_since,omitzero"`

	// SessionsSince is when sessions were ended, and keys were not: sessions begun
	// until then do not count. It never is what decides about a key.
	SessionsSince time.Time `json:"sessions_since,omitzero"`

	// Gen is the generation of the tokens that Keyward's own issuer signs for the
	// user: such a token has the generation of its time as its claim gen, and ends
	// when the record's becomes higher. It never becomes lower for a name.
	Gen int64 `json:"gen,omitempty"`

	// At is when the record was last changed.
	At time.Time `json:"at"`

	// Seq, Unknown and Unsupported are as in KeyRecord: a user whose record is not
	// supported is disabled.
	Seq         int64  `json:"seq,omitempty"`
	Unknown     string `json:"-"`
	Unsupported bool   `json:"-"`
}

// EndedAt returns the time until which keys made for the name have ended, which is what the
// next user's ValidSince is to be; zero if there is none.
func (r *UserRecord) EndedAt() time.Time { return Latest(r.ValidSince, r.Deleted) }

// Off reports whether the user can do nothing: it is disabled, or its record or its name
// is none that gives access.
func (r *UserRecord) Off() bool { return r.Disabled || r.Unsupported || ReservedUserName(r.Name) }

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
	for _, text := range []*string{&c.Name, &c.Password, &c.OIDCIssuer, &c.OIDCSubject, &c.CreatedBy, &c.Unknown} {
		*text = strings.Clone(*text)
	}
	c.Paths, c.Scopes, c.Ending = cloneTexts(r.Paths), cloneTexts(r.Scopes), r.Ending.clone()
	return c
}

// Latest returns the latest of some times, of which zero is the earliest.
func Latest(times ...time.Time) time.Time {
	return slices.MaxFunc(times, time.Time.Compare)
}

// EndLogins ends the user's sessions and the tokens of its logins and grants. Keys
// stay. A clock that went back ends what began before it did, too: a session that began
// when it had gone back is up to a millisecond later than SessionsFrom.
func (r *UserRecord) EndLogins(now time.Time) {
	if from := r.SessionsFrom(); !from.IsZero() {
		r.SessionsSince = from.Add(time.Millisecond)
	}
	r.SessionsSince = Latest(now, r.At, r.SessionsSince)
	r.Gen++
}

// EndAll ends all that the user has: the keys made, the sessions begun and the tokens
// issued until now, or until latestKey if that is later: the time of the user's latest
// key may be that of a clock that is ahead of this one.
func (r *UserRecord) EndAll(now, latestKey time.Time) {
	r.EndLogins(now)
	r.ValidSince = Latest(now, r.At, r.ValidSince, latestKey)
}

// Delete makes the record that of a deleted user, whose keys, sessions and tokens end
// as those of EndAll do. What the record does not say any more stays out of the file.
func (r *UserRecord) Delete(now, latestKey time.Time) {
	r.EndAll(now, latestKey)
	// A clock that went back since the sessions ended must not bring them back.
	*r = UserRecord{
		Name: r.Name, Created: r.Created, CreatedBy: r.CreatedBy, Deleted: r.SessionsFrom(), Gen: r.Gen, At: now,
		Seq: r.Seq, Unknown: r.Unknown, Unsupported: r.Unsupported,
	}
}

// Succeed carries over what has ended for the name by its record before, which may be
// that of a deleted user: none of it counts for the next one.
func (r *UserRecord) Succeed(before *UserRecord) {
	r.Gen = max(r.Gen, before.Gen)
	if r.Deleted.IsZero() {
		r.ValidSince = Latest(r.ValidSince, before.EndedAt())
		return
	}
	// Versions that do not know ValidSince must read a deletion too.
	r.Deleted, r.ValidSince = Latest(r.Deleted, before.EndedAt()), time.Time{}
}

// SessionsFrom returns the time until which sessions begun for the name have ended.
func (r *UserRecord) SessionsFrom() time.Time { return Latest(r.EndedAt(), r.SessionsSince) }

// EndedUsers is until when the keys of each name have ended: when its last user was
// deleted, also where there is another one now, or when all that a user had was ended.
type EndedUsers map[string]time.Time

// Of returns when a key of the user ended that was made at that time; zero if it has
// not ended with its user.
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

// userKind is what a user's line has. Of a record that is not supported the ends are
// written again.
var userKind = recordline.Kind[UserRecord]{
	Fields: []recordline.Field[UserRecord]{
		recordline.Text("name", func(r *UserRecord) *string { return &r.Name }),
		recordline.Texts("paths", func(r *UserRecord) *[]string { return &r.Paths }),
		recordline.Texts("scopes", func(r *UserRecord) *[]string { return &r.Scopes }),
		recordline.Bool("disabled", func(r *UserRecord) *bool { return &r.Disabled }),
		recordline.Text("password", func(r *UserRecord) *string { return &r.Password }),
		recordline.Bool("must_change", func(r *UserRecord) *bool { return &r.MustChange }),
		recordline.Bool("service", func(r *UserRecord) *bool { return &r.Service }),
		recordline.Text("oidc_issuer", func(r *UserRecord) *string { return &r.OIDCIssuer }),
		recordline.Text("oidc_subject", func(r *UserRecord) *string { return &r.OIDCSubject }),
		recordline.Time("created", func(r *UserRecord) *time.Time { return &r.Created }),
		recordline.Text("created_by", func(r *UserRecord) *string { return &r.CreatedBy }),
		recordline.Time("deleted", func(r *UserRecord) *time.Time { return &r.Deleted }),
		recordline.Value("ending", func(r *UserRecord) **Act { return &r.Ending }, readOwnEnding),
		recordline.Time("valid_since", func(r *UserRecord) *time.Time { return &r.ValidSince }),
		recordline.Time("sessions_since", func(r *UserRecord) *time.Time { return &r.SessionsSince }),
		recordline.Integer("gen", func(r *UserRecord) *int64 { return &r.Gen }),
		recordline.Time("at", func(r *UserRecord) *time.Time { return &r.At }),
		recordline.Integer("seq", func(r *UserRecord) *int64 { return &r.Seq }),
	},
	Ends:     []string{"name", "disabled", "deleted", "ending", "valid_since", "sessions_since", "gen", "at", "seq"},
	Complete: completeUser,
	About: func(r *UserRecord) bool {
		if !passwordhash.Valid(r.Password) {
			r.Password = ""
		}
		return ValidUserName(r.Name)
	},
	Keep: func(r *UserRecord, unknown string, unsupported bool) { r.Unknown, r.Unsupported = unknown, unsupported },
}

func completeUser(r *UserRecord, has func(name string) bool) error {
	switch {
	case !ValidUserName(r.Name):
		return errUserName
	case r.Created.IsZero() || r.At.IsZero():
		return errNoTime
	case has("paths") && len(r.Paths) == 0:
		return jsonline.ErrList
	case r.Password != "" && !passwordhash.Valid(r.Password):
		return jsonline.Error("password: " + passwordhash.Check(r.Password).Error())
	}
	return nil
}

// UserDecoder decodes the lines of users.
type UserDecoder struct {
	lines recordline.Decoder[UserRecord]
}

// Decode decodes a line and checks all that stands in it. The record is valid
// until the next one is decoded. The error is a jsonline.Error.
func (d *UserDecoder) Decode(line []byte) (*UserRecord, error) {
	return d.lines.Decode(&userKind, line)
}

// userEnd has the members of userKind.Ends.
type userEnd struct {
	Name          string    `json:"name"`
	Disabled      bool      `json:"disabled,omitempty"`
	Deleted       time.Time `json:"deleted,omitzero"`
	Ending        *Act      `json:"ending,omitempty"`
	ValidSince    time.Time `json:"valid_since,omitzero"`
	SessionsSince time.Time `json:"sessions_since,omitzero"`
	Gen           int64     `json:"gen,omitempty"`
	At            time.Time `json:"at,omitzero"`
	Seq           int64     `json:"seq,omitempty"`
}

func (r *UserRecord) encode() ([]byte, error) {
	var v any = r
	if r.Unsupported {
		v = &userEnd{r.Name, r.Disabled, r.Deleted, r.Ending, r.ValidSince, r.SessionsSince, r.Gen, r.At, r.Seq}
	}
	return recordline.Encode(v, r.Unknown)
}

// Line encodes the record as a line, as KeyRecord.Line does. What two members must
// not say together is refused here, and not by the reader: it would keep the record
// before, which may allow more.
func (r *UserRecord) Line() ([]byte, error) {
	line, err := r.encode()
	if err != nil {
		return nil, err
	}
	var d UserDecoder
	if _, err := d.Decode(line); err != nil {
		return nil, err
	}
	if err := r.CheckAccess(); err != nil {
		return nil, err
	}
	switch linked := r.OIDCIssuer != "" || r.OIDCSubject != ""; {
	case r.Unsupported:
		return line, nil
	case r.Service && (r.Password != "" || linked):
		return nil, errService
	case linked && (r.OIDCIssuer == "" || r.OIDCSubject == ""):
		return nil, errIdentity
	}
	return line, nil
}
