package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"keyward/store/postgres/database"
	"keyward/store/postgres/pgurl"
	"keyward/store/postgres/source"
	"keyward/store/replica"
)

// lowPriority is the niceness of what must not delay a measurement on its core.
const lowPriority = "19"

// giveWay lowers the priority of a process, and of those that it starts from then on.
func giveWay(t *testing.T, pid int) {
	t.Helper()
	renice := func(niceness string) error {
		return exec.Command("renice", "-n", niceness, "-p", strconv.Itoa(pid)).Run()
	}
	if err := renice(lowPriority); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = renice("0") }) // which only root may
}

// The variables by which the test program takes snapshots and runs no test: it is a process
// of its own, so that what measures shares no threads with it.
const snapshotsOf, snapshotCount = "KEYWARD_E2E_SNAPSHOTS_OF", "KEYWARD_E2E_SNAPSHOTS"

// snapshotsTaken is what is known of snapshots that were taken at once.
type snapshotsTaken struct {
	Took     time.Duration
	Together int // the most that were read at one time
}

// takingSnapshots is a process that takes snapshots.
type takingSnapshots struct {
	t     *testing.T
	taken snapshotsTaken
	err   error
	ended chan struct{}
}

func startSnapshots(t *testing.T, from database.Config, n int) *takingSnapshots {
	t.Helper()
	cmd := helper(t, snapshotsOf+"="+from.URL.String(), snapshotCount+"="+strconv.Itoa(n))
	taking := &takingSnapshots{t: t, ended: make(chan struct{})}
	go func() {
		defer close(taking.ended)
		var out []byte
		if out, taking.err = cmd.Output(); taking.err == nil {
			taking.err = json.Unmarshal(out, &taking.taken)
		}
	}()
	return taking
}

func (s *takingSnapshots) done() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

func (s *takingSnapshots) wait() snapshotsTaken {
	s.t.Helper()
	if <-s.ended; s.err != nil {
		s.t.Fatal(s.err)
	}
	return s.taken
}

// takeSnapshots takes as many as the environment says, all of which are requested at once.
func takeSnapshots(out io.Writer) error {
	url, err := pgurl.Parse(os.Getenv(snapshotsOf))
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(os.Getenv(snapshotCount))
	if err != nil {
		return err
	}
	reading := snapshotReaders{errs: make([]error, n)}
	began := time.Now()
	for i := range n {
		reading.all.Go(func() { reading.errs[i] = reading.take(database.Config{URL: url}) })
	}
	reading.all.Wait()
	if err := errors.Join(reading.errs...); err != nil {
		return err
	}
	text, err := json.Marshal(snapshotsTaken{time.Since(began), reading.together})
	if err == nil {
		_, err = fmt.Fprintln(out, string(text))
	}
	return err
}

// snapshotReaders read snapshots, each to its end.
type snapshotReaders struct {
	all  sync.WaitGroup
	errs []error

	mu            sync.Mutex
	now, together int
}

// take reads a snapshot once the database gives one.
func (r *snapshotReaders) take(of database.Config) error {
	db, err := database.Open(of)
	if err != nil {
		return err
	}
	defer db.Close()
	from := source.New(db)
	for {
		snapshot, err := from.Snapshot(context.Background())
		var busy *replica.BusyError
		if errors.As(err, &busy) {
			time.Sleep(busy.Wait)
			continue
		}
		if err != nil {
			return err
		}
		r.add(1)
		err = snapshot.Each(context.Background(), replica.Keys, func(_, _ []byte) error { return nil })
		r.add(-1)
		return errors.Join(err, snapshot.Close())
	}
}

func (r *snapshotReaders) add(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now += n
	r.together = max(r.together, r.now)
}
