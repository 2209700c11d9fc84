package usage

import (
	"bufio"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"

	"keyward/store/journal"
)

// maxParts bounds the number of files that a compaction opens. A file that would
// need more parts has larger ones.
const maxParts = 256

// compact replaces the usage file with one line of each form per key. Keys are first
// partitioned into temporary files to bound memory. The lock is held throughout;
// events flushed meanwhile go to the old file and are copied at the end.
func (f *fileStore) compact(a *usageFile, from Source) (err error) {
	c := compaction{usageFile: a, seed: maphash.MakeSeed(), end: a.Size(), checkpoint: func() error { return from.Checkpoint(f.appendTo(a)) }}
	defer func() { err = errors.Join(err, c.discard()) }()
	if err := c.partition(f.compactedPart); err != nil {
		return fmt.Errorf("compacting: %w", err)
	}
	if err := c.merge(); err != nil {
		return fmt.Errorf("compacting: %w", err)
	}
	before := a.Size()
	if err := c.replace(); err != nil {
		return fmt.Errorf("compacting: %w", err)
	}
	f.log.Debug("usage compacted", "file", f.path, "from", before, "to", a.Size())
	if c.bad > 0 {
		f.log.Warn("bad lines of usage dropped", "file", f.path, "lines", c.bad)
	}
	f.file, f.baseline = a.Info(), a.Size()
	return nil
}

// compaction is the compaction of one file.
type compaction struct {
	*usageFile
	seed       maphash.Seed
	end        int64        // of the part to compact
	checkpoint func() error // called regularly; its error ends the compaction
	bad        int          // lines that could not be read, and are dropped
	header     []byte
	parts      []*os.File
	draft      *journal.Draft // nil until it is created
}

// partition writes each line to the temporary file of its key's partition; each
// file has about that size.
func (c *compaction) partition(partSize int64) error {
	n := int(min(c.end/partSize+1, maxParts))
	writers := make([]*bufio.Writer, n)
	for i := range writers {
		f, err := createPart(fmt.Sprintf("%s.part%d", c.Path(), i))
		if err != nil {
			return err
		}
		c.parts = append(c.parts, f)
		writers[i] = bufio.NewWriterSize(f, 32<<10)
	}
	in := io.NewSectionReader(c.File(), 0, c.end)
	first, err := bufio.NewReader(in).ReadSlice('\n')
	if err != nil {
		return err
	}
	c.header = append(c.header, first...)
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return err
	}
	count := 0
	_, err = eachLine(in, func(line []byte) error {
		cut := cursor{text: line}
		id := cut.readID()
		if cut.bad {
			c.bad++
			return nil
		}
		if count++; count%1024 == 0 {
			if err := c.checkpoint(); err != nil {
				return err
			}
		}
		w := writers[maphash.String(c.seed, id)%uint64(n)]
		_, _ = w.Write(line) // the next call returns an error again
		return w.WriteByte('\n')
	})
	for _, w := range writers {
		err = errors.Join(err, w.Flush())
	}
	return err
}

// createPart creates an empty file. It replaces one that a crashed process left,
// and does not follow a link.
func createPart(path string) (*os.File, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// merge writes the lines of each key, partition by partition.
func (c *compaction) merge() (err error) {
	if c.draft, err = c.Draft(); err != nil {
		return err
	}
	w := bufio.NewWriterSize(c.draft, chunk)
	if _, err := w.Write(c.header); err != nil {
		return err
	}
	for _, part := range c.parts {
		if err := c.mergePart(w, part); err != nil {
			return err
		}
	}
	return w.Flush()
}

func (c *compaction) mergePart(w io.Writer, part *os.File) error {
	if _, err := part.Seek(0, io.SeekStart); err != nil {
		return err
	}
	var sums Sums
	in := bufio.NewReaderSize(part, maxLine)
	count := 0
	err := eachLineFrom(in, func(line []byte) error {
		if count++; count%1024 == 0 {
			if err := c.checkpoint(); err != nil {
				return err
			}
		}
		if !sums.Add(line) {
			c.bad++
		}
		return nil
	})
	if err != nil {
		return err
	}
	var line []byte
	for _, id := range sums.order {
		line = appendLines(line[:0], id, sums.keys[id])
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// replace copies the lines appended meanwhile, syncs the new file and puts it
// in the place of the old one.
func (c *compaction) replace() error {
	if _, err := io.Copy(c.draft, io.NewSectionReader(c.File(), c.end, c.Size()-c.end)); err != nil {
		return err
	}
	return c.draft.Publish()
}

// discard removes the temporary files, including the new file if it has not
// replaced the old one.
func (c *compaction) discard() error {
	var errs []error
	for _, part := range c.parts {
		errs = append(errs, part.Close(), os.Remove(part.Name()))
	}
	if c.draft != nil {
		c.draft.Discard()
	}
	return errors.Join(errs...)
}
