package password

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"keyward/authz"
	"keyward/verifier/admission"
)

// Key identifies a computation: a keyed hash of its inputs.
type Key = [32]byte

// ErrBusy means that nothing was computed, or not in time: the queue is full,
// tasks of higher priority go first, or the wait was too long.
var ErrBusy = errors.New("password: no room to hash")

// errPanicked omits the panic's value, which may quote a password.
var errPanicked = errors.New("password: hashing panicked")

// Config has the limits of a Pool.
type Config struct {
	// Workers is how many hashes are computed at a time; 0 is half of
	// GOMAXPROCS, at least one.
	Workers int
	// QueueSize is how many jobs of each class may wait; 0 is sixteen per
	// worker.
	QueueSize int
	// Linger is how long a task may stay queued after its last caller has left;
	// 0 is 2 s. A result computed then, by an idle worker, serves the retry.
	Linger time.Duration
	// MaxWait is how long a caller without a deadline waits; 0 is
	// [admission.DefaultMaxWait]. See [admission.QueueTimeout] for the others.
	MaxWait time.Duration
}

const (
	queuePerWorker = 16
	defaultLinger  = 2 * time.Second
	// timeToHash is what callers must have left for a hash to be of use to
	// them; on busy cores one takes several times its 30 ms.
	timeToHash = 100 * time.Millisecond
)

// Job is the verification of one password.
type Job struct {
	Priority Priority
	// User is the user whose password it is. Except for trusted tasks, a user
	// has one task running and one waiting, so that guesses at one name do not
	// fill the queue. The waiting one gives way to a newcomer unless its
	// priority is higher: among many clients that guess at a name, the one that
	// knows the password gets its turn.
	User string
	// Verify hashes the password and returns the stored hash that it matches.
	// It goes on after the callers have left.
	Verify func() (stored authz.Secret, err error)
}

// Pool bounds how many password hashes are computed at a time, and how long a
// caller waits for one. Its jobs should hash in other processes, as
// [WorkerProcesses] does: in this process hashing would delay everything else.
// Measured on two cores that a flood kept busy, p99 of key checks meanwhile: 6
// to 11 ms in a flood that has nothing hashed, 9 to 21 ms with the hashing in
// this process, and no more than the flood's own with it in another of lower
// priority.
//
// Threads of low priority do not help: argon2.IDKey computes on its own
// goroutines, which cannot be bound to a thread; and a thread of nice 19 that
// the kernel has preempted still holds its P, so that every stop of the world
// waits for it (51 to 169 ms with two more programs on the cores). The 19 MiB
// that each argon2.IDKey leaves to the collector cost several milliseconds
// more.
type Pool struct {
	cfg     Config
	running atomic.Int64
	workers sync.WaitGroup

	mu     sync.Mutex
	wake   *sync.Cond // a task was queued, or the pool closed
	closed bool
	queue  queue
	tasks  map[Key]*task
	users  map[string]userSlots
}

// task is a queued or running job, and its result once done is closed.
type task struct {
	job      Job
	key      Key
	deadline time.Time // until then the last of the callers waits
	done     chan struct{}
	stored   authz.Secret
	err      error
}

// NewPool starts the workers. Close ends them.
func NewPool(cfg Config) *Pool {
	if cfg.Workers <= 0 {
		cfg.Workers = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if cfg.QueueSize <= 0 {
		cfg.QueueSize = queuePerWorker * cfg.Workers
	}
	if cfg.Linger <= 0 {
		cfg.Linger = defaultLinger
	}
	if cfg.MaxWait <= 0 {
		cfg.MaxWait = admission.DefaultMaxWait
	}
	p := &Pool{cfg: cfg, tasks: map[Key]*task{}, users: map[string]userSlots{}}
	p.wake = sync.NewCond(&p.mu)
	for range cfg.Workers {
		p.workers.Go(p.work)
	}
	return p
}

// Workers returns how many hashes may be computed at a time.
func (p *Pool) Workers() int { return p.cfg.Workers }

// InFlight returns how many hashes are being computed now.
func (p *Pool) InFlight() int { return int(p.running.Load()) }

// Close drops the queued tasks and waits for the running ones.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	all := func(*task) bool { return true }
	for t := p.queue.pop(all); t != nil; t = p.queue.pop(all) {
		p.finish(t, ErrBusy)
	}
	p.wake.Broadcast()
	p.mu.Unlock()
	p.workers.Wait()
}

// Do returns the stored hash that the password of that key matches. Concurrent
// callers with the same key share one computation: admit is called for the
// first of them only, and returns the job, or why there must be none. It is
// called under the pool's lock and must be quick. The error is admit's, the
// job's, or ErrBusy if the caller has to be answered before there is a result;
// the computation may then outlive the call.
func (p *Pool) Do(ctx context.Context, key Key, admit func() (Job, error)) (stored authz.Secret, err error) {
	if ctx.Err() != nil {
		return authz.Secret{}, ErrBusy
	}
	wait := admission.QueueTimeout(ctx, p.cfg.MaxWait)
	t, err := p.join(key, wait, admit)
	if err != nil {
		return authz.Secret{}, err
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	select {
	case <-t.done:
		return t.stored, t.err
	case <-ctx.Done():
		return authz.Secret{}, ErrBusy
	case <-timeout.C:
		return authz.Secret{}, ErrBusy
	}
}

// join returns the task of that key, or queues one.
func (p *Pool) join(key Key, wait time.Duration, admit func() (Job, error)) (*task, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.expire(now)
	deadline := now.Add(wait)
	if t := p.tasks[key]; t != nil {
		if t.deadline.Before(deadline) {
			t.deadline = deadline
		}
		return t, nil
	}
	job, err := admit()
	if err != nil {
		return nil, err
	}
	t := &task{job: job, key: key, deadline: deadline, done: make(chan struct{})}
	if p.closed || !p.reserve(t, now) {
		return nil, ErrBusy
	}
	p.tasks[key] = t
	if dropped := p.queue.push(t, p.cfg.QueueSize, now); dropped != nil {
		p.finish(dropped, ErrBusy)
	}
	p.wake.Signal()
	return t, nil
}

func (t *task) trusted() bool { return t.job.Priority.Class == Trusted }

// meetsDeadline reports whether a caller would still wait when the hash is
// computed.
func (t *task) meetsDeadline(now time.Time) bool { return now.Add(timeToHash).Before(t.deadline) }

// expire drops the tasks whose callers have left longer than Linger ago.
func (p *Pool) expire(now time.Time) {
	before := now.Add(-p.cfg.Linger)
	for t := p.queue.expired(before); t != nil; t = p.queue.expired(before) {
		p.finish(t, ErrBusy)
	}
}

// finish ends a task. The lock must be held.
func (p *Pool) finish(t *task, err error) {
	t.err = err
	delete(p.tasks, t.key)
	p.release(t)
	close(t.done)
}

// next takes the next task out of the queue: first those with a waiting caller,
// and trusted ones, which are almost certainly right and will be retried.
func (p *Pool) next(now time.Time) *task {
	useful := func(t *task) bool {
		return p.mayStart(t) && (t.trusted() || t.meetsDeadline(now))
	}
	if t := p.queue.pop(useful); t != nil {
		return t
	}
	return p.queue.pop(p.mayStart)
}

// work is the loop of one worker.
func (p *Pool) work() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		now := time.Now()
		p.expire(now)
		if t := p.next(now); t != nil {
			p.run(t)
		} else if p.closed {
			return
		} else {
			p.wake.Wait()
		}
	}
}

// run computes one task. It is called under the lock and releases it meanwhile.
func (p *Pool) run(t *task) {
	p.start(t)
	p.mu.Unlock()
	p.running.Add(1)
	stored, err := t.call()
	p.running.Add(-1)
	p.mu.Lock()
	t.stored = stored
	p.finish(t, err)
}

// call turns a panic into an error.
func (t *task) call() (stored authz.Secret, err error) {
	defer func() {
		if recover() != nil {
			stored, err = authz.Secret{}, errPanicked
		}
	}()
	return t.job.Verify()
}
