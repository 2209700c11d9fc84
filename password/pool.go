package password

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Key names a computation: a keyed hash of whatever it is made from.
type Key = [32]byte

// ErrBusy says that nothing was computed, or not soon enough: the queue is
// full, the user has a computation under way, or the wait was too long.
var ErrBusy = errors.New("password: no room to hash")

// errPanicked leaves out what the panic said, which may quote a password.
var errPanicked = errors.New("password: hashing panicked")

// Config says how much a Pool does at a time.
type Config struct {
	// Workers hash at the same time; 0 is half of GOMAXPROCS and at least one.
	Workers int
	// Room is how many jobs of each class may wait; 0 is eight a worker.
	Room int
	// MaxQueued is how long a job may wait to be begun; 0 is 100 ms. One that
	// waited longer is dropped: who asked has little time left for the hash.
	MaxQueued time.Duration
	// MaxWait is how long a caller waits; 0 is 200 ms, less than the 250 ms that Envoy does.
	MaxWait time.Duration
}

const (
	roomOfWorker     = 8
	defaultMaxQueued = 100 * time.Millisecond
	defaultMaxWait   = 200 * time.Millisecond
)

// Job is a computation that is to be done on the pool.
type Job[V any] struct {
	Standing Standing
	// Owner is the user whose password it is. But for familiar ones, an owner
	// has one job at a time, so that guesses at one name do not fill the queue.
	Owner string
	// Run computes. It goes on when the callers have left.
	Run func() (V, error)
}

// Pool bounds how many password hashes are computed at a time, and how long
// anybody waits for one. What it runs should do the hashing elsewhere, as
// [Processes] does: in this process it would be in the way of everything else.
// Measured on two cores that a flood kept busy, p99 of key checks meanwhile: 6
// to 11 ms in a flood that has nothing hashed, 9 to 21 ms with the
// hashing in this process, 6 to 11 ms with it in another of nice 5.
//
// Threads of low priority are no way out: argon2.IDKey computes on goroutines
// of its own, which no thread of ours holds; and a thread of nice 19 that the
// kernel has put aside still holds its P, so that every stop of the world
// waits for it (51 to 169 ms with two more programs on the cores). The 19 MiB
// that each argon2.IDKey leaves to the collector cost several milliseconds more.
type Pool[V any] struct {
	cfg     Config
	running atomic.Int64
	workers sync.WaitGroup

	mu      sync.Mutex
	wake    *sync.Cond // a job came, or the end
	closed  bool
	queue   queue[V]
	flights map[Key]*flight[V]
	owners  map[string]struct{} // who has a job that is not familiar
}

// flight is a job under way, and what came of it once done is closed.
type flight[V any] struct {
	job   Job[V]
	key   Key
	since time.Time
	done  chan struct{}
	value V
	err   error
}

// NewPool starts the workers. Close ends them.
func NewPool[V any](cfg Config) *Pool[V] {
	if cfg.Workers <= 0 {
		cfg.Workers = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if cfg.Room <= 0 {
		cfg.Room = roomOfWorker * cfg.Workers
	}
	if cfg.MaxQueued <= 0 {
		cfg.MaxQueued = defaultMaxQueued
	}
	if cfg.MaxWait <= 0 {
		cfg.MaxWait = defaultMaxWait
	}
	p := &Pool[V]{cfg: cfg, flights: map[Key]*flight[V]{}, owners: map[string]struct{}{}}
	p.wake = sync.NewCond(&p.mu)
	for range cfg.Workers {
		p.workers.Go(p.work)
	}
	return p
}

// Workers is how many hashes may be computed at a time.
func (p *Pool[V]) Workers() int { return p.cfg.Workers }

// InFlight is how many hashes are being computed now.
func (p *Pool[V]) InFlight() int { return int(p.running.Load()) }

// Close lets the hashes that are being computed end and drops those that wait.
func (p *Pool[V]) Close() {
	p.mu.Lock()
	p.closed = true
	for f := p.queue.pop(); f != nil; f = p.queue.pop() {
		p.land(f, ErrBusy)
	}
	p.wake.Broadcast()
	p.mu.Unlock()
	p.workers.Wait()
}

// Do returns what the computation of that key comes to. Callers of the same
// key at the same time share one: only the first of them has admit called,
// which tells what is to be computed, or why it must not. admit is called under the
// pool's lock and must be quick. The error is admit's, the job's, or ErrBusy
// where the caller has to be told something before there is an outcome; the
// computation may then go on without it.
func (p *Pool[V]) Do(ctx context.Context, key Key, admit func() (Job[V], error)) (V, error) {
	var none V
	if ctx.Err() != nil {
		return none, ErrBusy
	}
	f, err := p.join(key, admit)
	if err != nil {
		return none, err
	}
	patience := time.NewTimer(p.cfg.MaxWait)
	defer patience.Stop()
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		return none, ErrBusy
	case <-patience.C:
		return none, ErrBusy
	}
}

// join returns the computation of that key that is under way, or begins one.
func (p *Pool[V]) join(key Key, admit func() (Job[V], error)) (*flight[V], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.expire(now)
	if f := p.flights[key]; f != nil {
		return f, nil
	}
	job, err := admit()
	if err != nil {
		return nil, err
	}
	if _, taken := p.owners[job.Owner]; p.closed || taken && job.Standing.Class != Familiar {
		return nil, ErrBusy
	}
	f := &flight[V]{job: job, key: key, since: now, done: make(chan struct{})}
	p.flights[key] = f
	if job.Standing.Class != Familiar {
		p.owners[job.Owner] = struct{}{}
	}
	if left := p.queue.push(f, p.cfg.Room); left != nil {
		p.land(left, ErrBusy)
	}
	p.wake.Signal()
	return f, nil
}

// expire drops what has waited for too long, so that it takes nobody's room.
func (p *Pool[V]) expire(now time.Time) {
	before := now.Add(-p.cfg.MaxQueued)
	for f := p.queue.expired(before); f != nil; f = p.queue.expired(before) {
		p.land(f, ErrBusy)
	}
}

// land ends a flight. It is called under the lock.
func (p *Pool[V]) land(f *flight[V], err error) {
	f.err = err
	delete(p.flights, f.key)
	if f.job.Standing.Class != Familiar {
		delete(p.owners, f.job.Owner)
	}
	close(f.done)
}

// work is a worker's life.
func (p *Pool[V]) work() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		p.expire(time.Now())
		if f := p.queue.pop(); f != nil {
			p.fly(f)
		} else if p.closed {
			return
		} else {
			p.wake.Wait()
		}
	}
}

// fly computes one job, without the lock, which it is called under.
func (p *Pool[V]) fly(f *flight[V]) {
	p.mu.Unlock()
	p.running.Add(1)
	value, err := f.run()
	p.running.Add(-1)
	p.mu.Lock()
	f.value = value
	p.land(f, err)
}

// run makes an error of a panic.
func (f *flight[V]) run() (value V, err error) {
	defer func() {
		if recover() != nil {
			var none V
			value, err = none, errPanicked
		}
	}()
	return f.job.Run()
}
