package filestore

import (
	"context"
	"fmt"
	"maps"

	"keyward/store"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
	"keyward/store/journal/filesystem"
)

// UserFileConfig is which users file a UserFile writes, and with what.
type UserFileConfig struct {
	Path      string
	StartOver bool          // begin a new file in place of a damaged one
	Keep      bool          // keep the users in memory, and read only what was appended; false: each call reads the file
	FS        filesystem.FS // nil: the operating system's
}

// UserFile is a users file, with the guarantees of [KeyFile]. A program that
// compacts such a file must keep the last line about each user, deleted ones too:
// it says since when the keys and tokens of the next user of that name count.
type UserFile struct {
	lines journal.Lines
	kept  *fileIndex[*userIndex] // nil: each call reads the file
}

var errNoUser = fmt.Errorf("user: %w", store.ErrNotFound)

// NewUserFile touches nothing; the file is made when the first user is.
func NewUserFile(cfg UserFileConfig) *UserFile {
	f := &UserFile{lines: journal.Lines{Writer: journal.Writer{Path: cfg.Path, FS: cfg.FS, StartOver: cfg.StartOver}, Header: fileheader.Users().Journal()}}
	if cfg.Keep {
		f.kept = newFileIndex(&f.lines, newUserIndex())
	}
	return f
}

// Get implements store.Reader. A line that cannot be read is skipped, as servers
// do.
func (f *UserFile) Get(ctx context.Context, name string) (store.UserRecord, error) {
	r, err := f.user(name, unlocked(ctx, &f.lines))
	r.Password = ""
	return r, err
}

// List implements store.Lister. A line that cannot be read is an error.
func (f *UserFile) List(ctx context.Context, filter store.UserFilter, page store.Page) (users []store.UserRecord, next store.Cursor, err error) {
	made := func(r *store.UserRecord) store.Position { return store.Position{Made: r.Created, ID: r.Name} }
	err = f.index(unlocked(ctx, &f.lines), func(x *userIndex) (err error) {
		if x.invalid.err != nil {
			return f.lines.ErrorAt(x.invalid.number, x.invalid.err)
		}
		users, next, err = store.Paginate(x.list.records, made, func(r *store.UserRecord) bool { return r.Deleted.IsZero() && filter.Match(r) }, page)
		return err
	})
	for i := range users {
		users[i].Password = ""
	}
	return users, next, err
}

// Ended implements store.UserReader. A line that cannot be read is skipped, as
// servers do.
func (f *UserFile) Ended(ctx context.Context) (store.EndedUsers, error) {
	var ended store.EndedUsers
	err := f.index(unlocked(ctx, &f.lines), func(x *userIndex) error {
		ended = maps.Clone(x.ended)
		return nil
	})
	return ended, err
}

// userList is a file's users, the latest record of each.
type userList struct {
	records []store.UserRecord
	at      map[string]int
}

// put adds the record, or puts it in place of an earlier one about the user.
// What ended with a deleted user stays ended, also if a program that does not
// know valid_since wrote the line. It returns the record as it is then.
func (l *userList) put(r store.UserRecord) *store.UserRecord {
	i, known := l.at[r.Name]
	if !known {
		i = len(l.records)
		l.at[r.Name] = i
		l.records = append(l.records, r)
		return &l.records[i]
	}
	r.ValidSince = store.Latest(r.ValidSince, l.records[i].EndedAt())
	l.records[i] = r
	return &l.records[i]
}

// find returns the user, nil for one who is not there.
func (l userList) find(name string) *store.UserRecord {
	i, known := l.at[name]
	if !known || !l.records[i].Deleted.IsZero() {
		return nil
	}
	return &l.records[i]
}
