package central_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"keyward/apikey"
	"keyward/authz"
	"keyward/engine/central"
	"keyward/internal/eventually"
	"keyward/internal/postgrestest"
	"keyward/internal/prove"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/filestore"
	"keyward/store/journal"
	"keyward/store/postgres"
	"keyward/store/postgres/database"
	"keyward/store/replica"
)

var server = postgrestest.Server{Hasher: apikey.NewHasher(authz.NewSecret("a pepper of sixteen"))}

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m, &server)) }

// order is the order in which the changes of all kinds are in force in a replica.
type order struct {
	mu    sync.Mutex
	last  int64
	wrong []string
}

// applied notes that a change is in force, behind all that were before it.
func (o *order) applied(kind replica.Kind, seq int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if seq <= o.last {
		o.wrong = append(o.wrong, fmt.Sprintf("%s %d after %d", kind, seq, o.last))
	}
	o.last = max(o.last, seq)
}

// sink is where a file's records are in force.
type sink[R any] struct {
	kind  replica.Kind
	seqOf func(*R) int64
	order *order
	live  *generation[R]
}

type generation[R any] struct {
	of   *sink[R]
	live bool
}

func (s *sink[R]) Begin() store.Generation[R] { return &generation[R]{of: s} }
func (s *sink[R]) Commit(next store.Generation[R]) {
	s.live = next.(*generation[R])
	s.live.live = true
}
func (*sink[R]) Undone(store.Generation[R], time.Time) error { return nil }
func (*sink[R]) Applied()                                    {}
func (*sink[R]) Fault(error)                                 {}

func (g *generation[R]) Apply(r *R) (time.Time, error) {
	if g.live {
		g.of.order.applied(g.of.kind, g.of.seqOf(r))
	}
	return time.Time{}, nil
}

// follower is a replica whose checks are replaced by what notes the order.
type follower struct {
	*central.Store
	order
	dir      string
	followed map[replica.Kind]store.Follower
}

var kinds = []replica.Kind{replica.Revocations, replica.Users, replica.Clients, replica.Keys}

func follow(t *testing.T, cfg database.Config, name string) *follower {
	t.Helper()
	f := &follower{dir: t.TempDir(), followed: map[replica.Kind]store.Follower{}}
	in := func(kind replica.Kind) journal.FollowConfig { return journal.FollowConfig{Path: f.path(kind)} }
	add := func(kind replica.Kind, follower store.Follower, err error) {
		if err != nil {
			t.Fatal(err)
		}
		f.followed[kind] = follower
		t.Cleanup(func() { _ = follower.Close() })
	}
	revocations, err := filestore.RevocationFeed{FollowConfig: in(replica.Revocations)}.Follow(
		&sink[store.Revocation]{kind: replica.Revocations, order: &f.order, seqOf: func(r *store.Revocation) int64 { return r.Seq }})
	add(replica.Revocations, revocations, err)
	users, err := filestore.UserFeed{FollowConfig: in(replica.Users)}.Follow(
		&sink[store.UserRecord]{kind: replica.Users, order: &f.order, seqOf: func(r *store.UserRecord) int64 { return r.Seq }})
	add(replica.Users, users, err)
	keys, err := filestore.KeyFeed{FollowConfig: in(replica.Keys), Hasher: cfg.Hasher}.Follow(
		&sink[store.KeyRecord]{kind: replica.Keys, order: &f.order, seqOf: func(r *store.KeyRecord) int64 { return r.Seq }})
	add(replica.Keys, keys, err)
	var files []replica.File
	for _, kind := range kinds {
		files = append(files, replica.File{Kind: kind, Path: f.path(kind)})
	}
	f.Store, err = central.Open(central.Config{
		Database: cfg, Name: name, Files: files, Log: slog.New(slog.DiscardHandler), Suspend: func(bool) {},
		InForce: func(ctx context.Context, kind replica.Kind) error {
			if followed := f.followed[kind]; followed != nil {
				return followed.Await(ctx)
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *follower) path(kind replica.Kind) string {
	return filepath.Join(f.dir, string(kind)+".jsonl")
}

// lines returns the last line about each record in the copies.
func (f *follower) lines() (map[string]string, error) {
	all := map[string]string{}
	for _, kind := range kinds {
		text, err := os.ReadFile(f.path(kind))
		if err != nil {
			return nil, err
		}
		for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")[1:] {
			all[nameOf(kind, line)] = line
		}
	}
	return all, nil
}

// nameOf is what a line is about.
func nameOf(kind replica.Kind, line string) string {
	var about struct {
		ID, Name string
		Seq      int64
	}
	if err := json.Unmarshal([]byte(line), &about); err != nil {
		return err.Error()
	}
	switch kind {
	case replica.Revocations:
		return fmt.Sprint(kind, about.Seq)
	case replica.Users:
		return string(kind) + about.Name
	default:
		return string(kind) + about.ID
	}
}

// TestFollowers: whatever connections are cut and notifications lost, each replica has in
// the end what the database has, and none had a later change in force before an earlier
// one.
func TestFollowers(t *testing.T) {
	cfg := server.Database(t)
	changes, replicas := prove.Size(60, 1000), prove.Size(6, 20)
	var followers []*follower
	for i := range replicas {
		followers = append(followers, follow(t, cfg, fmt.Sprint("replica-", i)))
	}
	for _, f := range followers {
		eventually.Succeeds(t, func() error {
			if s := f.Status(); !s.Up {
				return fmt.Errorf("%s is not up: %w", s.Name, s.Err)
			}
			return nil
		})
	}
	conn := postgrestest.Connect(t, cfg)
	ctx, stop := context.WithCancel(t.Context())
	var cutting, writing sync.WaitGroup
	cuts := 0
	cutting.Go(func() {
		for ctx.Err() == nil {
			time.Sleep(time.Duration(20+rand.IntN(60)) * time.Millisecond)
			// Connections that listen are cut more often: what is notified meanwhile is lost.
			which := "true"
			if rand.IntN(2) == 0 {
				which = "query LIKE 'LISTEN%'"
			}
			if _, err := conn.Exec(context.Background(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND "+which+" ORDER BY random() LIMIT 2"); err != nil {
				t.Error(err)
				return
			}
			cuts++
		}
	})
	var writers []*writer
	for i := range 3 {
		w := newWriter(t, cfg, i)
		writers = append(writers, w)
		writing.Go(func() { w.run(changes) })
	}
	writing.Wait()
	stop()
	cutting.Wait()
	acknowledged := 0
	for _, w := range writers {
		acknowledged += w.check(t, conn)
	}
	if acknowledged < 3*changes/2 {
		t.Errorf("only %d of %d changes were made", acknowledged, 3*changes)
	}
	want := map[string]string{}
	rows, err := conn.Query(t.Context(), `SELECT kind, line FROM snapshot WHERE kind <> 'project'`)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var kind, line string
		if err := rows.Scan(&kind, &line); err != nil {
			t.Fatal(err)
		}
		want[nameOf(replica.Kind(kind), line)] = line
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for i, f := range followers {
		eventually.Succeeds(t, func() error {
			got, err := f.lines()
			if err == nil && !maps.Equal(got, want) {
				err = fmt.Errorf("replica %d has %d records, the database %d: %w", i, len(got), len(want), f.Status().Err)
			}
			return err
		})
		if s := f.Status(); s.Resyncs[replica.ReasonStart] != 1 || len(s.Resyncs) != 1 {
			t.Errorf("replica %d began again: %v", i, s.Resyncs)
		}
		f.mu.Lock()
		if len(f.wrong) > 0 {
			t.Errorf("replica %d: %d changes out of order, first %s", i, len(f.wrong), f.wrong[0])
		}
		if f.last == 0 {
			t.Errorf("replica %d had nothing in force", i)
		}
		f.mu.Unlock()
	}
	t.Logf("%d changes acknowledged, %d cuts, %d records", acknowledged, cuts, len(want))
}

// writer makes random changes, each in an operation of its own.
type writer struct {
	*postgres.Store
	name       string
	hasher     *apikey.Hasher
	keys       []store.KeyRecord
	done       map[string]bool // operations that were acknowledged
	refused    map[string]bool // that were reported as not made
	uncertain  int
	unexpected []error
}

func newWriter(t *testing.T, cfg database.Config, i int) *writer {
	t.Helper()
	db, err := database.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return &writer{
		Store: postgres.New(postgres.Config{DB: db}), name: fmt.Sprint("writer-", i), hasher: cfg.Hasher, done: map[string]bool{}, refused: map[string]bool{},
	}
}

func (w *writer) run(changes int) {
	for n := range changes {
		operation := fmt.Sprint(w.name, "-", n)
		err := w.change(operation, n)
		switch {
		case err == nil:
			w.done[operation] = true
		case errors.Is(err, store.ErrUncertain):
			w.uncertain++
		case errors.Is(err, database.ErrUnavailable):
			w.refused[operation] = true
		default:
			w.unexpected = append(w.unexpected, err)
		}
	}
}

func (w *writer) change(operation string, n int) error {
	now := time.Now().UTC()
	entry := func(action audit.Action, target string) *audit.Entry {
		return &audit.Entry{Actor: w.name, Action: action, Record: target, Via: audit.ViaAPI, Outcome: audit.Done, Operation: operation}
	}
	switch which := rand.IntN(10); {
	case which < 4 || len(w.keys) == 0:
		r := store.KeyRecord{ID: "k_" + fmt.Sprintf("%s%05d", strings.ReplaceAll(w.name, "writer-", "writer"), n)[:12], User: "alice", Format: apikey.FormatKeyward, Hash: w.hasher.Digest(operation), Created: now, At: now}
		err := edit(w.KeyEditor(), &r, entry(audit.KeyCreate, r.ID))
		if err == nil {
			w.keys = append(w.keys, r)
		}
		return err
	case which < 7:
		i := rand.IntN(len(w.keys))
		r := w.keys[i]
		r.At, r.Revoked = now, now
		w.keys = slices.Delete(w.keys, i, i+1)
		return edit(w.KeyEditor(), &r, entry(audit.KeyRevoke, r.ID))
	case which < 8:
		r := store.UserRecord{Name: fmt.Sprint(w.name, "-user-", n%5), Created: now, At: now, Disabled: n%2 == 0}
		return edit(w.UserEditor(), &r, entry(audit.UserUpdate, r.Name))
	case which < 9:
		r := store.Client{ID: fmt.Sprintf("c_%012d", n%7), Public: true, Created: now, At: now}
		return edit(w.ClientEditor(), &r, entry(audit.ClientUpdate, r.ID))
	default:
		r := store.Revocation{TokenID: operation, At: now}
		return edit(w.RevocationEditor(), &r, entry(audit.RevocationCreate, r.TokenID))
	}
}

// edit puts a record after a delay within the transaction.
func edit[R any](editor store.Editor[R], r *R, e *audit.Entry) error {
	return editor.Edit(context.Background(), func(tx store.Tx[R]) error {
		time.Sleep(time.Duration(rand.IntN(4)) * time.Millisecond)
		changed, entry := *r, *e
		tx.Put(&changed, &entry)
		return nil
	})
}

// check holds that each change was made once if it was acknowledged, and not at all if it
// was reported as not made. It returns how many were acknowledged.
func (w *writer) check(t *testing.T, conn interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) int {
	t.Helper()
	for _, err := range w.unexpected {
		t.Errorf("%s: %v", w.name, err)
	}
	count := func(operation string) (n int) {
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM audit WHERE operation = $1::text`, operation).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for operation := range w.done {
		if n := count(operation); n != 1 {
			t.Errorf("%s was acknowledged, and made %d times", operation, n)
		}
	}
	for operation := range w.refused {
		if n := count(operation); n != 0 {
			t.Errorf("%s was reported as not made, and made %d times", operation, n)
		}
	}
	return len(w.done)
}
