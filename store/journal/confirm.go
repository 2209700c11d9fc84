package journal

import (
	"io/fs"
)

// confirmAppended returns ErrReplaced unless the path names our file, with what
// was read of it and so many bytes behind that.
func (t *Transaction) confirmAppended(written int64) error {
	info, err := t.named()
	if err != nil {
		return err
	}
	if !t.w.same(info, t.info) || info.Size() != t.info.Size()+written {
		return ErrReplaced
	}
	t.info = info
	return nil
}

// confirm returns ErrReplaced unless the path names the file that known
// describes, with nothing changed in it.
func (t *Transaction) confirm(known fs.FileInfo) error {
	info, err := t.named()
	if err == nil && !t.unchanged(info, known) {
		err = ErrReplaced
	}
	return err
}

func (t *Transaction) unchanged(a, b fs.FileInfo) bool {
	return t.w.same(a, b) && (a == nil || a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()))
}

// named makes sure of the lock, and describes the file that the path names now.
func (t *Transaction) named() (fs.FileInfo, error) {
	if err := t.keepLock(); err != nil {
		return nil, err
	}
	if err := t.resolved(); err != nil {
		return nil, err
	}
	return t.w.stat(t.path)
}

// keepLock takes the lock again where the lock file was removed or replaced.
// What other writers did in between shows in the file, at which the caller
// looks next.
func (t *Transaction) keepLock() error {
	mine, err := t.lock.Stat()
	if err != nil {
		return err
	}
	named, err := t.w.stat(t.path + lockSuffix)
	if err != nil {
		return err
	}
	if t.w.same(mine, named) {
		return nil
	}
	lock, err := t.w.files().Lock(t.path+lockSuffix, t.info, t.w.Wait)
	if err != nil {
		return err
	}
	_ = t.lock.Close()
	t.lock = lock
	if t.file == nil {
		return nil
	}
	return t.remember()
}

// remember has the lock file say that there is content.
func (t *Transaction) remember() error {
	known, err := readMemory(t.lock)
	if err != nil || known.written {
		return err
	}
	return known.remember(t.lock)
}
