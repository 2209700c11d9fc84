package keystore

import (
	"slices"
	"time"
	"unicode/utf8"

	"keyward/authz"
	"keyward/passwordhash"
	"keyward/store/journal"
)

const (
	errUserName journal.LineError = "no name, or one that is none"
	errPassword journal.LineError = "a password hash that is none, or that costs too much"
)

// UserRecord is all that a file says about one user, as the last line has it.
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

	At time.Time `json:"at"`
}

// endedAt is until when a user of that name was deleted, if one was: what the
// next one's ValidSince is to be.
func (r *UserRecord) endedAt() time.Time { return latest(r.ValidSince, r.Deleted) }

// latest is the latest of some times, of which zero is the earliest.
func latest(times ...time.Time) time.Time {
	return slices.MaxFunc(times, time.Time.Compare)
}

// userLine is a user's line taken apart.
type userLine struct {
	record UserRecord
	paths  [][]byte
	scopes [][]byte
}

// read takes a line apart and checks all that stands in it.
func (u *userLine) read(line []byte) error {
	if !utf8.Valid(line) {
		return journal.ErrUTF8
	}
	*u = userLine{paths: u.paths[:0], scopes: u.scopes[:0]}
	seen := map[string]bool{}
	s := journal.NewScanner(line)
	err := s.Object(func(name []byte) error {
		if seen[string(name)] {
			return journal.ErrTwice
		}
		seen[string(name)] = true
		return u.member(&s, string(name))
	})
	switch {
	case err != nil:
		return err
	case !s.End():
		return journal.ErrSyntax
	case !ValidUserName(u.record.Name):
		return errUserName
	case u.record.Created.IsZero() || u.record.At.IsZero():
		return errNoTime
	case seen["paths"] && len(u.paths) == 0:
		return journal.ErrList
	case u.record.Password != "" && !passwordhash.Valid(u.record.Password):
		return errPassword
	}
	u.record.Paths, u.record.Scopes = stringsOf(u.paths), stringsOf(u.scopes)
	return nil
}

func (u *userLine) member(s *journal.Scanner, name string) error {
	switch name {
	case "left":
		_, ok := s.ReadNumber()
		return journal.ErrType.Unless(ok)
	case "name":
		return s.ReadTextString(&u.record.Name)
	case "password":
		return s.ReadTextString(&u.record.Password)
	case "paths":
		return s.ReadTexts(&u.paths)
	case "scopes":
		return s.ReadTexts(&u.scopes)
	case "disabled":
		var ok bool
		u.record.Disabled, ok = s.ReadBool()
		return journal.ErrType.Unless(ok)
	case "created":
		return s.ReadTime(&u.record.Created)
	case "deleted":
		return s.ReadTime(&u.record.Deleted)
	case "valid_since":
		return s.ReadTime(&u.record.ValidSince)
	case "at":
		return s.ReadTime(&u.record.At)
	default:
		return journal.ErrUnknownMember
	}
}

func stringsOf(texts [][]byte) []string {
	if len(texts) == 0 {
		return nil
	}
	all := make([]string, len(texts))
	for i, text := range texts {
		all[i] = string(text)
	}
	return all
}

// line makes the record's line and reads it back, as Record.line does.
func (r *UserRecord) line() ([]byte, error) {
	text, err := encodeLine(r)
	if err != nil {
		return nil, err
	}
	var u userLine
	if err := u.read(text); err != nil {
		return nil, err
	}
	if _, _, err := terms(r.Paths, r.Scopes); err != nil {
		return nil, err
	}
	return text, nil
}

// Apply puts a line in force: the new user is found before the old one reports
// that it is superseded, so a caller that looks it up again gets the new one.
func (s *userSet) Apply(text []byte) (time.Time, error) {
	if err := s.line.read(text); err != nil {
		return time.Time{}, err
	}
	r := &s.line.record
	user, err := s.user(r)
	if err != nil {
		return time.Time{}, err
	}
	s.mu.Lock()
	old := s.byName[r.Name]
	if user != nil {
		s.byName[r.Name] = user
		s.addDecoy(user.Password)
	} else {
		delete(s.byName, r.Name)
	}
	s.mu.Unlock()
	if old == nil {
		return time.Time{}, nil
	}
	old.superseded.Store(true)
	if !old.Disabled && (user == nil || user.Disabled) {
		return r.At, nil
	}
	return time.Time{}, nil
}

// user makes the user that a line is about, nil for a deleted one. What ended
// with a deleted user stays ended, also where a program that does not know
// valid_since wrote the line.
func (s *userSet) user(r *UserRecord) (*User, error) {
	paths, scopes, err := terms(r.Paths, r.Scopes)
	if err != nil {
		return nil, errTerms
	}
	if since := latest(r.endedAt(), s.since[r.Name]); !since.IsZero() {
		s.since[r.Name], r.ValidSince = since, since
	}
	if !r.Deleted.IsZero() {
		return nil, nil
	}
	reserved := ReservedUserName(r.Name)
	if reserved && s.byName[r.Name] == nil {
		s.reserved++
		s.named = append(s.named, r.Name)[:min(len(s.named)+1, maxTold)]
	}
	return &User{
		Name: r.Name, Paths: paths, Scopes: scopes, Disabled: r.Disabled || reserved,
		Password: authz.NewSecret(r.Password), validSince: instantOf(r.ValidSince),
	}, nil
}
