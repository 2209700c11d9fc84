package replica

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"keyward/apikey"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
	"keyward/store/journal/filesystem"
	"keyward/store/jsonline"
)

// localCopy is the copy of the records of one kind. One goroutine uses it.
type localCopy struct {
	kind   Kind
	path   string
	files  filesystem.FS
	header fileheader.Header
	ending ending

	known bool // progress was read, and is about the copy
	progress
	saved   time.Time        // the last contact that the file beside the copy has
	applied int64            // the latest line that the copy has; at least Seq
	behind  map[int64]string // the digests of its lines behind Seq, until they came again; "" is any
	ended   *endedLines
	size    int64
	lost    lostList
}

// unknownIdentity opens a copy of which it is not known what it is a copy of. No file is
// written with it.
const unknownIdentity = "unknown"

var errLine = errors.New("the source has a line that cannot be one of a file")

func newCopy(file File, cfg *Config) (*localCopy, error) {
	end, ok := endingOf(file.Kind, cfg.Now)
	if !ok || file.Path == "" {
		return nil, fmt.Errorf("a copy needs a path and a known kind, not %q", file.Kind)
	}
	return &localCopy{kind: file.Kind, path: file.Path, files: cfg.FS, ending: end, header: headerOf(file.Kind, cfg.Hasher)}, nil
}

func headerOf(kind Kind, hasher *apikey.Hasher) fileheader.Header {
	switch kind {
	case Users:
		return fileheader.Users()
	case Projects:
		return fileheader.Projects()
	case Clients:
		return fileheader.Clients(hasher)
	case Revocations:
		return fileheader.Revocations()
	default:
		return fileheader.Keys(hasher)
	}
}

// lines is the file as one who copies the database with that identity writes it. A copy
// that was lost is begun again.
func (c *localCopy) lines(identity string) *journal.Lines {
	return &journal.Lines{
		Writer: journal.Writer{Path: c.path, FS: c.files, StartOver: true},
		Header: c.header.Copy(identity).Journal(),
	}
}

// load reads how far the copy is. It is not known where the file beside it is missing, or
// is about another content.
func (c *localCopy) load(ctx context.Context) error {
	p, found, err := readProgress(c.files, c.path)
	if err != nil {
		return err
	}
	c.progress, c.known = p, found
	c.saved = p.Contact
	if c.lost, err = readLost(c.files, c.path); err != nil {
		return err
	}
	c.applied, c.behind, c.ended, c.size = p.Seq, map[int64]string{}, newEndedLines(), 0
	return c.lines(cmp.Or(p.Identity, unknownIdentity)).Write(ctx, nil, func(t *journal.LineTransaction) error {
		c.size = t.Size()
		if !found || t.File() == nil || p.Resync != "" {
			c.known = found && p.Resync != ""
			return nil
		}
		head, err := fileheader.Read(t.First())
		if err != nil {
			return err
		}
		tail, err := tailOf(t.File(), p.Size)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if head.CopyOf != p.Identity || p.Size > t.Size() || tail != p.Tail {
			c.known = false
			return nil
		}
		return c.readRest(t)
	})
}

// readRest reads the lines that the progress is not about, and those that end something.
func (c *localCopy) readRest(t *journal.LineTransaction) error {
	var rest lineIndex
	p := journal.Progress{Lines: c.lines(c.Identity)}
	defer p.Forget()
	rest.add = func(line []byte, at journal.LineRef) error {
		behind := at.Offset >= c.Size
		if _, plain := c.ending.plain(line); plain && !behind {
			return nil
		}
		about, err := c.ending.about(line)
		var bad jsonline.Error
		if errors.As(err, &bad) {
			return nil
		}
		if c.ended.saw(c.kind, &about, line, at.Offset); !behind {
			return err
		}
		l := Line{about.seq, c.kind, line}
		if c.behind[l.Seq] = l.digest(); isHeld(line) {
			c.behind[l.Seq] = ""
		}
		c.applied = max(c.applied, l.Seq)
		return err
	}
	return rest.read(&p, t)
}

// tailLook is how much of a copy's end its progress knows by its digest.
const tailLook = 16 << 10

func tailOf(file io.ReaderAt, size int64) (string, error) {
	from := max(0, size-tailLook)
	sum := sha256.New()
	if n, err := io.Copy(sum, io.NewSectionReader(file, from, size-from)); err != nil || n < size-from {
		return "", errors.Join(err, io.EOF)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// append appends lines of the journal that are behind what the copy has.
func (c *localCopy) append(ctx context.Context, lines []Line) (*appending, error) {
	var a *appending
	err := c.lines(c.Identity).Write(ctx, nil, func(t *journal.LineTransaction) error {
		if t.Size() != c.size {
			return fmt.Errorf("%s: %w", c.path, journal.ErrReplaced)
		}
		a = &appending{localCopy: c, file: t.File(), size: c.size, seen: map[string][]byte{}}
		for i := range lines {
			if err := a.add(&lines[i]); err != nil {
				return err
			}
		}
		if err := a.recordLost(); err != nil || len(a.texts) == 0 {
			return err
		}
		err := t.Append(writing(a.texts))
		if err == nil {
			c.size = t.Size()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	a.done()
	c.applied = lines[len(lines)-1].Seq
	return a, nil
}

// checkLine refuses a line that would be more than one, that readers would not read to its
// end, or that would have them wait for others.
func checkLine(line []byte) error {
	if len(line) < 2 || len(line) > MaxLine || line[0] != '{' || line[len(line)-1] != '}' || bytes.IndexByte(line, '\n') >= 0 || journal.OfBatch(line) {
		return errLine
	}
	return nil
}

// writing returns what writes the lines.
func writing(lines [][]byte) func(io.Writer) error {
	return func(w io.Writer) error {
		for _, line := range lines {
			if _, err := w.Write(line); err != nil {
				return err
			}
			if _, err := w.Write([]byte("\n")); err != nil {
				return err
			}
		}
		return nil
	}
}

// save makes the progress durable, which is about the copy as it is now.
func (c *localCopy) save(ctx context.Context) error {
	return c.lines(c.Identity).Write(ctx, nil, func(t *journal.LineTransaction) error {
		if t.Size() != c.size {
			return fmt.Errorf("%s: %w", c.path, journal.ErrReplaced)
		}
		return c.saveIn(t)
	})
}

// saveIn is save within a transaction of the copy.
func (c *localCopy) saveIn(t *journal.LineTransaction) error {
	tail, err := tailOf(t.File(), c.size)
	if err != nil {
		return err
	}
	c.Size, c.Tail, c.Held, c.Version = c.size, tail, len(c.ended.held), progressVersion
	return c.saveProgress()
}

func (c *localCopy) saveProgress() error {
	if err := writeBeside(c.files, c.path+progressSuffix, &c.progress); err != nil {
		return err
	}
	c.saved = c.Contact
	return nil
}
