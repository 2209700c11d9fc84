package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"keyward/config"
	"keyward/manage/state"
	"keyward/reuse"
)

// sweepInterval is how often what has expired is removed from the state file.
const sweepInterval = time.Minute

// managedState is the open state file, which is swept in the background.
type managedState struct {
	*state.DB
	stop context.CancelFunc
	done sync.WaitGroup
}

// stateConfig is what the state file is opened by.
type stateConfig struct {
	path    string
	session config.Session
}

// openState opens the state file.
func (s *Snapshot) openState(old *reuse.Generation) (err error) {
	file := stateConfig{s.cfg.State.File, s.cfg.Console.Session}
	s.console.state, err = reuse.Or(&s.generation, old, "state", file, func() (*managedState, error) { return openStateFile(file, s.env.logger) })
	return err
}

func openStateFile(cfg stateConfig, log *slog.Logger) (*managedState, error) {
	db, err := state.Open(context.Background(), state.Config{Path: cfg.path, SessionIdle: cfg.session.Idle, SessionMax: cfg.session.Max})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &managedState{DB: db, stop: stop}
	s.done.Go(func() { s.sweep(ctx, log) })
	return s, nil
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
				log.Error("state file not swept", "error", err)
			}
		}
	}
}

// Close ends the sweeping and closes the file.
func (s *managedState) Close() error {
	s.stop()
	s.done.Wait()
	return s.DB.Close()
}
