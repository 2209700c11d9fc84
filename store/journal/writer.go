package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"keyward/store/journal/filesystem"
)

var (
	// ErrDamaged is a file that is empty or missing and had content before.
	ErrDamaged = errors.New("the file is empty or missing, and it had content before")
	// ErrReplaced is a file that others replaced during the transaction, or
	// whose lock file they replaced.
	ErrReplaced = errors.New("another program replaced the file or its lock file during the transaction")
)

const (
	lockSuffix  = ".lock"
	tempSuffix  = ".tmp"
	maxAttempts = 10
)

// Writer writes the file at a path. Any number of processes may write one file.
type Writer struct {
	Path string
	FS   filesystem.FS // nil: the operating system's
	// StartOver begins a new file where the old one is damaged. False refuses
	// with ErrDamaged.
	StartOver bool
	// Wait is how long to wait for the lock. Zero is without a bound.
	Wait time.Duration
}

func (w *Writer) files() filesystem.FS { return orOS(w.FS) }

// orOS is the file system, or the operating system's if none is given.
func orOS(given filesystem.FS) filesystem.FS {
	if given == nil {
		return filesystem.OS()
	}
	return given
}

// Update calls do with a transaction. Where others replace the file or its lock
// file meanwhile it calls do again, with the file that the path names then; what
// do appended before is taken back. Nil means that what do wrote is durable, and
// that the path named the file that has it. ctx ends the wait for the lock.
func (w *Writer) Update(ctx context.Context, do func(*Transaction) error) error {
	for range maxAttempts {
		if err := w.try(ctx, do); !errors.Is(err, ErrReplaced) {
			return err
		}
	}
	return fmt.Errorf("writing %q: %w, %d times in a row", w.Path, ErrReplaced, maxAttempts)
}

func (w *Writer) try(ctx context.Context, do func(*Transaction) error) error {
	t, err := w.begin(ctx)
	if err != nil {
		return err
	}
	defer t.Close() // what was written is synced, or was taken back
	err = do(t)
	if t.wrote {
		return err
	}
	// What do found out, it found out of this file.
	if confirmed := t.confirm(t.info); confirmed != nil && (err == nil || errors.Is(confirmed, ErrReplaced)) {
		return w.failed("writing", confirmed)
	}
	return err
}

// Begin begins a transaction that the caller closes. Its methods return
// ErrReplaced where others replace the file; then another one is to be begun. ctx
// ends the wait for the lock.
func (w *Writer) Begin(ctx context.Context) (*Transaction, error) {
	var t *Transaction
	var err error
	for range maxAttempts {
		if t, err = w.begin(ctx); !errors.Is(err, ErrReplaced) {
			break
		}
	}
	return t, err
}

func (w *Writer) begin(ctx context.Context) (*Transaction, error) {
	if err := ctx.Err(); err != nil {
		return nil, w.failed("locking", err)
	}
	t := &Transaction{w: w}
	if err := t.acquire(ctx); err != nil {
		return nil, w.failed("locking", err)
	}
	if err := t.open(); err != nil {
		t.Close()
		return nil, w.failed("opening", err)
	}
	return t, nil
}

func (w *Writer) failed(doing string, err error) error {
	return fmt.Errorf("%s %q: %w", doing, w.Path, err)
}

// stat describes the file that path names; nil where it names none.
func (w *Writer) stat(path string) (fs.FileInfo, error) {
	info, err := w.files().Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return info, err
}

// same reports whether both describe one file; nil is a missing file.
func (w *Writer) same(a, b fs.FileInfo) bool {
	return a == nil && b == nil || a != nil && b != nil && w.files().SameFile(a, b)
}
