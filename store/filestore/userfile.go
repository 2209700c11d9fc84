package filestore

import (
	"context"
	"fmt"

	"keyward/store"
	"keyward/store/journal"
	"keyward/store/journal/filesystem"
)

// UserFileConfig is which users file a UserFile writes, and with what.
type UserFileConfig struct {
	Path      string
	StartOver bool          // begin a new file in place of a damaged one
	FS        filesystem.FS // nil: the operating system's
}

// UserFile is a users file, with the guarantees of [KeyFile]. A program that
// compacts such a file must keep the last line about each user, deleted ones too:
// it says since when the keys and tokens of the next user of that name count.
type UserFile struct{ lines journal.Lines }

// NewUserFile touches nothing; the file is made when the first user is.
func NewUserFile(cfg UserFileConfig) *UserFile {
	return &UserFile{journal.Lines{Writer: journal.Writer{Path: cfg.Path, FS: cfg.FS, StartOver: cfg.StartOver}, Header: usersHeader().of()}}
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
