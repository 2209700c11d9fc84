package filestore

import (
	"maps"
	"slices"

	"keyward/store"
	"keyward/store/journal"
)

// userIndex is what a users file says: the latest record of each user. Users are
// few, so it has the records themselves.
type userIndex struct {
	list    userList
	ended   store.EndedUsers
	invalid badLine // the first line that cannot be read
	decoder store.UserDecoder
}

func newUserIndex() *userIndex {
	x := &userIndex{}
	x.Reset()
	return x
}

// Reset implements journal.Index.
func (x *userIndex) Reset() {
	*x = userIndex{list: userList{at: map[string]int{}}, ended: store.EndedUsers{}}
}

// Add implements journal.Index.
func (x *userIndex) Add(line []byte, at journal.LineRef) {
	r, err := x.decoder.Decode(line)
	if err == nil {
		err = r.CheckAccess()
	}
	if err == nil {
		now := x.list.put(r.Clone())
		if at := now.EndedAt(); !at.IsZero() {
			x.ended[now.Name] = at
		}
	} else if x.invalid.err == nil {
		x.invalid = badLine{at.Number, err}
	}
}

// badLine is a line that cannot be read; the zero badLine is none.
type badLine struct {
	number int
	err    error
}

// index calls do with what the file says.
func (f *UserFile) index(in reading, do func(*userIndex) error) error {
	if f.kept != nil {
		return f.kept.use(in, func(x *userIndex, _ *journal.Progress) error { return do(x) })
	}
	x := newUserIndex()
	err := in.each(func(line []byte, number int) error {
		x.Add(line, journal.LineRef{Number: number})
		return nil
	})
	if err != nil {
		return err
	}
	return do(x)
}

// all returns a file's users. A line that cannot be read is skipped, as servers do: it
// must not keep an operator from disabling a user.
func (f *UserFile) all(in reading) (userList, error) {
	var list userList
	err := f.index(in, func(x *userIndex) error {
		list = userList{slices.Clone(x.list.records), maps.Clone(x.list.at)}
		return nil
	})
	return list, err
}

// user returns one of a file's users.
func (f *UserFile) user(name string, in reading) (store.UserRecord, error) {
	var found store.UserRecord
	err := f.index(in, func(x *userIndex) error {
		r := x.list.find(name)
		if r == nil {
			return errNoUser
		}
		found = r.Clone()
		return nil
	})
	return found, err
}

// Release frees the users that are kept in memory. A later call reads the file again.
func (f *UserFile) Release() {
	if f.kept != nil {
		f.kept.release()
	}
}
