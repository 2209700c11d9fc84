package central

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"keyward/store/postgres"
	"keyward/store/postgres/database"
	"keyward/store/postgres/source"
	"keyward/store/postgres/usagetable"
	"keyward/store/replica"
	"keyward/usage"
)

// Config is which store is used, and for which copies.
type Config struct {
	Database database.Config
	Name     string // of this replica, in the store's status
	// Files are the copies, in the order in which a snapshot puts them in force.
	Files []replica.File
	// InForce returns nil once all that the copy of that kind had before the call is in
	// force.
	InForce func(ctx context.Context, kind replica.Kind) error
	// MaxStaleness is how long after the last contact the copies count; zero: always.
	MaxStaleness time.Duration
	// Suspend is called with whether the copies are too old to decide by, by Enforce and
	// when that changes.
	Suspend func(suspend bool)
	Log     *slog.Logger
}

// Store is the central store, with the puller that copies it.
type Store struct {
	DB      *database.DB
	Records *postgres.Store

	cfg    Config
	puller *replica.Puller
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu        sync.Mutex
	enforced  bool
	suspended bool // by the last call of Suspend
}

// Open begins to copy the store. What is decided stays as it is until Enforce.
func Open(cfg Config) (*Store, error) {
	db, err := database.Open(cfg.Database)
	if err != nil {
		return nil, err
	}
	journal := source.New(db)
	puller, err := replica.New(replica.Config{
		Name: cfg.Name, Source: journal, Origin: cfg.Database.URL.String(), Files: cfg.Files, Hasher: db.Hasher, MaxStaleness: cfg.MaxStaleness, Log: cfg.Log,
		Await: func(ctx context.Context, kind replica.Kind, _ int64) error { return cfg.InForce(ctx, kind) },
	})
	if err != nil {
		db.Close()
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Store{DB: db, Records: postgres.New(postgres.Config{DB: db}), cfg: cfg, puller: puller, stop: stop}
	puller.Start()
	s.done.Go(func() { journal.Listen(ctx, s.listening()) })
	s.done.Go(func() { s.watch(ctx) })
	return s, nil
}

// Close ends the copying and closes the connections.
func (s *Store) Close() error {
	s.stop()
	err := s.puller.Close()
	s.done.Wait()
	s.DB.Close()
	return err
}

// listening returns what logs whether changes are notified. That the database is
// unavailable the puller says.
func (s *Store) listening() func(error) {
	var pooled bool
	return func(err error) {
		switch {
		case errors.Is(err, source.ErrPooler) && !pooled:
			pooled = true
			s.cfg.Log.Warn("changes of the store are found by polling alone, within seconds", "error", err)
		case err == nil && pooled:
			pooled = false
			s.cfg.Log.Info("changes of the store are notified again")
		case err != nil:
			s.cfg.Log.Debug("changes of the store are not notified", "error", err)
		}
	}
}

// watchEvery is how often the age of the copies is looked at.
const watchEvery = 250 * time.Millisecond

// watch has the copies suspended while they are too old.
func (s *Store) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.suspend()
		}
	}
}

// Enforce has what is decided depend on how old the copies are, from now on. Of several
// stores one does: another may have left the records suspended, or not.
func (s *Store) Enforce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enforced, s.suspended = true, s.puller.Stale()
	s.cfg.Suspend(s.suspended)
	s.logSuspended()
}

// Yield ends Enforce, and leaves the records as they are for another store.
func (s *Store) Yield() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enforced = false
}

func (s *Store) suspend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	stale := s.puller.Stale()
	if !s.enforced || stale == s.suspended {
		return
	}
	s.suspended = stale
	s.cfg.Suspend(stale)
	if s.logSuspended(); !stale {
		s.cfg.Log.Info("the store was heard from: keys and users are decided again")
	}
}

// logSuspended says that the copies are too old. Before the first contact of all there are
// none, which is how every replica begins: if the store does not answer, the puller says
// so.
func (s *Store) logSuspended() {
	switch {
	case !s.suspended:
	case s.puller.Status().Contact.IsZero():
		s.cfg.Log.Info("nothing was heard from the store yet: keys and users are denied until it answers")
	default:
		s.cfg.Log.Error("nothing was heard from the store for too long: keys and users are denied", "max_staleness", s.cfg.MaxStaleness)
	}
}

// Usage returns where this replica records the use of keys, for one tracker.
func (s *Store) Usage() usage.Store { return s.usage() }

func (s *Store) usage() *usagetable.Table {
	return usagetable.New(usagetable.Config{DB: s.DB, Replica: s.cfg.Name, Log: s.cfg.Log})
}

// Status returns how the copies are.
func (s *Store) Status() replica.Status { return s.puller.Status() }

// ErrStale is copies that are too old to decide by.
var ErrStale = errors.New("nothing was heard from the store for longer than store.max_staleness")

// Ready returns why some requests cannot be checked by the copies; nil if all can.
func (s *Store) Ready() error {
	if s.puller.Stale() {
		return ErrStale
	}
	status := s.puller.Status()
	if errors.Is(status.Err, database.ErrPepper) {
		return status.Err
	}
	return nil
}

// Await returns nil once the change with the number, to a record of the kind, is in force
// in this process.
func (s *Store) Await(ctx context.Context, kind replica.Kind, seq int64) error {
	if err := s.puller.Await(ctx, seq); err != nil {
		return fmt.Errorf("waiting for change %d: %w", seq, err)
	}
	return s.cfg.InForce(ctx, kind)
}
