package filestore

import (
	"context"
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

// Set implements store.UserWriter.
func (f *UserFile) Set(ctx context.Context, name string, ifMatch store.Version, patch store.UserPatch) (store.UserRecord, error) {
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
	err := f.lines.Write(ctx, missing, func(t *journal.LineTransaction) error {
		all, err := f.all(t.Read, false)
		if err != nil {
			return err
		}
		now := f.now().UTC()
		if r, err = all.get(name, now); err != nil {
			return err
		}
		if err := ifMatch.Match(&r); err != nil {
			return fmt.Errorf("user: %w", err)
		}
		if r.Unsupported && !onlyDisables(&patch) {
			return fmt.Errorf("user: %w", store.ErrUnsupported)
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
	r.Password = ""
	return r, nil
}

// onlyDisables reports whether the patch disables a user and does no more.
func onlyDisables(p *store.UserPatch) bool {
	return p.Disabled != nil && *p.Disabled && p.Paths == nil && p.Scopes == nil && p.Password == nil
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

// Delete implements store.UserWriter.
func (f *UserFile) Delete(ctx context.Context, name string, ifMatch store.Version, latestKey time.Time) error {
	return f.lines.Write(ctx, store.ErrNotFound, func(t *journal.LineTransaction) error {
		all, err := f.all(t.Read, false)
		if err != nil {
			return err
		}
		old := all.find(name)
		if old == nil {
			return fmt.Errorf("user: %w", store.ErrNotFound)
		}
		if err := ifMatch.Match(old); err != nil {
			return fmt.Errorf("user: %w", err)
		}
		r := *old
		r.Delete(f.now().UTC(), latestKey.UTC())
		return appendUsers(t, []store.UserRecord{r})
	})
}

// Get implements store.Reader. A line that cannot be read is skipped, as servers
// do.
func (f *UserFile) Get(ctx context.Context, name string) (store.UserRecord, error) {
	all, err := f.all(unlocked(ctx, &f.lines), false)
	if err != nil {
		return store.UserRecord{}, err
	}
	found := all.find(name)
	if found == nil {
		return store.UserRecord{}, fmt.Errorf("user: %w", store.ErrNotFound)
	}
	found.Password = ""
	return *found, nil
}

// List implements store.Lister. A line that cannot be read is an error.
func (f *UserFile) List(ctx context.Context, filter store.UserFilter, page store.Page) ([]store.UserRecord, store.Cursor, error) {
	all, err := f.all(unlocked(ctx, &f.lines), true)
	if err != nil {
		return nil, "", err
	}
	for i := range all.records {
		all.records[i].Password = ""
	}
	made := func(r *store.UserRecord) store.Position { return store.Position{Made: r.Created, ID: r.Name} }
	return store.Paginate(all.records, made, func(r *store.UserRecord) bool { return r.Deleted.IsZero() && filter.Match(r) }, page)
}

// Ended implements store.UserReader. A line that cannot be read is skipped, as
// servers do.
func (f *UserFile) Ended(ctx context.Context) (store.EndedUsers, error) {
	all, err := f.all(unlocked(ctx, &f.lines), false)
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
	return appendLines(t, len(records), func(i int) ([]byte, error) { return records[i].Line() })
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
			err = r.CheckAccess()
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

// find returns the user, nil for one who is not there.
func (l userList) find(name string) *store.UserRecord {
	i, known := l.at[name]
	if !known || !l.records[i].Deleted.IsZero() {
		return nil
	}
	return &l.records[i]
}

// get returns the user as the file has it, or a new one, if it can have that name.
func (l userList) get(name string, now time.Time) (store.UserRecord, error) {
	if found := l.find(name); found != nil {
		return *found, nil
	}
	if err := store.CheckUserName(name); err != nil {
		return store.UserRecord{}, err
	}
	if i, known := l.at[name]; known {
		return l.records[i].Next(now), nil
	}
	return store.UserRecord{Name: name, Created: now}, nil
}
