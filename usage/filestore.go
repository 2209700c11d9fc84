package usage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"keyward/store/journal"
)

// maxReplacements bounds how often a flush starts again because another process
// replaced the file.
const maxReplacements = 10

// fileStore is the Store that appends to a usage file.
type fileStore struct {
	path string
	log  *slog.Logger
	now  func() time.Time

	mu    sync.Mutex
	index *fileIndex // nil until LastUse needs it

	file     os.FileInfo // of the last flush
	baseline int64       // size of that file when it was new or compacted

	// Tests set these.
	write func(io.Writer, []byte) (int, error)
	// lockTimeout is how long to wait for the lock on the file. After that the
	// data is kept for the next flush.
	lockTimeout   time.Duration
	compactAbove  int64 // a smaller file is not compacted
	compactedPart int64 // how much of a file is aggregated in memory at a time
}

func newFileStore(path string, log *slog.Logger, now func() time.Time) *fileStore {
	return &fileStore{
		path: path, log: log, now: now,
		write: io.Writer.Write, lockTimeout: 5 * time.Second, compactAbove: 16 << 20, compactedPart: 8 << 20,
	}
}

// Flush implements Store. It compacts the file if it has grown enough.
func (f *fileStore) Flush(from Source) error {
	for range maxReplacements {
		if err := f.flushOnce(from); !errors.Is(err, journal.ErrReplaced) {
			return err
		}
	}
	return fmt.Errorf("%w, %d times in a row", journal.ErrReplaced, maxReplacements)
}

// flushOnce flushes to the file that the path names now.
func (f *fileStore) flushOnce(from Source) error {
	a, err := openUsageFile(f.path, f.lockTimeout, f.now())
	if err != nil {
		return err
	}
	defer a.Close() // all writes are synced
	f.detectReplacement(a)
	if err := from.Drain(f.appendTo(a)); err != nil {
		return err
	}
	if a.Size() < 2*f.baseline || a.Size() < f.compactAbove {
		return nil
	}
	switch err := f.compact(a, from); {
	case errors.Is(err, errClosing):
		return nil
	case err != nil:
		f.baseline = a.Size() // so that the next flush does not fail in the same way
		return err
	}
	return nil
}

// appendTo returns a function that appends a batch to the file. If it fails, what was
// written of the batch is removed again.
func (f *fileStore) appendTo(a *usageFile) func(batch []byte) error {
	return func(batch []byte) error {
		return a.Append(func(w io.Writer) error {
			_, err := f.write(w, batch)
			return err
		})
	}
}

// detectReplacement detects whether the file is another than at the last write:
// another process compacted it, or it is opened for the first time.
func (f *fileStore) detectReplacement(a *usageFile) {
	if f.file == nil {
		f.baseline = 0 // how much of it is old is unknown
	} else if !os.SameFile(f.file, a.Info()) {
		f.baseline = a.Size()
	}
	f.file = a.Info()
}

// Lines implements Store. It reads the file, but after a call of LastUse the lines of
// the key alone. A missing file has none.
func (f *fileStore) Lines(id string, visit func(line []byte) error) error {
	f.mu.Lock()
	index := f.index
	f.mu.Unlock()
	if index != nil {
		return index.read(id, visit)
	}
	_, err := readFile(f.path, visit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// LastUse implements Store.
func (f *fileStore) LastUse() (func(id string) int64, error) {
	f.mu.Lock()
	if f.index == nil {
		f.index = newFileIndex(f.path)
	}
	index := f.index
	f.mu.Unlock()
	return index.lastUse, index.update()
}
