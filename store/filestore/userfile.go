package filestore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"keyward/passwordhash"
	"keyward/store"
	"keyward/store/journal"
)

// UserFileConfig is which users file a UserFile writes, and with what.
type UserFileConfig struct {
	Path      string
	StartOver bool             // begin a new file in place of a damaged one
	FS        journal.FS       // nil: the operating system's
	Rand      io.Reader        // nil: crypto/rand.Reader
	Now       func() time.Time // nil: time.Now
}

// UserFile writes a users file, with the guarantees of [KeyFile]. A program that
// compacts such a file must keep the last line about each user, deleted ones too:
// it says since when the keys and tokens of the next user of that name count.
type UserFile struct {
	lines journal.Lines
	rand  io.Reader
	now   func() time.Time
}

// NewUserFile touches nothing; the file is made when the first user is.
func NewUserFile(cfg UserFileConfig) *UserFile {
	f := &UserFile{rand: cfg.Rand, now: cfg.Now}
	f.lines = journal.Lines{Writer: journal.Writer{Path: cfg.Path, FS: cfg.FS, StartOver: cfg.StartOver}, Header: usersHeader().of()}
	if f.rand == nil {
		f.rand = rand.Reader
	}
	if f.now == nil {
		f.now = time.Now
	}
	return f
}

// SetUser makes a user, or changes what the patch gives of one. A new user has
// no scopes, may go anywhere and has no password; its name must pass
// [CheckUserName]. Keys and tokens of a deleted user of that name are not the new one's.
func (f *UserFile) SetUser(name string, patch store.UserPatch) (store.UserRecord, error) {
	unfit := store.CheckUserName(name) // as a new user's
	hash := ""
	if patch.Password != nil {
		if !passwordhash.ValidPassword(*patch.Password) {
			return store.UserRecord{}, fmt.Errorf("%w: %w", store.ErrInvalid, passwordhash.ErrPassword)
		}
		var err error // before the lock: it takes a while
		if hash, err = passwordhash.Hash(f.rand, *patch.Password); err != nil {
			return store.UserRecord{}, err
		}
	}
	var r store.UserRecord
	var missing error
	if unfit != nil { // a missing file is not created
		missing = store.ErrNotFound
	}
	err := f.lines.Write(missing, func(t *journal.LineTransaction) error {
		all, err := f.all(t.Read, false)
		if err != nil {
			return err
		}
		now := f.now().UTC()
		if r, err = all.get(name, now); err != nil {
			return err
		}
		r.At = now
		applyPatch(&patch, &r, hash)
		return appendUsers(t, []store.UserRecord{r})
	})
	if unfit != nil && errors.Is(err, store.ErrNotFound) {
		err = unfit
	}
	if err != nil {
		return store.UserRecord{}, err
	}
	return r, nil
}

// applyPatch changes what the patch gives; hash is that of its password.
func applyPatch(p *store.UserPatch, r *store.UserRecord, hash string) {
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
// is made again. A user who is not there is ErrNotFound.
func (f *UserFile) DeleteUser(name string) error { return f.DeleteUserWith(name, time.Time{}) }

// DeleteUserWith is DeleteUser for a user whose latest key is known, which may
// have been made by a clock that is ahead of this one.
func (f *UserFile) DeleteUserWith(name string, latestKey time.Time) error {
	return f.lines.Write(store.ErrNotFound, func(t *journal.LineTransaction) error {
		all, err := f.all(t.Read, false)
		if err != nil {
			return err
		}
		i, known := all.at[name]
		if !known || !all.records[i].Deleted.IsZero() {
			return fmt.Errorf("user: %w", store.ErrNotFound)
		}
		now, old := f.now().UTC(), &all.records[i]
		// A clock that went back must not leave out what the user had before.
		ended := store.Latest(now, old.At, old.ValidSince, latestKey.UTC())
		r := store.UserRecord{Name: name, Created: old.Created, Deleted: ended, At: now}
		return appendUsers(t, []store.UserRecord{r})
	})
}

// ListUsers returns what the file says of all users but the deleted ones, in the
// order in which they were made. Their password hashes are left out.
func (f *UserFile) ListUsers() ([]store.UserRecord, error) {
	all, err := f.all(f.lines.Read, true)
	if err != nil {
		return nil, err
	}
	var kept []store.UserRecord
	for _, r := range all.records {
		if r.Deleted.IsZero() {
			r.Password = ""
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// EndedUsers returns which users were deleted. A line that cannot be read is
// skipped, as servers do.
func (f *UserFile) EndedUsers() (store.EndedUsers, error) {
	all, err := f.all(f.lines.Read, false)
	if err != nil {
		return nil, err
	}
	ended := store.EndedUsers{}
	for i := range all.records {
		if at := all.records[i].EndedAt(); !at.IsZero() {
			ended[all.records[i].Name] = at
		}
	}
	return ended, nil
}

func appendUsers(t *journal.LineTransaction, records []store.UserRecord) error {
	return t.AppendBatch(len(records), func(i int) ([]byte, error) {
		line, err := records[i].Line()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", store.ErrInvalid, err)
		}
		return line, nil
	})
}

// userList is a file's users, the latest record of each.
type userList struct {
	records []store.UserRecord
	at      map[string]int
}

// all reads a file's users. A line that cannot be read is an error if strict,
// else it is skipped, as servers do: it must not keep an operator from disabling
// a user.
func (f *UserFile) all(each eachLine, strict bool) (userList, error) {
	list := userList{at: map[string]int{}}
	var d store.UserDecoder
	err := each(func(line []byte, _ int) error {
		r, err := d.Decode(line)
		if err == nil {
			_, _, err = store.CompileAccess(r.Paths, r.Scopes)
		}
		if err != nil {
			if strict {
				return err
			}
			return nil
		}
		list.put(r.Clone())
		return nil
	})
	return list, err
}

// put adds the record, or puts it in place of an earlier one about the user.
// What ended with a deleted user stays ended, also if a program that does not
// know valid_since wrote the line.
func (l *userList) put(r store.UserRecord) {
	i, known := l.at[r.Name]
	if !known {
		l.at[r.Name] = len(l.records)
		l.records = append(l.records, r)
		return
	}
	r.ValidSince = store.Latest(r.ValidSince, l.records[i].EndedAt())
	l.records[i] = r
}

// get returns the user as the file has it, or a new one, if it can have that name.
func (l userList) get(name string, now time.Time) (store.UserRecord, error) {
	i, known := l.at[name]
	if known && l.records[i].Deleted.IsZero() {
		return l.records[i], nil
	}
	if err := store.CheckUserName(name); err != nil {
		return store.UserRecord{}, err
	}
	r := store.UserRecord{Name: name, Created: now}
	if known {
		r.ValidSince = l.records[i].EndedAt()
	}
	return r, nil
}
