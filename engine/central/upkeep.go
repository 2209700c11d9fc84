package central

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"keyward/store/postgres/upkeep"
)

// How long after the start, and how often, the database is tidied, at most.
const (
	firstUpkeep = time.Minute
	upkeepEvery = time.Hour
)

// Upkeep removes regularly from the database what need not be kept. Consoles do so, by
// their login; several may at once.
type Upkeep struct {
	stop context.CancelFunc
	done chan struct{}
}

// StartUpkeep begins an Upkeep.
func (s *Store) StartUpkeep(keep upkeep.Keep) *Upkeep {
	ctx, stop := context.WithCancel(context.Background())
	u := &Upkeep{stop, make(chan struct{})}
	go func() {
		defer close(u.done)
		for wait := firstUpkeep; ; wait = upkeepEvery {
			timer := time.NewTimer(wait/2 + rand.N(wait/2))
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
				s.tidy(ctx, keep)
			}
		}
	}()
	return u
}

// Close ends the Upkeep.
func (u *Upkeep) Close() error {
	u.stop()
	<-u.done
	return nil
}

// tidy is one time. What fails is tried again the next time.
func (s *Store) tidy(ctx context.Context, keep upkeep.Keep) {
	removed, err := upkeep.Run(ctx, s.DB, keep)
	if removed != (upkeep.Removed{}) {
		s.cfg.Log.Info("the store was tidied", slog.Group("removed",
			"journal_lines", removed.Lines, "audit_entries", removed.Entries, "revocations", removed.Revocations, "replicas", removed.Replicas))
	}
	if err == nil {
		err = s.usage().Fold(ctx)
	}
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.Warn("the store is not tidied", "error", err)
	}
}
