package source

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"keyward/internal/postgrestest"
	"keyward/store/postgres"
	"keyward/store/postgres/upkeep"
	"keyward/store/replica"
)

// TestFollowDuringCuts: while lines are written and cut, one who follows finds each line
// after the one before, or a gap; never a hole.
func TestFollowDuringCuts(t *testing.T) {
	const changes = 150
	cfg := server.Database(t)
	db := open(t, cfg)
	s, j := postgres.New(postgres.Config{DB: db}), New(db)
	var all sync.WaitGroup
	written := make(chan struct{})
	all.Go(func() {
		defer close(written)
		for range changes {
			if _, err := create(context.Background(), s); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var cut int64
	owner := postgrestest.Connect(t, cfg)
	all.Go(func() {
		for ended := false; !ended; {
			select {
			case <-written:
				ended = true
			default:
			}
			_, err := owner.Exec(context.Background(), `UPDATE journal SET at = now() - interval '60 days' WHERE seq < (SELECT max(seq) FROM journal) - 3`)
			removed, errUpkeep := upkeep.Run(context.Background(), db, upkeep.Keep{Journal: 30 * 24 * time.Hour, Audit: 30 * 24 * time.Hour})
			if cut += removed.Lines; err != nil || errUpkeep != nil {
				t.Error(err, errUpkeep)
			}
		}
	})
	gaps, lines := 0, 0
	for at := int64(0); at < changes && !t.Failed(); {
		page, err := j.Read(t.Context(), at, 2)
		if errors.Is(err, replica.ErrGap) {
			gaps++
			snapshot, err := j.Snapshot(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			head, last := snapshot.Head()
			if last == nil || last.Seq != head.Last || head.Last <= at {
				t.Errorf("after a gap behind %d: %+v, %+v", at, head, last)
			}
			at = head.Last
			if err := snapshot.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if at > 0 && (page.At == nil || page.At.Seq != at) {
			t.Errorf("behind %d the page begins with %+v", at, page.At)
		}
		for i := range page.Lines { // each change has one number here
			if page.Lines[i].Seq != at+1 {
				t.Errorf("%d comes after %d", page.Lines[i].Seq, at)
			}
			at = page.Lines[i].Seq
			lines++
		}
	}
	all.Wait()
	if cut == 0 || lines == 0 {
		t.Errorf("%d lines were cut, %d read, with %d gaps", cut, lines, gaps)
	}
}
