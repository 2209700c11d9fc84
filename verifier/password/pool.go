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
// full, others go before this one, or the wait was too long.
var ErrBusy = errors.New("password: no room to hash")

// errPanicked leaves out what the panic said, which may quote a password.
var errPanicked = errors.New("password: hashing panicked")

// Config says how much a Pool does at a time.
type Config struct {
	// Workers hash at the same time; 0 is half of GOMAXPROCS and at least one.
	Workers int
	// Room is how many jobs of each class may wait; 0 is sixteen a worker.
	Room int
	// MaxLate is how long a job may wait to be begun after the last of its callers
	// has left; 0 is 2 s. What is computed then, while there is nothing else
	// to do, is there for the one who asks again.
	MaxLate time.Duration
	// MaxWait is how long a caller without a deadline waits; 0 is 200 ms. One
	// that has a deadline waits almost until then, at most 2 s.
	MaxWait time.Duration
}

const (
	roomOfWorker   = 16
	defaultMaxLate = 2 * time.Second
	defaultMaxWait = 200 * time.Millisecond
	longestWait    = 2 * time.Second
	// timeToAnswer is what is left of a caller's deadline: Envoy's is 250 ms.
	timeToAnswer = 20 * time.Millisecond
	// timeToHash is what callers must have left for a hash to be of use to
	// them; where cores are busy one takes several times its 30 ms.
	timeToHash = 100 * time.Millisecond
)

// Job is a computation that is to be done on the pool.
type Job[V any] struct {
	Standing Standing
	// Owner is the user whose password it is. But for familiar ones, an owner has one job
	// running and one waiting, so that guesses at one name do not fill the queue. The
	// one that waits gives way to a newcomer unless it has the better standing:
	// among many who guess at a name, the one who knows the password gets its turn.
	Owner string
	// Run computes. It goes on when the callers have left.
	Run func() (V, error)
}

// Pool bounds how many password hashes are computed at a time, and how long
// anybody waits for one. What it runs should do the hashing elsewhere, as
// [Processes] does: in this process it would be in the way of everything else.
// Measured on two cores that a flood kept busy, p99 of key checks meanwhile: 6
// to 11 ms in a flood that has nothing hashed, 9 to 21 ms with the hashing in
// this process, and no more than the flood's own with it in another of lower priority.
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
	owners  map[string]owned[V]
}

// flight is a job under way, and what came of it once done is closed.
type flight[V any] struct {
	job   Job[V]
	key   Key
	until time.Time // the last of the callers waits
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
	if cfg.MaxLate <= 0 {
		cfg.MaxLate = defaultMaxLate
	}
	if cfg.MaxWait <= 0 {
		cfg.MaxWait = defaultMaxWait
	}
	p := &Pool[V]{cfg: cfg, flights: map[Key]*flight[V]{}, owners: map[string]owned[V]{}}
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
	all := func(*flight[V]) bool { return true }
	for f := p.queue.pop(all); f != nil; f = p.queue.pop(all) {
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
	wait := p.cfg.MaxWait
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(time.Until(deadline)-timeToAnswer, longestWait)
	}
	f, err := p.join(key, wait, admit)
	if err != nil {
		return none, err
	}
	patience := time.NewTimer(wait)
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
func (p *Pool[V]) join(key Key, wait time.Duration, admit func() (Job[V], error)) (*flight[V], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.expire(now)
	until := now.Add(wait)
	if f := p.flights[key]; f != nil {
		if f.until.Before(until) {
			f.until = until
		}
		return f, nil
	}
	job, err := admit()
	if err != nil {
		return nil, err
	}
	f := &flight[V]{job: job, key: key, until: until, done: make(chan struct{})}
	if p.closed || !p.claim(f, now) {
		return nil, ErrBusy
	}
	p.flights[key] = f
	if left := p.queue.push(f, p.cfg.Room, now); left != nil {
		p.land(left, ErrBusy)
	}
	p.wake.Signal()
	return f, nil
}

func (f *flight[V]) familiar() bool { return f.job.Standing.Class == Familiar }

// timely tells whether a caller would still be there when the hash is.
func (f *flight[V]) timely(now time.Time) bool { return now.Add(timeToHash).Before(f.until) }

// expire drops what nobody has waited for in a while.
func (p *Pool[V]) expire(now time.Time) {
	before := now.Add(-p.cfg.MaxLate)
	for f := p.queue.expired(before); f != nil; f = p.queue.expired(before) {
		p.land(f, ErrBusy)
	}
}

// land ends a flight. It is called under the lock.
func (p *Pool[V]) land(f *flight[V], err error) {
	f.err = err
	delete(p.flights, f.key)
	p.release(f)
	close(f.done)
}

// next takes the next job out of the queue: first those that somebody waits
// for, and familiar ones, which are as good as right and will be asked for again.
func (p *Pool[V]) next(now time.Time) *flight[V] {
	soon := func(f *flight[V]) bool {
		return p.mayBegin(f) && (f.familiar() || f.timely(now))
	}
	if f := p.queue.pop(soon); f != nil {
		return f
	}
	return p.queue.pop(p.mayBegin)
}

// work is a worker's life.
func (p *Pool[V]) work() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		now := time.Now()
		p.expire(now)
		if f := p.next(now); f != nil {
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
	p.begin(f)
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
