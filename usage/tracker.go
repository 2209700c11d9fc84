package usage

import (
	"log/slog"
	"sync"
	"time"

	"keyward/authz"
	"keyward/cache"
)

// Config configures a Tracker.
type Config struct {
	// File is the path of the usage file.
	File string
	// Store is flushed to instead of a file. Without either, the use is kept in memory
	// only.
	Store Store
	// Flush is the interval between flushes. Zero means 10 s. A crash
	// may lose what was observed in that time.
	Flush time.Duration
	// MaxKeys bounds the keys held in memory: all, or with a file or a Store those used
	// since the last flush. Zero is 100,000, which take up to 250 MB if all have 20
	// outcomes with paths of usual length. Beyond it the least recently used keys
	// are evicted.
	MaxKeys int

	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // nil: time.Now
}

// Tracker records the use of keys. It implements authz.Observer.
type Tracker struct {
	cfg    Config
	memory *memory
	wake   chan struct{}
	stop   chan struct{}
	done   chan struct{}
	closed sync.Once

	store Store // nil: memory only
	log   *slog.Logger

	mu           sync.RWMutex // held while entries move from memory to the store
	pending      []byte       // lines taken from memory that are not in the store yet
	drained      daily        // of all keys: taken from memory, and in no line yet
	round        int          // counts flushes
	failingSince time.Time    // when the last error was logged; zero: no failure
}

// New starts a Tracker. The file is created when there is something to write.
func New(cfg Config) *Tracker {
	t := newTracker(cfg)
	if t.store == nil {
		close(t.done)
		return t
	}
	go t.run()
	return t
}

// newTracker returns a Tracker that does not flush by itself.
func newTracker(cfg Config) *Tracker {
	if cfg.Flush <= 0 {
		cfg.Flush = 10 * time.Second
	}
	if cfg.MaxKeys <= 0 {
		cfg.MaxKeys = 100_000
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	t := &Tracker{
		cfg: cfg, memory: newMemory(cfg.MaxKeys), store: cfg.Store, log: cfg.Log,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if t.store == nil && cfg.File != "" {
		t.store, t.log = newFileStore(cfg.File, cfg.Log, cfg.Now), cfg.Log.With("file", cfg.File)
	}
	if t.store == nil {
		t.memory.doorkeeper = cache.NewDoorkeeper(cfg.MaxKeys)
	}
	return t
}

// Observe implements authz.Observer: it records a decision about a known key. It
// does not wait for the disk.
func (t *Tracker) Observe(r *authz.Request, d *authz.Decision) {
	if d.Principal == nil || d.Principal.KeyID == "" {
		return
	}
	id := d.Principal.KeyID
	seen := event{
		at: d.At.UnixMicro(), reason: d.Reason, status: d.Status(),
		method: r.Method, path: r.PathAsSent(), address: r.Client(), previousSecret: d.Principal.PreviousSecret,
	}
	if t.memory.observe(id, &seen) {
		select {
		case t.wake <- struct{}{}:
		default: // it is awake already, or has no store
		}
	}
}

// Get returns the usage of a key: what the store has and what is still in memory.
// A key that was never used has no First and 30 empty Days. Get reads the store.
func (t *Tracker) Get(id string) (Usage, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var sum aggregate
	add := sum.adder(id)
	if t.store != nil {
		if err := t.store.Lines(id, add); err != nil {
			return Usage{}, err
		}
	}
	held := t.memory.shardOf(id).get(nil, id)
	for _, lines := range [][]byte{t.pending, held} {
		if err := eachPendingLine(lines, add); err != nil {
			return Usage{}, err
		}
	}
	return sum.usage(t.cfg.Now()), nil
}

// Close flushes to the store and waits until that has succeeded or failed. Later
// observations are dropped.
func (t *Tracker) Close() error {
	t.closed.Do(func() { close(t.stop) })
	<-t.done
	return nil
}
