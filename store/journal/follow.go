package journal

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"keyward/store/journal/filesystem"
)

// Sink is what the lines of a file are read into. Its methods are called by one
// goroutine.
type Sink interface {
	// CheckHeader returns why a file with this first line is not for the sink.
	CheckHeader(first []byte) error
	// Begin makes an empty Generation, which Commit puts in force in place of the
	// one before.
	Begin() Generation
	Commit(Generation)
	// Undone returns what committing a Generation would undo of what is in force: a
	// revocation, or all there is. It is nil before anything is in force.
	Undone(next Generation, now time.Time) error
	// Applied is called after a line was applied to the Generation in force.
	Applied()
	// Fault is called with the reason why nothing is in force yet.
	Fault(reason error)
}

// Generation is what the lines of one file come to.
type Generation interface {
	// Apply applies a line, which is valid until it returns. ended is when the line
	// was written, if it ends something. A line that cannot be applied is a jsonline.Error.
	Apply(line []byte) (ended time.Time, err error)
}

// FollowConfig is which file to follow, and how.
type FollowConfig struct {
	Path string
	// MissingOK: a file that is missing at start is one without lines.
	MissingOK bool
	// Copied: this process makes the file, as a copy. That it is missing before is not
	// logged as an error.
	Copied bool
	// Every is how often to look without an event, in case one was lost. Zero is
	// 15 s.
	Every time.Duration
	// Settle is how long a file that replaces another one must not have changed
	// before it is read, since it may still be being written. Reading is put off for
	// four times as long at most. Zero is 50 ms.
	Settle time.Duration

	FS       filesystem.FS    // nil: the operating system's
	Log      *slog.Logger     // nil: nothing is logged
	Observer Observer         // nil: none
	Now      func() time.Time // nil: time.Now

	// NewWatcher is where file events come from; nil: fsnotify.NewWatcher.
	NewWatcher func() (*fsnotify.Watcher, error)
}

// Follower keeps a Sink as a file says. What is appended is in force within
// milliseconds. A file that replaces another one is read entirely and put in force
// in one step. While no file can be read, what was last read stays in force.
type Follower struct {
	reader  reader
	every   time.Duration
	reload  chan struct{}
	awaited chan chan<- error // each gets one: nil once what the file has is in force
	stop    chan struct{}
	done    chan struct{}
	closing sync.Once
	watched map[string]bool
	watch   *fsnotify.Watcher // nil where the system has none to give
}

// Follow reads the file into the sink and follows it from then on. A file that
// cannot be read is not an error of Follow: the sink learns why it is not ready, and
// becomes ready once the file can be read.
func Follow(cfg FollowConfig, into Sink) (*Follower, error) {
	if into == nil || cfg.Path == "" {
		return nil, errors.New("following a file needs its path and where to read it into")
	}
	if cfg.Every == 0 {
		cfg.Every = 15 * time.Second
	}
	if cfg.NewWatcher == nil {
		cfg.NewWatcher = fsnotify.NewWatcher
	}
	f := &Follower{
		reader: newReader(cfg, into), every: cfg.Every, watched: map[string]bool{},
		reload: make(chan struct{}, 1), awaited: make(chan chan<- error), stop: make(chan struct{}), done: make(chan struct{}),
	}
	watch, err := cfg.NewWatcher()
	if err != nil {
		// Nodes run out of inotify instances (128 per user). A revoked key must end even so.
		f.every = min(f.every, time.Second)
		f.reader.log.Warn("file changes are not notified: polling instead", "file", cfg.Path, "every", f.every, "error", err)
	} else {
		f.watch = watch
	}
	f.look(false)
	go f.run()
	return f, nil
}

// Reload has the entire file read again now. It does not wait for that.
func (f *Follower) Reload() {
	select {
	case f.reload <- struct{}{}:
	default: // one is due already
	}
}

var errClosed = errors.New("the file is no longer followed")

// Await returns nil once all that the file had before the call is in force, or why it is
// not.
func (f *Follower) Await(ctx context.Context) error {
	inForce := make(chan error, 1)
	select {
	case f.awaited <- inForce:
	case <-f.done:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-inForce:
		return err
	case <-f.done:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close stops following and waits until it has stopped. The sink stays as it is.
func (f *Follower) Close() error {
	f.closing.Do(func() { close(f.stop) })
	<-f.done
	return nil
}

func (f *Follower) run() {
	defer close(f.done)
	defer f.release()
	events, errs := f.events()
	timer := time.NewTimer(f.every)
	defer timer.Stop()
	var waiting []chan<- error
	for {
		force := false
		select {
		case <-f.stop:
			return
		case <-f.reload:
			force = true
		case inForce := <-f.awaited:
			waiting = append(waiting, inForce)
		case <-timer.C:
			f.watched = map[string]bool{} // a directory that was removed and created again needs a new watch
		case <-events:
			drain(events)
		case err := <-errs: // an overflow: some event was lost
			f.reader.log.Warn("news of file changes was lost", "file", f.reader.cfg.Path, "error", err)
		}
		began := time.Now()
		wait := f.look(force)
		if wait == 0 {
			f.answer(waiting)
			waiting = nil
		}
		if f.reader.unfinished() && !f.backoff(4*time.Since(began)) {
			return
		}
		if wait == 0 {
			wait = f.every
		}
		timer.Reset(wait)
	}
}

// answer has calls of Await return, after a look that left nothing for later.
func (f *Follower) answer(waiting []chan<- error) {
	for _, inForce := range waiting {
		inForce <- f.reader.err
	}
}

// backoff waits before a file that takes long to read, and cannot be put in force
// as it is, is read again for the next of many changes. It reports whether to go on.
func (f *Follower) backoff(d time.Duration) bool {
	if d < 10*time.Millisecond {
		return true
	}
	select {
	case <-f.stop:
		return false
	case <-time.After(d):
		return true
	}
}

func (f *Follower) events() (chan fsnotify.Event, chan error) {
	if f.watch == nil {
		return nil, nil
	}
	return f.watch.Events, f.watch.Errors
}

func drain(events chan fsnotify.Event) {
	for {
		select {
		case <-events:
		default:
			return
		}
	}
}

// look brings the sink up to date. It watches before it looks, so that what
// happens in between is seen. It returns when to look again at the latest; zero if
// that does not matter.
func (f *Follower) look(force bool) time.Duration {
	for range 4 {
		more := f.watchDirs()
		wait := f.reader.look(force)
		if !more {
			return wait
		}
		force = false
	}
	return f.every
}

// watchDirs watches the directory of the path and that of the file it leads to, and
// reports whether one of them is new. Directories are watched, never files: the
// watch of a file ends with the file.
func (f *Follower) watchDirs() bool {
	if f.watch == nil {
		return false
	}
	wanted := f.reader.dirs()
	for dir := range f.watched {
		if !wanted[dir] {
			_ = f.watch.Remove(dir)
			delete(f.watched, dir)
		}
	}
	more := false
	for dir := range wanted {
		if f.watched[dir] {
			continue
		}
		if err := f.watch.Add(dir); err != nil {
			f.reader.log.Debug("watching directory", "directory", dir, "error", err)
			continue
		}
		f.watched[dir] = true
		more = true
	}
	return more
}

func (f *Follower) release() {
	if f.watch != nil {
		_ = f.watch.Close()
	}
	f.reader.close()
}
