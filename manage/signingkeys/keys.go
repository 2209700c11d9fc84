package signingkeys

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// MaxTokenTTL bounds Config.TokenTTL. It is taken for the TTL of a key whose record
	// is lost.
	MaxTokenTTL = 24 * time.Hour
	// clockSkew is by how much the clocks of two machines may differ.
	clockSkew = time.Minute
	// maxKeys bounds the set: no rotation begins with that many.
	maxKeys = 16
	// maxConflicts bounds how often a change is tried again since another process
	// made one.
	maxConflicts = 10
)

// Config is what the issuer signs with, and for how long.
type Config struct {
	Storage   Storage
	Algorithm Algorithm // of new keys; another one is a reason to rotate

	// PublishBefore is how long every process has a new key in its JWKS before it
	// signs. Zero: until each can have read it.
	PublishBefore time.Duration
	RotateEvery   time.Duration // how long a key signs; above zero
	TokenTTL      time.Duration // how long a token is valid at most; above zero, at most MaxTokenTTL
	Leeway        time.Duration // by which verifiers accept a token longer; zero: a minute

	// ReadEvery is how often each process calls Maintain, or more often; zero: each
	// minute. All processes have the same.
	ReadEvery time.Duration
	// MaxStaleness is how long after it has read the set a process may sign; zero: ten
	// minutes. It is longer than ReadEvery, and the same in all processes.
	MaxStaleness time.Duration

	Now       func() time.Time     // the wall clock; nil: time.Now
	Monotonic func() time.Duration // a clock that only runs forwards; nil: the system's
}

// withDefaults returns the configuration with what its zero values mean.
func (c Config) withDefaults() (Config, error) {
	setDefault := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	setDefault(&c.Leeway, time.Minute)
	setDefault(&c.ReadEvery, time.Minute)
	setDefault(&c.MaxStaleness, 10*time.Minute)
	now := c.Now
	if now == nil {
		now = time.Now
	}
	// Without its monotonic reading, by which Sub would ignore what changed the clock.
	c.Now = func() time.Time { return now().Round(0).UTC() }
	if c.Monotonic == nil {
		start := time.Now()
		c.Monotonic = func() time.Duration { return time.Since(start) }
	}
	switch {
	case c.Storage == nil:
		return c, errors.New("signing keys need a storage")
	case !c.Algorithm.Known():
		return c, fmt.Errorf("unknown signing algorithm %q", c.Algorithm)
	case c.TokenTTL <= 0 || c.TokenTTL > MaxTokenTTL:
		return c, fmt.Errorf("tokens cannot be valid for %v: it must be above zero, and at most %v", c.TokenTTL, MaxTokenTTL)
	case c.RotateEvery <= 0 || c.PublishBefore < 0 || c.Leeway < 0 || c.ReadEvery < 0:
		return c, errors.New("the times of signing keys must not be negative, and keys must sign for some time")
	case c.MaxStaleness <= c.ReadEvery:
		return c, fmt.Errorf("signing keys are read every %v, and tokens must be signed for longer than that after it", c.ReadEvery)
	}
	return c, nil
}

// readByAll is after which time every process that reads the set every ReadEvery has read
// what was stored, also if it is late by as much.
func (c *Config) readByAll() time.Duration { return 2 * c.ReadEvery }

// publishFor is how long a new key is Next.
func (c *Config) publishFor() time.Duration { return c.PublishBefore + c.readByAll() }

// keepFor is how long a key is Retiring: a process that reads late may sign with it for
// MaxStaleness, and its last token is accepted until its exp by a clock that was ahead,
// and the leeway, have passed by a clock that is behind.
func (c *Config) keepFor(k *Key) time.Duration {
	return c.MaxStaleness + k.TokenTTL + c.Leeway + 2*clockSkew
}

// Keys are the signing keys of one process. Its methods may be called by several
// goroutines.
type Keys struct {
	cfg  Config
	view atomic.Pointer[view] // replaced under mu

	mu      sync.Mutex
	seen    map[string]observation // by the id of the key
	ended   map[string]bool        // keys that were in the set once, and have been removed
	lost    map[string]bool        // keys whose loss was reported
	spare   crypto.Signer          // the key that was made last, which may not be stored yet
	spareID string
	pending error // what Maintain is to report
}

// Open reads the keys, and makes the first one. After an error, such as a storage that
// does not answer, it may be called again. That a key is lost is not an error here: the
// next Maintain returns it.
func Open(ctx context.Context, cfg Config) (*Keys, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	k := &Keys{cfg: cfg, ended: map[string]bool{}, lost: map[string]bool{}}
	if k.pending, err = k.update(ctx, k.advance); err != nil {
		return nil, err
	}
	return k, nil
}

// Maintain reads the keys, and does what is due: it makes the first key and the next one,
// has the next one sign, and removes those whose tokens have expired. It is to be called
// every Config.ReadEvery, also while it fails: what was read last stays in force then, and
// signs for Config.MaxStaleness.
//
// Some errors report what has happened, once: ErrLost, ErrWentBack and ErrDamaged. What
// is due was done all the same. ErrTooManyKeys is returned as long as a rotation waits.
func (k *Keys) Maintain(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	report, err := k.update(ctx, k.advance)
	report, k.pending = errors.Join(k.pending, report), nil
	return errors.Join(report, err)
}

// Rotate makes a new key, which signs once it was published for Config.PublishBefore.
// Nothing changes if there is such a key already. It is ErrTooManyKeys if too many earlier
// ones are still needed.
//
// With revokeOld the new key signs at once, and all others are removed: the tokens that
// they signed are no longer valid. Other processes follow when they call Maintain. Until
// then they publish, and sign with, what is removed.
func (k *Keys) Rotate(ctx context.Context, revokeOld bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	report, err := k.update(ctx, func(set *Set, now time.Time) (bool, error) {
		switch {
		case revokeOld:
			set.Keys = nil
			return k.add(set, Signing, now)
		case set.find(Next) != nil:
			return false, nil
		case len(set.Keys) >= maxKeys:
			return false, ErrTooManyKeys
		default:
			return k.add(set, Next, now)
		}
	})
	return errors.Join(report, err)
}

// update reads the set, and stores and puts in force what change makes of it. The report
// is what was found or could not be done, while the keys are in force.
func (k *Keys) update(ctx context.Context, change func(*Set, time.Time) (bool, error)) (report, err error) {
	for range maxConflicts {
		report, err = k.tryUpdate(ctx, change)
		if !errors.Is(err, ErrConflict) {
			return report, err
		}
	}
	return report, err
}

func (k *Keys) tryUpdate(ctx context.Context, change func(*Set, time.Time) (bool, error)) (report, err error) {
	now, readIn := k.cfg.Now(), k.cfg.Monotonic()
	stored, err := k.cfg.Storage.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the signing keys: %w", err)
	}
	set := stored.clone()
	set.Damaged = nil
	wentBack := k.putBack(&set, now)
	lost := k.findLost(&set)
	grown := k.measure(&set, k.cfg.Monotonic())
	changed, undone := change(&set, now)
	if changed || grown || wentBack != nil || stored.Damaged != nil {
		set.Version = max(stored.Version, k.version()) + 1
		err = k.cfg.Storage.Store(ctx, stored.Version, set)
		if !errors.Is(err, ErrConflict) {
			k.spare = nil
		}
		switch {
		case errors.Is(err, ErrConflict), err != nil && wentBack != nil:
			return nil, err // what was in force stays so
		case err != nil:
			set, err = stored, fmt.Errorf("storing the signing keys: %w", err)
		default:
			k.measure(&set, k.cfg.Monotonic()) // new keys from now on
		}
	}
	if errView := k.install(set, now, readIn); errView != nil {
		return nil, errView
	}
	return errors.Join(lost, wentBack, stored.Damaged, undone), err
}

// version returns that of the set in force.
func (k *Keys) version() int64 {
	if v := k.view.Load(); v != nil {
		return v.set.Version
	}
	return 0
}

// install puts the set in force.
func (k *Keys) install(set Set, readAt time.Time, readIn time.Duration) error {
	next, err := newView(set, k.cfg.TokenTTL, readAt, readIn)
	if err != nil {
		return err
	}
	if last := k.view.Load(); last != nil {
		for i := range last.set.Keys {
			if id := last.set.Keys[i].ID; set.byID(id) == nil {
				k.ended[id] = true
			}
		}
	}
	for i := range set.Keys {
		k.lost[set.Keys[i].ID] = set.Keys[i].Private == nil
	}
	k.view.Store(next)
	return nil
}

// Public returns the JWKS with the keys that may have signed a token, and the next one
// (RFC 7517 section 5). The caller must not change it.
func (k *Keys) Public() []byte { return k.view.Load().jwks }

// Status is what a listing shows of a key.
type Status struct {
	Record
	// Until is when the next state of the key is due, at the earliest.
	Until time.Time
	Lost  error // why it is not published; nil: it is
}

// Status returns the keys in force, in the order in which they were made.
func (k *Keys) Status() []Status {
	set := k.view.Load().set
	return k.cfg.statusOf(&set, k.cfg.Now())
}

// ReadStatus returns the keys that the storage has, in the order in which they were made. It
// changes nothing, and needs no process that maintains the keys. Damaged records are
// ErrDamaged.
func ReadStatus(ctx context.Context, cfg Config) ([]Status, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	set, err := cfg.Storage.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the signing keys: %w", err)
	}
	return cfg.statusOf(&set, cfg.Now()), set.Damaged
}

func (c *Config) statusOf(set *Set, now time.Time) (all []Status) {
	for i := range set.Keys {
		key := &set.Keys[i]
		s := Status{Record: key.Record, Lost: key.Lost}
		switch key.State {
		case Next:
			s.Until = now.Add(c.publishFor() - key.Elapsed)
		case Signing:
			s.Until = key.Since.Add(c.RotateEvery)
		case Retiring:
			s.Until = now.Add(c.keepFor(key) - key.Elapsed)
		}
		all = append(all, s)
	}
	return all
}

// Age returns how long ago the key was made that signs; zero without one.
func (k *Keys) Age() time.Duration {
	key := k.view.Load().set.find(Signing)
	if key == nil {
		return 0
	}
	return max(0, k.cfg.Now().Sub(key.Created))
}
