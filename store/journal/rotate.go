package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"keyward/store/journal/filesystem"
)

// ErrNotRotated is why a file was not begun again. It can be appended to as before.
var ErrNotRotated = errors.New("the file is not begun again")

// Rotate copies the file to another path in its directory, durably, and then begins it
// again: with that header, newline included, and without lines. If the process dies in
// between, the lines are in both files, and the next Rotate to the path replaces the
// copy. Any other file there stays. The path of the file always names one that has its
// header. An error that is not ErrNotRotated leaves open which file that is.
func (t *LineTransaction) Rotate(to string, header []byte) error {
	before := t.Info()
	if err := t.copyTo(to); err != nil {
		return fmt.Errorf("%w: copying %q: %w", ErrNotRotated, t.of.Path, err)
	}
	err := t.Transaction.Rewrite(func(w io.Writer) error {
		_, err := w.Write(header)
		return err
	})
	if err == nil {
		t.first = bytes.Clone(bytes.TrimSuffix(header, []byte("\n")))
		return nil
	}
	if t.confirm(before) == nil { // the copy is not needed
		err = fmt.Errorf("%w: %w", ErrNotRotated, errors.Join(err, t.of.files().Remove(to)))
	}
	return err
}

// copyTo makes a durable copy of the file.
func (t *LineTransaction) copyTo(to string) error {
	files := t.of.files()
	rename := files.RenameNew
	switch _, err := files.Stat(to); {
	case err == nil:
		if err := t.beginsWith(to); err != nil {
			return err
		}
		rename = files.Rename
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	temp := t.Path() + copySuffix + tempSuffix // one name, so that an old one is replaced
	out, err := files.Create(temp, t.Info())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.NewSectionReader(t.File(), 0, t.Size()))
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = rename(temp, to)
	}
	if err != nil {
		return errors.Join(err, files.Remove(temp))
	}
	return files.SyncDir(filepath.Dir(to)) // before the path names a file without the lines
}

const copySuffix = ".part"

// beginsWith returns why the transaction's file does not begin with the content of
// another, as it does if that is an earlier copy.
func (t *LineTransaction) beginsWith(path string) (err error) {
	file, err := t.of.files().Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	equal := info.Size() <= t.Size()
	if equal {
		equal, err = sameContent(file, t.File(), info.Size())
	}
	if err == nil && !equal {
		err = fmt.Errorf("%w: %s, which is of another file", fs.ErrExist, path)
	}
	return err
}

// sameContent reports whether both files begin with the same size bytes.
func sameContent(a, b filesystem.File, size int64) (bool, error) {
	parts := [2][]byte{make([]byte, tailChunk), make([]byte, tailChunk)}
	for at := int64(0); at < size; at += tailChunk {
		n := min(size-at, tailChunk)
		for i, file := range []filesystem.File{a, b} {
			if got, err := file.ReadAt(parts[i][:n], at); int64(got) < n {
				return false, err
			}
		}
		if !bytes.Equal(parts[0][:n], parts[1][:n]) {
			return false, nil
		}
	}
	return true, nil
}
