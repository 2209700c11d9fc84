package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"keyward/store/journal/filesystem"
)

// Draft is a file that is to take the place of the transaction's.
type Draft struct {
	filesystem.File
	t    *Transaction
	path string // "" once it was published or discarded
}

// Draft creates an empty file beside the transaction's, with its owner and mode.
func (t *Transaction) Draft() (*Draft, error) {
	like := t.like
	if t.file != nil {
		like = t.info
	}
	t.wrote = true
	path := t.path + tempSuffix
	file, err := t.w.files().Create(path, like)
	if err != nil {
		return nil, t.w.failed("writing", err)
	}
	return &Draft{File: file, t: t, path: path}, nil
}

// Rewrite puts a file with what body writes in the place of the transaction's.
func (t *Transaction) Rewrite(body func(io.Writer) error) error {
	d, err := t.Draft()
	if err != nil {
		return err
	}
	if err := (&counter{to: d.File}).fill(body); err != nil {
		d.Discard()
		return t.w.failed("writing", err)
	}
	return d.Publish()
}

// Discard removes a draft that was not published.
func (d *Draft) Discard() {
	if d.path == "" {
		return
	}
	_ = d.File.Close()
	_ = d.t.w.files().Remove(d.path)
	d.path = ""
}

// Publish makes the draft durable and replaces the file that the transaction
// read, and no other: a file that another program put there meanwhile stays, and
// the error is ErrReplaced. Afterwards the draft is the transaction's file.
func (d *Draft) Publish() error {
	t := d.t
	defer d.Discard()
	info, err := d.syncAndConfirm()
	if err != nil {
		return t.w.failed("writing", err)
	}
	first := t.file == nil
	if err := d.replace(info); err != nil {
		return t.w.failed("writing", err)
	}
	old, left := t.file, d.path
	t.file, t.info, d.path = d.File, info, ""
	if old != nil {
		_ = old.Close()
	}
	if err := t.w.files().SyncDir(filepath.Dir(t.path)); err != nil {
		if first { // the path named nothing, or an empty file
			_, _ = d.File.Truncate(0), d.File.Sync()
		}
		return t.w.failed("writing", err)
	}
	_ = t.w.files().Remove(left) // the old file, or nothing any more
	if first {
		// The content is durable, so the write is done. If the lock file cannot be
		// written now, the next writer does it.
		_ = t.remember()
	}
	return nil
}

// syncAndConfirm makes the draft durable, and confirms that the path still names the
// file that the draft is to replace.
func (d *Draft) syncAndConfirm() (fs.FileInfo, error) {
	if err := d.Sync(); err != nil {
		return nil, err
	}
	info, err := d.Stat()
	if err != nil {
		return nil, err
	}
	return info, d.t.confirm(d.t.info)
}

// replace puts the draft where the path leads. Between confirming and renaming
// others may put a file there, so the rename is one that replaces nothing, or
// one that shows what it replaced.
func (d *Draft) replace(draft fs.FileInfo) error {
	t := d.t
	files := t.w.files()
	if t.info == nil {
		err := files.RenameNew(d.path, t.path)
		if errors.Is(err, fs.ErrExist) {
			err = ErrReplaced
		}
		return err
	}
	err := files.Exchange(d.path, t.path)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return files.Rename(d.path, t.path) // all that such a file system can do
	case errors.Is(err, fs.ErrNotExist):
		return ErrReplaced
	case err != nil:
		return err
	}
	out, err := files.Stat(d.path)
	if err != nil {
		return errors.Join(err, files.Exchange(d.path, t.path))
	}
	if t.unchanged(out, t.info) {
		return nil
	}
	return d.putBack(out, draft)
}

// putBack gives the path back to a file that was exchanged for the draft and is
// not the one that was read. If the draft is not what comes out in turn, then
// others have put yet another file there, which goes back too.
func (d *Draft) putBack(out, draft fs.FileInfo) error {
	files := d.t.w.files()
	placed := draft
	for range maxAttempts {
		if err := files.Exchange(d.path, d.t.path); err != nil {
			return d.abandon(err)
		}
		next, err := files.Stat(d.path)
		if err != nil {
			return d.abandon(err)
		}
		if files.SameFile(next, placed) {
			return ErrReplaced
		}
		placed, out = out, next
	}
	return d.abandon(errors.New("other programs keep replacing the file"))
}

// abandon does not remove the draft's path, which may name another program's file.
func (d *Draft) abandon(cause error) error {
	path := d.path
	d.path = ""
	return fmt.Errorf("a file that another program put in its place may now be %s: %w", path, errors.Join(cause, d.File.Close()))
}
