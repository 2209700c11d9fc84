package journal

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
	"io/fs"
	"time"

	"keyward/store/journal/filesystem"
	"keyward/store/jsonline"
)

// Index is what a Progress reads lines into.
type Index interface {
	// Reset empties the index.
	Reset()
	// Add adds a line, which is valid until it returns; nil in place of a line that
	// is too long to be one.
	Add(line []byte, at LineRef)
}

// LineRef is where a line is in its file.
type LineRef struct {
	Offset int64
	Length int // without the newline
	Number int
}

// PageBytes bounds the lines or texts of a page of a list: a caller that made large
// records must not fill the memory with pages of them.
const PageBytes = 1 << 20

// Progress is how far a file has been read into an index. It reads what was
// appended since, and the entire file again after any other change. One goroutine
// uses it at a time. The zero Progress, with its Lines, has read nothing.
type Progress struct {
	Lines *Lines

	// The file that was read, held open so that its number in the file system is
	// not given to another; nil if there is no content.
	file  filesystem.File
	info  fs.FileInfo
	in    *lineReader
	seed  maphash.Seed
	tail  digest    // of what stood right before in.offset
	ended bool      // the last Advance read to the end
	since time.Time // when a file was first seen that changed without getting longer
}

const (
	// stretch is how many lines Advance reads at most.
	stretch = 2048
	// progressLook is how much of the end of what was read Advance compares. It is
	// little, since Advance runs at every change.
	progressLook = 16 << 10
	// settleStep is how long Advance waits for a write that is under way.
	settleStep = time.Millisecond
)

// Advance reads on, of a file that is not locked, and reports whether it read to
// the end. If not there is more to read, or a write is under way, and it is to be
// called again: in between others may have their turn. A missing file and errors
// are as with [Lines.Read].
func (p *Progress) Advance(ctx context.Context, into Index) (done bool, err error) {
	l := p.Lines
	if err := ctx.Err(); err != nil {
		return false, l.failed("reading", err)
	}
	info, err := statTarget(l.files(), l.Path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		p.Forget()
		into.Reset()
		return true, l.readEmpty()
	}
	if err == nil && p.writing(info) {
		time.Sleep(settleStep)
		return false, nil
	}
	if err == nil {
		done, err = p.advance(info, into)
	}
	if err != nil {
		p.Forget()
		into.Reset()
		return false, l.failed("reading", err)
	}
	return done, nil
}

// AdvanceLocked is [Progress.Advance] with the file of a transaction.
func (p *Progress) AdvanceLocked(t *LineTransaction, into Index) (done bool, err error) {
	if err := t.ctx.Err(); err != nil {
		return false, p.Lines.failed("reading", err)
	}
	if t.File() == nil {
		p.Forget()
		into.Reset()
		return true, nil
	}
	if done, err = p.advance(t.Info(), into); err == nil && !p.Lines.files().SameFile(p.info, t.Info()) {
		err = ErrReplaced
	}
	if err != nil {
		p.Forget()
		into.Reset()
		return false, p.Lines.failed("reading", err)
	}
	return done, nil
}

// ReadLine returns the line at a place that the last Advance knew, in the memory of
// buf if that is enough.
func (p *Progress) ReadLine(at LineRef, buf []byte) ([]byte, error) {
	if cap(buf) < at.Length {
		buf = make([]byte, at.Length, 2*at.Length)
	}
	buf = buf[:at.Length]
	if p.file == nil {
		return nil, p.Lines.failed("reading", io.ErrUnexpectedEOF)
	}
	if n, err := p.file.ReadAt(buf, at.Offset); n < len(buf) {
		return nil, p.Lines.failed("reading", err)
	}
	return buf, nil
}

// Forget has the next Advance read the entire file.
func (p *Progress) Forget() {
	if p.file != nil {
		_ = p.file.Close()
	}
	*p = Progress{Lines: p.Lines}
}

// writing reports whether the file may be being appended to: the time of a write
// shows before its content. If that takes longer than a write, it is another change.
func (p *Progress) writing(info fs.FileInfo) bool {
	if p.file == nil || !p.touched(info) {
		p.since = time.Time{}
		return false
	}
	if p.since.IsZero() {
		p.since = time.Now()
	}
	return time.Since(p.since) < writeTime
}

// touched reports whether the file was written without getting longer.
func (p *Progress) touched(info fs.FileInfo) bool {
	return p.Lines.files().SameFile(info, p.info) && info.Size() == p.info.Size() && !info.ModTime().Equal(p.info.ModTime())
}

// advance reads a stretch of the file that info describes.
func (p *Progress) advance(info fs.FileInfo, into Index) (done bool, err error) {
	if p.file != nil {
		same := p.Lines.files().SameFile(info, p.info)
		if same && p.ended && info.Size() == p.info.Size() && info.ModTime().Equal(p.info.ModTime()) {
			return true, nil
		}
		intact, err := p.intact(info)
		if err != nil {
			return false, err
		}
		if !intact {
			p.Forget()
		}
	}
	if p.file == nil {
		if err := p.open(into); err != nil || p.file == nil {
			return false, err
		}
	} else {
		p.info = info
	}
	return p.read(into)
}

// intact reports whether this is the file that was read and has what was read, as far
// as its size, its time and its end show.
func (p *Progress) intact(info fs.FileInfo) (bool, error) {
	if !p.Lines.files().SameFile(info, p.info) || p.touched(info) {
		return false, nil
	}
	now, err := digestBefore(p.file, p.in.offset, progressLook, p.seed)
	return now == p.tail, err
}

// open opens the file that the path names and checks its header. A file that has lost
// its content meanwhile is not opened: the next Advance sees that.
func (p *Progress) open(into Index) error {
	into.Reset()
	file, info, err := p.Lines.open()
	if err != nil || file == nil {
		return err
	}
	p.file, p.info, p.seed = file, info, maphash.MakeSeed()
	p.in = &lineReader{r: file}
	first, err := p.in.next()
	if err == nil {
		err = p.Lines.Header.Check(first)
	}
	return orWrongFile(err)
}

// read reads a stretch of lines into the index.
func (p *Progress) read(into Index) (done bool, err error) {
	if p.ended {
		p.in.again()
	}
	p.ended = false
	for range stretch {
		line, err := p.in.next()
		if errors.Is(err, io.EOF) {
			p.ended = true
			break
		}
		var bad jsonline.Error
		if err != nil && !errors.As(err, &bad) {
			return false, err
		}
		into.Add(line, LineRef{p.in.offset - int64(len(line)) - 1, len(line), p.in.number})
	}
	p.tail, err = digestBefore(p.file, p.in.offset, progressLook, p.seed)
	return p.ended, err
}
