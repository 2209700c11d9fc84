package keystore

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"keyward/authz"
)

// UserFileConfig says which users file a UserFile writes, and with what.
type UserFileConfig struct {
	Path string
	FS   FS               // nil: the operating system's
	Rand io.Reader        // nil: crypto/rand.Reader
	Now  func() time.Time // nil: time.Now
}

// UserFile writes a users file, with the guarantees of [Journal]. What cleans
// such a file must keep the last line about each user, deleted ones too: it says
// since when the keys and tokens of the next user of that name count.
type UserFile struct {
	store store
	rand  io.Reader
	now   func() time.Time
}

// NewUserFile touches nothing; the file is made when the first user is.
func NewUserFile(cfg UserFileConfig) *UserFile {
	f := &UserFile{rand: cfg.Rand, now: cfg.Now}
	f.store = store{fs: cfg.FS, path: cfg.Path, header: usersHeader()}
	if f.store.fs == nil {
		f.store.fs = OS()
	}
	if f.rand == nil {
		f.rand = rand.Reader
	}
	if f.now == nil {
		f.now = time.Now
	}
	return f
}

// UserPatch is what is to change of a user; nil is what is to stay.
type UserPatch struct {
	Paths    *[]string // empty: anywhere
	Scopes   *[]string
	Disabled *bool
	Password *authz.Secret // the plain text
}

// SetUser makes a user, or changes what the patch gives of one. A new user has
// no scopes, may go anywhere and has no password; its name must pass
// [CheckUserName]. Keys and tokens of a deleted user of that name are not the new one's.
func (f *UserFile) SetUser(name string, patch UserPatch) (UserRecord, error) {
	if !ValidUserName(name) {
		return UserRecord{}, CheckUserName(name)
	}
	hash := ""
	if patch.Password != nil {
		var err error // before the lock: it takes a while
		if hash, err = HashPassword(f.rand, *patch.Password); err != nil {
			return UserRecord{}, err
		}
	}
	var r UserRecord
	err := f.store.write(true, func(t *turn) error {
		all, err := f.all(t.each, false)
		if err != nil {
			return err
		}
		now := f.now().UTC()
		if r, err = all.get(name, now); err != nil {
			return err
		}
		r.At = now
		patch.apply(&r, hash)
		return appendUsers(t, []UserRecord{r})
	})
	if err != nil {
		return UserRecord{}, err
	}
	return r, nil
}

func (p *UserPatch) apply(r *UserRecord, hash string) {
	if p.Paths != nil {
		r.Paths = slices.Clone(*p.Paths)
	}
	if p.Scopes != nil {
		r.Scopes = slices.Clone(*p.Scopes)
	}
	if p.Disabled != nil {
		r.Disabled = *p.Disabled
	}
	if p.Password != nil {
		r.Password = hash
	}
}

// DeleteUser ends a user, and with it, in the same line, all keys made and all
// tokens issued for the name until now: they stay ended when a user of that name
// is made again. One who is not there is ErrNotFound.
func (f *UserFile) DeleteUser(name string) error {
	return f.store.write(false, func(t *turn) error {
		all, err := f.all(t.each, false)
		if err != nil {
			return err
		}
		i, known := all.at[name]
		if !known || !all.records[i].Deleted.IsZero() {
			return fmt.Errorf("user: %w", ErrNotFound)
		}
		now, old := f.now().UTC(), &all.records[i]
		// A clock that went back must not leave out what the user had before.
		r := UserRecord{Name: name, Created: old.Created, Deleted: latest(now, old.At, old.ValidSince), At: now}
		return appendUsers(t, []UserRecord{r})
	})
}

// ListUsers is what the file says of all users but the deleted ones, in the
// order in which they were made. Their password hashes are left out.
func (f *UserFile) ListUsers() ([]UserRecord, error) {
	all, err := f.all(f.store.read, true)
	if err != nil {
		return nil, err
	}
	var kept []UserRecord
	for _, r := range all.records {
		if r.Deleted.IsZero() {
			r.Password = ""
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// EndedUsers are the names of which a user was deleted, also where there is
// another one now, and until when keys made and tokens issued for them are ended.
// A line that cannot be read is stepped over.
func (f *UserFile) EndedUsers() (map[string]time.Time, error) {
	all, err := f.all(f.store.read, false)
	if err != nil {
		return nil, err
	}
	ended := map[string]time.Time{}
	for i := range all.records {
		if at := all.records[i].endedAt(); !at.IsZero() {
			ended[all.records[i].Name] = at
		}
	}
	return ended, nil
}

// ImportHtpasswd takes over names and bcrypt hashes from an htpasswd file, in
// one step. Of users who are there already the password changes and nothing
// else. Other hashes than bcrypt, and names that no new user can have, are
// refused by line number. A byte order mark in front is left out.
func (f *UserFile) ImportHtpasswd(in io.Reader) ([]UserRecord, error) {
	given, order, err := readHtpasswd(in)
	if err != nil || len(order) == 0 {
		return nil, err
	}
	var records []UserRecord
	err = f.store.write(true, func(t *turn) error {
		all, err := f.all(t.each, false)
		if err != nil {
			return err
		}
		now := f.now().UTC()
		for _, user := range order {
			r, err := all.get(user.name, now)
			if err != nil {
				return fmt.Errorf("input line %d: %w", user.line, err)
			}
			r.Password, r.At = given[user.name], now
			records = append(records, r)
		}
		return appendUsers(t, records)
	})
	if err != nil {
		return nil, err
	}
	for i := range records {
		records[i].Password = ""
	}
	return records, nil
}

// namedOnLine is a user's name and the input line on which it stands.
type namedOnLine struct {
	name string
	line int
}

func readHtpasswd(in io.Reader) (given map[string]string, order []namedOnLine, err error) {
	given = map[string]string{}
	scan := bufio.NewScanner(withoutMark(in))
	for number := 1; scan.Scan(); number++ {
		line := scan.Bytes()
		if blank := bytes.TrimSpace(line); len(blank) == 0 || blank[0] == '#' {
			continue
		}
		name, hash, found := strings.Cut(strings.TrimRight(string(line), " \t"), ":")
		switch {
		case !found || !ValidUserName(name):
			return nil, nil, fmt.Errorf("input line %d: %w: not NAME:HASH", number, ErrInvalid)
		case !validBcrypt(hash):
			return nil, nil, fmt.Errorf("input line %d: %w: only bcrypt hashes of a cost up to %d are taken over", number, ErrInvalid, maxBcryptCost)
		}
		if _, twice := given[name]; twice {
			return nil, nil, fmt.Errorf("input line %d: this user: %w", number, ErrDuplicate)
		}
		given[name] = hash
		order = append(order, namedOnLine{name, number})
	}
	if err := scan.Err(); err != nil {
		return nil, nil, fmt.Errorf("reading users: %w", err)
	}
	return given, order, nil
}

func appendUsers(t *turn, records []UserRecord) error {
	return t.appendLines(len(records), func(i int) ([]byte, error) {
		line, err := records[i].line()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		return line, nil
	})
}

// userList is a file's users, the latest record of each.
type userList struct {
	records []UserRecord
	at      map[string]int
}

// all reads a file's users. A line that cannot be read is an error where
// strict, else it is stepped over, as servers do: it must not keep anyone from
// disabling a user.
func (f *UserFile) all(each eachLine, strict bool) (userList, error) {
	list := userList{at: map[string]int{}}
	var u userLine
	err := each(func(line []byte, _ int) error {
		err := u.read(line)
		if err == nil {
			_, _, err = terms(u.record.Paths, u.record.Scopes)
		}
		if err != nil {
			if strict {
				return err
			}
			return nil
		}
		if i, known := list.at[u.record.Name]; known {
			u.record.ValidSince = latest(u.record.ValidSince, list.records[i].ValidSince) // as in userSet.user
			list.records[i] = u.record
			return nil
		}
		list.at[u.record.Name] = len(list.records)
		list.records = append(list.records, u.record)
		return nil
	})
	return list, err
}

// get is the user as the file has it, or a new one, if it can have that name.
func (l userList) get(name string, now time.Time) (UserRecord, error) {
	i, known := l.at[name]
	if known && l.records[i].Deleted.IsZero() {
		return l.records[i], nil
	}
	if err := CheckUserName(name); err != nil {
		return UserRecord{}, err
	}
	r := UserRecord{Name: name, Created: now}
	if known {
		r.ValidSince = l.records[i].endedAt()
	}
	return r, nil
}
