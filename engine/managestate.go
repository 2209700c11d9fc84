package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"keyward/config"
	"keyward/engine/central"
	"keyward/manage/state"
	"keyward/reuse"
)

// sweepInterval is how often what has expired is removed from the state.
const sweepInterval = time.Minute

// managedState is the open state, which is swept in the background.
type managedState struct {
	*state.DB
	stop context.CancelFunc
	done sync.WaitGroup
}

// stateConfig is what the state is opened by.
type stateConfig struct {
	path    string         // of a file
	central *central.Store // nil: there is a file
	session config.Session
}

// openState opens the state: a file, or that in the central store.
func (s *Snapshot) openState(old *reuse.Generation) (err error) {
	cfg := stateConfig{s.cfg.State.File, s.central, s.cfg.Console.Session}
	s.console.state, err = reuse.Or(&s.generation, old, "state", cfg, func() (*managedState, error) {
		db, err := cfg.open()
		if err != nil {
			return nil, err
		}
		ctx, stop := context.WithCancel(context.Background())
		m := &managedState{DB: db, stop: stop}
		m.done.Go(func() { m.sweep(ctx, s.env.logger) })
		return m, nil
	})
	return err
}

func (c *stateConfig) open() (*state.DB, error) {
	if c.central != nil {
		return state.OpenShared(state.SharedConfig{Database: c.central.DB, SessionIdle: c.session.Idle, SessionMax: c.session.Max}), nil
	}
	return state.Open(context.Background(), state.Config{Path: c.path, SessionIdle: c.session.Idle, SessionMax: c.session.Max})
}

func (s *managedState) sweep(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
				log.Error("what has expired is not removed from the state", "error", err)
			}
		}
	}
}

// Close ends the sweeping and closes the state.
func (s *managedState) Close() error {
	s.stop()
	s.done.Wait()
	return s.DB.Close()
}
