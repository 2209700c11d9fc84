package journal

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"keyward/store/journal/filesystem"
	"keyward/store/jsonline"
)

var (
	errEmpty     = errors.New("the file is empty")
	errUnsettled = errors.New("still being written")
)

// reader reads a file into its sink, entirely or from where it stopped.
type reader struct {
	cfg      FollowConfig
	into     Sink
	fs       filesystem.FS
	log      *slog.Logger
	observer Observer
	now      func() time.Time
	seed     maphash.Seed // of digests

	// What is in force: nil before anything is, and of no file before
	// something was read.
	content Generation
	// The file it was read from, held open so that its number in the file
	// system is not given to another; nil if none was.
	file  filesystem.File
	info  fs.FileInfo
	lines *lineReader
	tail  digest // of what stood right before lines.offset

	fault            string      // the error that was last reported, with what it was about
	err              error       // why the last look read nothing; nil: it did
	badFile          fs.FileInfo // a file with bad content, not to be read again as it is
	badErr           error       // why it was
	rewrittenInPlace bool        // the file was rewritten in place since it was read
	waiting          time.Time   // since when a file is waited for
}

func newReader(cfg FollowConfig, into Sink) reader {
	r := reader{cfg: cfg, into: into, fs: orOS(cfg.FS), log: cfg.Log, observer: cfg.Observer, now: cfg.Now, seed: maphash.MakeSeed()}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.observer == nil {
		r.observer = unobserved{}
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.cfg.Settle == 0 {
		r.cfg.Settle = 50 * time.Millisecond
	}
	return r
}

// dirs are the directories in which a change may concern the file.
func (r *reader) dirs() map[string]bool {
	dirs := map[string]bool{filepath.Dir(r.cfg.Path): true}
	if path, err := r.fs.Resolve(r.cfg.Path); err == nil {
		dirs[filepath.Dir(path)] = true
	}
	return dirs
}

// look brings the sink up to date and reports what happened. It returns when to look
// again at the latest; zero if that does not matter.
func (r *reader) look(force bool) time.Duration {
	info, err := statTarget(r.fs, r.cfg.Path)
	changed := false
	if err == nil {
		changed, err = r.read(info, force)
	}
	switch {
	case errors.Is(err, errUnsettled):
		return r.cfg.Settle
	case err != nil:
		r.fail(info, err)
		return 0
	}
	if r.fault != "" {
		r.log.Info("file is good again", "file", r.cfg.Path)
		r.fault = ""
	}
	r.badFile, r.err = nil, nil
	r.observer.Succeeded(r.now())
	if changed {
		r.observer.Reloaded(nil)
	}
	return 0
}

// statTarget describes the file that the path leads to.
func statTarget(files filesystem.FS, path string) (fs.FileInfo, error) {
	path, err := files.Resolve(path)
	if err != nil {
		return nil, err
	}
	return files.Stat(path)
}

// fail reports an error once, for as long as it and the file stay the same.
func (r *reader) fail(info fs.FileInfo, err error) {
	if errors.Is(err, fs.ErrNotExist) && r.cfg.MissingOK && r.file == nil {
		if err = refuseDamaged(r.fs, r.cfg.Path); err == nil {
			r.goWithout()
			r.err = nil
			return
		}
	}
	r.err = err
	if r.content == nil {
		r.into.Fault(err)
	}
	fault := err.Error()
	if info != nil {
		fault = fmt.Sprint(fault, info.Size(), info.ModTime().UnixNano())
	}
	if fault == r.fault {
		return
	}
	r.fault = fault
	if r.cfg.Copied && r.content == nil && errors.Is(err, fs.ErrNotExist) {
		r.log.Info("there is no copy yet: not ready", "file", r.cfg.Path)
		return
	}
	r.observer.Reloaded(err)
	what := "file cannot be read: what was last read stays in force"
	if r.content == nil {
		what = "file cannot be read: not ready"
	}
	r.log.Error(what, "file", r.cfg.Path, "error", err)
}

// goWithout is for a file that need not be there.
func (r *reader) goWithout() {
	if r.content == nil {
		r.log.Warn("file not found: continuing without it", "file", r.cfg.Path)
		r.put(r.into.Begin())
	}
}

// refuseDamaged returns ErrDamaged if the file, which was empty or missing when
// it was looked at, still is and had content before.
func refuseDamaged(files filesystem.FS, path string) error {
	damaged, err := Damaged(files, path)
	if err == nil && damaged {
		err = ErrDamaged
	}
	return err
}

func (r *reader) put(c Generation) {
	r.content = c
	r.into.Commit(c)
}

// read reads what is new in the file that info is about.
func (r *reader) read(info fs.FileInfo, force bool) (changed bool, err error) {
	settle := r.cfg.Settle
	if r.file != nil && r.fs.SameFile(info, r.info) && !force {
		intact, err := r.intact(info)
		if err != nil {
			return false, err
		}
		if intact {
			r.waiting, r.info = time.Time{}, info
			return r.readAppended()
		}
		if !r.rewrittenInPlace {
			settle = max(settle, writeTime)
		}
	}
	if r.unchanged(info, r.badFile) && !force {
		return false, r.badErr
	}
	if r.content != nil && !force && !r.debounced(info, settle) {
		return false, errUnsettled
	}
	r.waiting = time.Time{}
	if err := r.reload(); err != nil {
		return false, err
	}
	return true, nil
}

// intact reports whether the content that was read is still in the file. A file
// that was written without getting longer was not appended to. But the time of
// a write shows before its content, so an append may still be under way: this
// alone counts only once the file has not changed for some time.
func (r *reader) intact(info fs.FileInfo) (bool, error) {
	switch {
	case r.lines.offset == 0:
		return info.Size() == 0, nil // it was empty, and its header was never seen
	case r.rewrittenInPlace || info.Size() < r.lines.offset:
		r.rewrittenInPlace = true
		return false, nil
	case info.Size() == r.info.Size() && !info.ModTime().Equal(r.info.ModTime()):
		return false, nil
	}
	now, err := r.before()
	r.rewrittenInPlace = err == nil && now != r.tail
	return !r.rewrittenInPlace, err
}

// digest identifies a part of a file by its content.
type digest struct {
	sum    uint64
	length int64
}

// before is the digest of what is right before the offset that was read to.
func (r *reader) before() (digest, error) {
	const look = 256 << 10
	return digestBefore(r.file, r.lines.offset, look, r.seed)
}

// digestBefore is the digest of the look bytes right before the offset.
func digestBefore(file io.ReaderAt, offset, look int64, seed maphash.Seed) (digest, error) {
	from := max(offset-look, 0)
	var sum maphash.Hash
	sum.SetSeed(seed)
	n, err := io.Copy(&sum, io.NewSectionReader(file, from, offset-from))
	return digest{sum.Sum64(), n}, err
}

// writeTime is how long a single write may take on a busy machine, from the
// moment that the file's time shows it until its size does.
const writeTime = 250 * time.Millisecond

// debounced reports whether a file has not changed for long enough to be read.
func (r *reader) debounced(info fs.FileInfo, settle time.Duration) bool {
	now := r.now()
	if r.waiting.IsZero() {
		r.waiting = now
	}
	age := now.Sub(info.ModTime())
	return age < 0 || age >= settle || now.Sub(r.waiting) >= 4*settle
}

func (r *reader) unchanged(info, old fs.FileInfo) bool {
	return old != nil && r.fs.SameFile(info, old) && info.Size() == old.Size() && info.ModTime().Equal(old.ModTime())
}

// readAppended applies what was appended.
func (r *reader) readAppended() (changed bool, err error) {
	r.lines.again()
	bad := 0
	for {
		line, err := r.lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		var ended time.Time
		if err == nil {
			ended, err = r.content.Apply(line)
		}
		var badLine jsonline.Error
		switch {
		case errors.As(err, &badLine):
			bad++
			r.skipBadLine(bad, err)
		case err != nil:
			return changed, err
		default:
			r.into.Applied()
			if !ended.IsZero() {
				r.observer.Revoked(r.now().Sub(ended))
			}
		}
		changed = true
	}
	if changed {
		r.tail, err = r.before()
	}
	return changed, err
}

// maxLogged bounds how many bad lines of one look are logged; all are counted.
const maxLogged = 10

func (r *reader) skipBadLine(nth int, err error) {
	r.observer.BadLine()
	if nth <= maxLogged {
		r.log.Error("bad line stepped over", "file", r.cfg.Path, "line", r.lines.number, "error", err)
	}
}

// unfinished reports whether the last look found something that it could not use.
func (r *reader) unfinished() bool { return r.fault != "" || r.lines != nil && r.lines.torn }

func (r *reader) close() {
	if r.file != nil {
		_ = r.file.Close()
	}
}
