package storecopy

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"keyward/store/journal/filesystem"
	"keyward/store/postgres"
	"keyward/usage"
)

// fillUsage copies the usage file, if there is one.
func (f *Files) fillUsage(filling *postgres.Filling) (keys int, err error) {
	if f.Usage == "" {
		return 0, nil
	}
	keys, err = filling.Usage(func(add func(postgres.KeyUsage) error) error {
		return usage.EachSum(f.Usage, func(id string, sum usage.KeyLines) error {
			return add(postgres.KeyUsage{KeyID: id, Totals: sum.Totals, Days: sum.Days, Last: sum.Last})
		})
	})
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // no key was used
	}
	return keys, err
}

// usageDraft is a usage file that is written and not yet in its place.
type usageDraft struct {
	files      filesystem.FS
	path, temp string
}

// draftUsage writes the use of all keys, and adds its digest to what the copy writes. It
// returns nil for a configuration without a usage file.
func (w *filesWriter) draftUsage(begun *written) (*usageDraft, error) {
	if w.to.Usage == "" {
		return nil, nil
	}
	files := w.to.files()
	path, err := files.Resolve(w.to.Usage)
	if err != nil {
		return nil, err
	}
	draft := &usageDraft{files, path, path + writtenSuffix}
	if err := begun.refuseFile(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	file, err := files.Create(draft.temp, nil)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(file, sum), 64<<10)
	err = errors.Join(w.writeUsage(out), out.Flush())
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("writing %q: %w", draft.temp, err)
	}
	begun.add(digest(sum))
	return draft, nil
}

// writeUsage writes the use of each key by all replicas together.
func (w *filesWriter) writeUsage(out *bufio.Writer) error {
	if _, err := out.Write(usage.Header(time.Now())); err != nil {
		return err
	}
	var key string
	var sums usage.Sums
	flush := func() error {
		for _, sum := range sums.All() {
			w.copied.Usage++
			for _, line := range []string{sum.Totals, sum.Days} {
				if line == "" {
					continue
				}
				if _, err := out.WriteString(line + "\n"); err != nil {
					return err
				}
			}
		}
		sums = usage.Sums{}
		return nil
	}
	err := w.from.Usage(func(u postgres.KeyUsage) error {
		if u.KeyID != key {
			key = u.KeyID
			if err := flush(); err != nil {
				return err
			}
		}
		for _, line := range []string{u.Totals, u.Days} {
			if line != "" {
				sums.AddOf(u.KeyID, []byte(line)) // one that cannot be read is skipped, as by every reader
			}
		}
		return nil
	})
	return errors.Join(err, flush())
}

// publish puts the file in its place.
func (d *usageDraft) publish() error {
	if err := d.files.Rename(d.temp, d.path); err != nil {
		return err
	}
	return d.files.SyncDir(filepath.Dir(d.path))
}
