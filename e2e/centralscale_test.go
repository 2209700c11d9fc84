package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/bench/credential"
	"keyward/bench/loadgen"
	"keyward/bench/process"
	"keyward/e2e/stack"
	"keyward/internal/postgrestest"
	"keyward/internal/prove"
	"keyward/store/postgres/database"
	"keyward/store/postgres/source"
	"keyward/store/replica"
)

// centralScale is a Keyward that copies a database with many keys.
type centralScale struct {
	*managed
	database database.Config
}

// newCentralScale writes the configuration, and makes the keys.
func newCentralScale(t *testing.T, keys int) *centralScale {
	t.Helper()
	ports, err := stack.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	s := &centralScale{&managed{t: t, dir: t.TempDir(), ports: ports, address: stack.Address(ports.Console)}, postgresServer.Database(t)}
	config := fmt.Sprintf(`listen: {grpc: %q, http: "", admin: %q}
keys: {file: keys.jsonl}
users: {file: users.jsonl}
revocations: {file: revocations.jsonl}
log: {level: error, decisions: none}
store: {url: %q}
`, stack.Address(ports.GRPC), stack.Address(ports.Admin), s.database.URL.String())
	if err := os.WriteFile(filepath.Join(s.dir, "keyward.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	postgrestest.Fill(t, s.database, keys, "filled")
	t.Setenv("GOMAXPROCS", "1")
	return s
}

// started starts Keyward, and returns how long it takes to be ready.
func (s *centralScale) started() time.Duration {
	s.t.Helper()
	began := time.Now()
	s.start()
	return time.Since(began)
}

// TestCentralAtScale: a first snapshot of many keys and a start with copies take seconds on
// one core, and many snapshots at once delay neither the database nor checks.
func TestCentralAtScale(t *testing.T) {
	s := newCentralScale(t, prove.Size(20_000, 1_000_000))
	var secrets []string
	for range 10 {
		secrets = append(secrets, s.run("key", "create", "--name", "checked"))
	}
	first := s.started()
	s.process.Stop()
	again := s.started()
	defer func() { s.process.Stop() }()
	t.Logf("ready after a first snapshot %v, with copies %v", first, again)
	if first > 15*time.Second || again > 3*time.Second {
		t.Errorf("ready after a first snapshot %v, want 15s, with copies %v, want 3s", first, again)
	}
	s.checksBesideSnapshots(secrets, prove.Size(6, 50))
}

// checksBesideSnapshots compares the checks' 99th percentile beside snapshots, all of
// which are requested at once, with that without: Keyward is on one core, everything else
// on the other.
func (s *centralScale) checksBesideSnapshots(secrets []string, snapshots int) {
	s.t.Helper()
	pin := func(cores string, pid int) {
		if err := exec.Command("taskset", "-a", "-p", "-c", cores, strconv.Itoa(pid)).Run(); err != nil {
			s.t.Fatal(err)
		}
	}
	pin("0", s.process.PID())
	pin("1", postgresServer.PID())
	defer pin(process.AllCores, postgresServer.PID())
	if err := process.Pin(1); err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = process.Unpin() }()
	load, err := loadgen.DialTarget(stack.Address(s.ports.GRPC), 4)
	if err != nil {
		s.t.Fatal(err)
	}
	defer load.Close()
	checks := loadgen.Load{Workers: 16, Rate: checksEvery, Span: prove.Size(200*time.Millisecond, 2*time.Second), Pick: credential.AnyKey(secrets)}
	round := func() time.Duration {
		o, err := load.Run(s.t.Context(), checks)
		if err != nil {
			s.t.Fatal(err)
		}
		return o.Percentile(99)
	}
	round() // warm
	var quiet, beside []time.Duration
	for range 5 {
		quiet = append(quiet, round())
	}
	taking := s.takeSnapshots(snapshots)
	for !taking.done() {
		beside = append(beside, round())
	}
	took := taking.wait()
	slices.Sort(quiet)
	slices.Sort(beside)
	calm, busy := quiet[len(quiet)/2], beside[len(beside)/2]
	s.t.Logf("%d snapshots at once took %v, at most %d together; checks' p99, medians of rounds: %v without them, %v beside them: %.2f times",
		snapshots, took, taking.together, calm, busy, float64(busy)/float64(calm))
	if taking.together > 4 {
		s.t.Errorf("%d snapshots were given at once", taking.together)
	}
	if prove.Size(false, true) && float64(busy)/float64(calm) > maxSlowdown {
		s.t.Errorf("checks beside snapshots take more than %.1f times as long", maxSlowdown)
	}
	if status, text := s.metrics("keyward_store_up 1"); !status {
		s.t.Errorf("the running replica lost its store: %s", text)
	}
}

// metrics reports whether the line is among the metrics.
func (s *centralScale) metrics(line string) (found bool, text string) {
	s.t.Helper()
	out, err := exec.Command("curl", "-sS", "http://"+stack.Address(s.ports.Admin)+"/metrics").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Contains(string(out), "\n"+line+"\n"), string(out)
}

// snapshotsTaken counts snapshots, each read to its end.
type snapshotsTaken struct {
	all   sync.WaitGroup
	began time.Time
	ended chan struct{}

	mu            sync.Mutex
	now, together int
}

func (s *centralScale) takeSnapshots(n int) *snapshotsTaken {
	taken := &snapshotsTaken{began: time.Now(), ended: make(chan struct{})}
	for range n {
		taken.all.Go(func() {
			db, err := database.Open(s.database)
			if err != nil {
				s.t.Error(err)
				return
			}
			defer db.Close()
			if err := taken.take(s.t.Context(), source.New(db)); err != nil {
				s.t.Error(err)
			}
		})
	}
	go func() { taken.all.Wait(); close(taken.ended) }()
	return taken
}

// take reads a snapshot once it gets one.
func (t *snapshotsTaken) take(ctx context.Context, from *source.Journal) error {
	for {
		snapshot, err := from.Snapshot(ctx)
		var busy *replica.BusyError
		if errors.As(err, &busy) {
			time.Sleep(busy.Wait)
			continue
		}
		if err != nil {
			return err
		}
		t.add(1)
		err = snapshot.Each(ctx, replica.Keys, func(_, _ []byte) error { return nil })
		t.add(-1)
		return errors.Join(err, snapshot.Close())
	}
}

func (t *snapshotsTaken) add(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now += n
	t.together = max(t.together, t.now)
}

func (t *snapshotsTaken) done() bool {
	select {
	case <-t.ended:
		return true
	default:
		return false
	}
}

func (t *snapshotsTaken) wait() time.Duration {
	<-t.ended
	return time.Since(t.began)
}
