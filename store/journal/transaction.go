package journal

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"

	"keyward/store/journal/filesystem"
)

// writeChunk is more than most lines, so that a single one goes out in a
// single write.
const writeChunk = 64 << 10

// Transaction is one writer's turn at a file. It holds the lock and is bound to
// the file and to the lock that the path named when it began: a change is
// reported as done only if the path still names both.
type Transaction struct {
	w    *Writer
	path string // with symbolic links followed
	lock filesystem.File
	file filesystem.File // nil where there is no content
	info fs.FileInfo     // of the file as we know it; nil where there is none
	// like has the owner and mode of a file that is to be created; nil is ours.
	like  fs.FileInfo
	wrote bool // or tried to

	// NoSync has Append not wait until what it writes is durable. It becomes so with the
	// next append that waits.
	NoSync bool
}

// acquire waits for the lock of the file that the path leads to. A symbolic
// link may lead to another file by then: that file's lock is the right one.
func (t *Transaction) acquire(ctx context.Context) error {
	var err error
	if t.path, err = t.w.files().Resolve(t.w.Path); err != nil {
		return err
	}
	if t.info, err = t.w.stat(t.path); err != nil {
		return err
	}
	if t.lock, err = t.w.files().Lock(ctx, t.path+lockSuffix, t.info, t.w.Wait); err != nil {
		return err
	}
	if err = t.resolved(); err != nil {
		return errors.Join(err, t.lock.Close())
	}
	return nil
}

func (t *Transaction) resolved() error {
	now, err := t.w.files().Resolve(t.w.Path)
	if err == nil && now != t.path {
		err = ErrReplaced
	}
	return err
}

// open opens the file, and compares it with what the lock file remembers.
func (t *Transaction) open() error {
	known, err := readMemory(t.lock)
	if err != nil {
		return err
	}
	if t.info, err = t.w.stat(t.path); err != nil {
		return err
	}
	if t.info == nil || t.info.Mode().IsRegular() && t.info.Size() == 0 {
		return t.openEmpty(known)
	}
	if !t.info.Mode().IsRegular() {
		return filesystem.ErrNotRegular
	}
	if !known.written {
		if err := known.remember(t.lock); err != nil {
			return err
		}
	}
	file, err := t.w.files().OpenAppend(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrReplaced
	}
	if err != nil {
		return err
	}
	t.file = file
	opened, err := file.Stat()
	if err == nil && !t.w.same(opened, t.info) {
		err = ErrReplaced
	}
	t.info = opened
	return err
}

func (t *Transaction) openEmpty(known memory) error {
	if known.written && !t.w.StartOver {
		return ErrDamaged
	}
	t.like = t.info
	if t.info != nil || !known.written {
		return nil
	}
	var err error
	t.like, err = t.lock.Stat() // it has the owner and mode that the file had
	return err
}

// Exists reports whether the path names a file, which may be empty.
func (t *Transaction) Exists() bool { return t.info != nil }

// Path is the file's path, with symbolic links followed.
func (t *Transaction) Path() string { return t.path }

// File is the file's content; nil where there is none. It is not to be written
// or closed.
func (t *Transaction) File() filesystem.File { return t.file }

// Info describes the file as it is after the last change of this transaction;
// nil where the path names none.
func (t *Transaction) Info() fs.FileInfo { return t.info }

// Size is the size of the content.
func (t *Transaction) Size() int64 {
	if t.info == nil {
		return 0
	}
	return t.info.Size()
}

// Close releases the lock. What is not written by then never will be.
func (t *Transaction) Close() {
	if t.file != nil {
		_ = t.file.Close()
	}
	_ = t.lock.Close()
}

// Truncate cuts off what a writer that died left at the end.
func (t *Transaction) Truncate(size int64) error {
	err := t.file.Truncate(size)
	if err == nil {
		t.info, err = t.file.Stat()
	}
	return err
}

// Append appends what body writes and makes it durable. On an error it takes
// that back. The first content of a file comes into being as a whole: there is
// never a file with a part of it.
func (t *Transaction) Append(body func(io.Writer) error) error {
	if t.file == nil {
		return t.Rewrite(body)
	}
	t.wrote = true
	out := &counter{to: t.file}
	err := out.fill(body)
	if err == nil && !t.NoSync {
		err = t.file.Sync()
	}
	if err == nil {
		err = t.confirmAppended(out.written)
	}
	if err != nil {
		t.takeBack(out.written)
		return t.w.failed("appending to", err)
	}
	return nil
}

// takeBack cuts off what was appended. The sync keeps a crash from bringing
// back what is about to be reported as failed. Where there is more than we
// wrote it leaves it: another writer, with another lock, wrote too.
func (t *Transaction) takeBack(written int64) {
	info, err := t.file.Stat()
	if err != nil || info.Size() != t.info.Size()+written || t.file.Truncate(t.info.Size()) != nil {
		return
	}
	_ = t.file.Sync()
	if info, err = t.file.Stat(); err == nil {
		t.info = info
	}
}

// counter counts what reaches the file.
type counter struct {
	to      io.Writer
	written int64
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.written += int64(n)
	return n, err
}

func (c *counter) fill(body func(io.Writer) error) error {
	w := bufio.NewWriterSize(c, writeChunk)
	if err := body(w); err != nil {
		return err
	}
	return w.Flush()
}
