package keystore

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"keyward/store/journal"

	"github.com/fsnotify/fsnotify"
)

// Target is what a file is read into: [Keys], [Users] or [Revocations].
type Target interface {
	// check tells why a file with this first line is not for the target.
	check(first []byte) error
	// begin makes an empty content, which publish puts in force as a whole.
	begin() content
	publish(content)
	// undone returns what a content would undo of what is in force: a
	// revocation, or all there is. It is nil before anything is in force.
	undone(next content, now time.Time) error
	// applied is called after a line was applied to what is in force.
	applied()
	// notReady says why nothing is in force yet.
	notReady(reason error)
}

// content is what the lines of one file come to.
type content interface {
	// apply puts a line in force. ended is when the line was written, if it
	// ends a key.
	apply(line []byte) (ended time.Time, err error)
}

// FollowConfig says which file to follow, and how.
type FollowConfig struct {
	Path string
	Into Target
	// MissingOK: a file that is not there at start is one without keys.
	MissingOK bool
	// Every is how often to look without having been told of a change, in case
	// the news was lost. Zero is 15 s.
	Every time.Duration
	// Settle is how long a file that takes another's place must have been left
	// alone before it is read, since it may still be being written. A look is
	// put off for four times as long at most. Zero is 50 ms.
	Settle time.Duration

	FS       journal.FS       // nil: the operating system's
	Log      *slog.Logger     // nil: nothing is logged
	Observer Observer         // nil: nobody is told
	Now      func() time.Time // nil: time.Now
}

// Follower keeps a Target as a file says. What is appended is in force within
// milliseconds; a file that takes the other's place is read anew and put in
// force as a whole; while there is none that can be read, what was last read
// stays in force.
type Follower struct {
	reader  reader
	every   time.Duration
	reload  chan struct{}
	stop    chan struct{}
	done    chan struct{}
	closing sync.Once
	watched map[string]bool
	watch   *fsnotify.Watcher // nil where the system has none to give
}

// Follow reads the file and follows it from then on. A file that cannot be
// read is no error of Follow: the target says that it is not ready, and becomes
// ready once the file can be read.
func Follow(cfg FollowConfig) (*Follower, error) { return follow(cfg, fsnotify.NewWatcher) }

func follow(cfg FollowConfig, newWatcher func() (*fsnotify.Watcher, error)) (*Follower, error) {
	if cfg.Into == nil || cfg.Path == "" {
		return nil, errors.New("following a file needs its path and where to read it into")
	}
	if cfg.Every == 0 {
		cfg.Every = 15 * time.Second
	}
	f := &Follower{
		reader: newReader(cfg), every: cfg.Every, watched: map[string]bool{},
		reload: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	watch, err := newWatcher()
	if err != nil {
		// Nodes run out of inotify instances (128 a user), and a revoked key must die all the same.
		f.every = min(f.every, time.Second)
		f.reader.log.Warn("no news of file changes: looking now and then only", "file", cfg.Path, "every", f.every, "error", err)
	} else {
		f.watch = watch
	}
	f.look(false)
	go f.run()
	return f, nil
}

// Reload has the whole file read anew now, without waiting for it.
func (f *Follower) Reload() {
	select {
	case f.reload <- struct{}{}:
	default: // one is due already
	}
}

// Close stops following and waits until it has stopped. The target stays as it is.
func (f *Follower) Close() error {
	f.closing.Do(func() { close(f.stop) })
	<-f.done
	return nil
}

func (f *Follower) run() {
	defer close(f.done)
	defer f.release()
	events, errs := f.news()
	timer := time.NewTimer(f.every)
	defer timer.Stop()
	for {
		anew := false
		select {
		case <-f.stop:
			return
		case <-f.reload:
			anew = true
		case <-timer.C:
			f.watched = map[string]bool{} // a folder that was removed and made again needs a new watch
		case <-events:
			drain(events)
		case err := <-errs: // an overflow: something was missed, nobody knows what
			f.reader.log.Warn("news of file changes was lost", "file", f.reader.cfg.Path, "error", err)
		}
		began := time.Now()
		wait := f.look(anew)
		if f.reader.unfinished() && !f.rest(4*time.Since(began)) {
			return
		}
		if wait == 0 {
			wait = f.every
		}
		timer.Reset(wait)
	}
}

// rest keeps a file that takes long to read, and cannot be put in force as it
// is, from being read again for each of many changes. It tells whether to go on.
func (f *Follower) rest(d time.Duration) bool {
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

func (f *Follower) news() (chan fsnotify.Event, chan error) {
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

// look brings the target up to date. It watches before it looks, so that what
// happens in between is seen. It returns when to look again at the latest,
// zero for no wish.
func (f *Follower) look(anew bool) time.Duration {
	for range 4 {
		more := f.watchFolders()
		wait := f.reader.look(anew)
		if !more {
			return wait
		}
		anew = false
	}
	return f.every
}

// watchFolders watches the folder of the path and that of the file it leads
// to, and tells whether one of them is new. Folders are watched, never files:
// a file's watch ends with the file.
func (f *Follower) watchFolders() bool {
	if f.watch == nil {
		return false
	}
	wanted := f.reader.folders()
	for folder := range f.watched {
		if !wanted[folder] {
			_ = f.watch.Remove(folder)
			delete(f.watched, folder)
		}
	}
	more := false
	for folder := range wanted {
		if f.watched[folder] {
			continue
		}
		if err := f.watch.Add(folder); err != nil {
			f.reader.log.Debug("watching folder", "folder", folder, "error", err)
			continue
		}
		f.watched[folder] = true
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
