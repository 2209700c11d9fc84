package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"keyward/apikey"
	"keyward/store/journal/filesystem"
)

const (
	pollEvery    = 2 * time.Second
	reportEvery  = 10 * time.Second
	contactEvery = 15 * time.Second // how often the files beside the copies get the last contact
	callTimeout  = 10 * time.Second // of a source that does not answer
	// reportTimeout is shorter: changes come to the copies only after a report.
	reportTimeout = 2 * time.Second
	minBackoff    = 250 * time.Millisecond
	maxBackoff    = 10 * time.Second
	// minPause is between two readings that hints cause: any login may notify.
	minPause  = 20 * time.Millisecond
	pageLines = 1000
)

// File is the copy of the records of one kind.
type File struct {
	Kind Kind
	Path string
}

// Config is what a Puller copies, and how.
type Config struct {
	Name   string // of this replica, in reports
	Source Source
	// Origin names where the source is. When another one was last heard from says nothing.
	Origin string
	// Files are the copies. A snapshot puts them in force in this order: what restricts
	// others, such as revocations, is to be first.
	Files  []File
	Hasher *apikey.Hasher // of keys and OAuth clients
	// Await returns nil once all that was written to the file of that kind before the
	// call is in force, the last of it by the change seq; nil: it is at once.
	Await func(ctx context.Context, kind Kind, seq int64) error
	// MaxStaleness is how long after the last contact with the source the copies count.
	// Zero: always.
	MaxStaleness time.Duration

	FS  filesystem.FS    // nil: the operating system's
	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // nil: time.Now
}

// Puller keeps copies equal to a source. Of several processes that copy to the same
// files, one does, and the others wait for its lock.
type Puller struct {
	cfg     Config
	copies  []*localCopy
	contact atomic.Pointer[time.Time]
	accept  atomic.Bool // AcceptRestore was called

	// What the goroutine of Run knows.
	at       int64  // the line up to which all copies are
	digest   string // its digest
	unforced map[*localCopy]int64
	read     time.Time // when the source was last asked
	reported time.Time
	told     told  // as last reported
	beyond   int64 // Head.Beyond, as last read
	inVain   int   // snapshots since the journal last continued the copies

	mu         sync.Mutex
	status     Status
	progressed chan struct{} // is closed when Status.Applied grows

	wake chan struct{}
	stop context.CancelFunc
	done chan struct{}
}

// New checks the configuration, and reads when the source was last heard of.
func New(cfg Config) (*Puller, error) {
	if cfg.Source == nil || cfg.Hasher == nil || len(cfg.Files) == 0 {
		return nil, errors.New("a replica needs a source, a hasher and files")
	}
	if cfg.FS == nil {
		cfg.FS = filesystem.OS()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Await == nil {
		cfg.Await = func(context.Context, Kind, int64) error { return nil }
	}
	p := &Puller{cfg: cfg, progressed: make(chan struct{}), wake: make(chan struct{}, 1), done: make(chan struct{})}
	seen := map[Kind]bool{}
	for _, file := range cfg.Files {
		c, err := newCopy(file, &cfg)
		if err != nil {
			return nil, err
		}
		if seen[file.Kind] {
			return nil, fmt.Errorf("two copies of the kind %q", file.Kind)
		}
		seen[file.Kind] = true
		p.copies = append(p.copies, c)
	}
	p.status = Status{Name: cfg.Name, Resyncs: map[Reason]uint64{}}
	p.recallContact()
	return p, nil
}

// Start copies in a goroutine, until Close.
func (p *Puller) Start() {
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go func() {
		defer close(p.done)
		p.run(ctx)
	}()
}

// Close stops a Puller that was started, and waits until it has stopped.
func (p *Puller) Close() error {
	p.stop()
	<-p.done
	return nil
}

// AcceptRestore has the copies follow the database in all that it says, also where that
// brings back what this replica has seen ended. A new epoch of the source does the same
// for all replicas.
func (p *Puller) AcceptRestore() {
	p.accept.Store(true)
	p.ring()
}

// run waits for the lock, and copies until ctx ends. What fails is tried again from what
// is durable.
func (p *Puller) run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		lock, err := p.takeLock(ctx)
		if err == nil {
			err = p.follow(ctx, &failures)
			err = errors.Join(err, lock.Close())
		}
		if ctx.Err() != nil {
			return
		}
		p.update(func(s *Status) { s.Up, s.Err = false, err })
		if failures == 0 {
			p.cfg.Log.Warn("the store is unavailable: its copies stay in force", "error", err)
		}
		p.pause(ctx, backoff(failures, err), err)
		failures++
	}
}

// takeLock waits until no other process copies to the files.
func (p *Puller) takeLock(ctx context.Context) (filesystem.File, error) {
	path, err := p.cfg.FS.Resolve(p.copies[0].path + progressSuffix + ".lock")
	if err != nil {
		return nil, err
	}
	for {
		lock, err := p.cfg.FS.Lock(ctx, path, nil, pollEvery)
		if !errors.Is(err, filesystem.ErrBusy) {
			return lock, err
		}
		p.recallContact()
	}
}

// backoff returns how long to wait after that many failures. It differs between replicas,
// so that a source which is available again does not get all of them at once.
func backoff(failures int, err error) time.Duration {
	d := min(maxBackoff, minBackoff<<min(failures, 10))
	var busy *BusyError
	if errors.As(err, &busy) {
		d = max(d, min(busy.Wait, time.Minute))
	}
	return d/2 + rand.N(d/2+1)
}

// pause waits before another attempt. A change that this process has made ends it: the
// source answers, and that change is to be in force. A source that is busy stays so.
func (p *Puller) pause(ctx context.Context, d time.Duration, why error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	wake := p.wake
	var busy *BusyError
	if errors.As(why, &busy) {
		wake = nil
	}
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}

// follow copies until something fails.
func (p *Puller) follow(ctx context.Context, failures *int) error {
	if err := p.load(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		more, err := p.pull(ctx)
		if err != nil {
			return err
		}
		if *failures > 0 {
			p.cfg.Log.Info("the store is available again")
		}
		*failures = 0
		p.report(ctx)
		if !more {
			p.awaitMore(ctx)
		}
	}
	return ctx.Err()
}

// awaitMore waits until the source may have more, or the next poll is due. Hints that come
// soon after a reading are taken together.
func (p *Puller) awaitMore(ctx context.Context) {
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	for hints := p.cfg.Source.Wake(); ; hints = nil {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
			return
		case <-timer.C:
			return
		case <-hints:
			wait := minPause - max(0, p.cfg.Now().Sub(p.read))
			if wait <= 0 {
				return
			}
			timer.Reset(wait)
		}
	}
}

// told is what is reported at once when it has changed.
type told struct {
	epoch      string
	applied    int64
	held, lost int
}

// report records how this replica is, when that has changed and periodically. The copies
// do not depend on it.
func (p *Puller) report(ctx context.Context) {
	s := p.Status()
	now, tell := p.cfg.Now(), told{s.Epoch, s.Applied, s.Held, s.Lost.Total}
	if tell == p.told && now.Sub(p.reported) < reportEvery {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	p.reported, p.told = now, tell
	if err := p.cfg.Source.Report(ctx, s); err != nil {
		p.cfg.Log.Debug("the store did not take this replica's report", "error", err)
	}
}
