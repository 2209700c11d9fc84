package journal

import "io/fs"

// confirmAppended returns ErrReplaced unless the path names the transaction's file,
// as it was read and with written more bytes at its end.
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

// named describes the file that the path names now. It returns ErrReplaced if the
// lock file was replaced: then there may be another writer.
func (t *Transaction) named() (fs.FileInfo, error) {
	mine, err := t.lock.Stat()
	if err != nil {
		return nil, err
	}
	lock, err := t.w.stat(t.path + lockSuffix)
	if err != nil {
		return nil, err
	}
	if !t.w.same(mine, lock) {
		return nil, ErrReplaced
	}
	if err := t.resolved(); err != nil {
		return nil, err
	}
	return t.w.stat(t.path)
}

// remember has the lock file say that there is content.
func (t *Transaction) remember() error {
	known, err := readMemory(t.lock)
	if err != nil || known.written {
		return err
	}
	return known.remember(t.lock)
}
