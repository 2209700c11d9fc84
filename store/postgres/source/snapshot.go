package source

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"keyward/store/postgres/database"
	"keyward/store/replica"
)

const (
	// snapshotBudget is how many snapshots the database gives at once, to all replicas
	// together: each reads every record.
	snapshotBudget = 4
	// snapshotLocks is the first of as many advisory locks. It spells "keyward".
	snapshotLocks int64 = 0x6b657977617264
	// snapshotWait is about how long one that gets none waits, and maxSnapshotWait how long
	// altogether: any login could take these locks and keep them.
	snapshotWait    = 2 * time.Second
	maxSnapshotWait = 30 * time.Minute
)

// snapshot is one consistent view of all records, within the budget.
type snapshot struct {
	conn *pgx.Conn // of its own: it is in use for long
	tx   pgx.Tx
	head replica.Head
	last *replica.Line
}

// Snapshot implements replica.Source.
func (j *Journal) Snapshot(ctx context.Context) (replica.Snapshot, error) {
	s, err := j.beginSnapshot(ctx)
	if err != nil {
		return nil, failed(ctx, err)
	}
	return s, nil
}

func (j *Journal) beginSnapshot(ctx context.Context) (*snapshot, error) {
	conn, err := j.db.Dedicated(ctx)
	if err != nil {
		return nil, err
	}
	s := &snapshot{conn: conn}
	if s.tx, err = conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}); err == nil {
		if err = j.takeTurn(ctx, s.tx); err == nil {
			err = s.read(ctx)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// takeTurn waits for no other snapshot: one beyond the budget is a [replica.BusyError],
// until it was asked for as long as maxSnapshotWait.
func (j *Journal) takeTurn(ctx context.Context, tx pgx.Tx) error {
	free := false
	for i := int64(0); i < snapshotBudget && !free; i++ {
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1::bigint)`, snapshotLocks+i).Scan(&free); err != nil {
			return err
		}
	}
	now := j.now().UnixNano()
	j.waitsSince.CompareAndSwap(0, now)
	if !free && now-j.waitsSince.Load() < int64(maxSnapshotWait) {
		return &replica.BusyError{Wait: snapshotWait/2 + rand.N(snapshotWait)}
	}
	j.waitsSince.Store(0)
	return nil
}

// read reads the head, and the line that it names.
func (s *snapshot) read(ctx context.Context) error {
	var err error
	if s.head, _, err = readHead(ctx, s.tx); err != nil || s.head.Last == 0 {
		return err
	}
	lines, err := linesFrom(ctx, s.tx, s.head.Last, s.head.Last, 0)
	if err == nil && len(lines) > 0 {
		s.last = &lines[0]
	}
	return err
}

// Head implements replica.Snapshot.
func (s *snapshot) Head() (replica.Head, *replica.Line) { return s.head, s.last }

const selectRecords = `SELECT CASE WHEN octet_length(id) <= $2::integer THEN id ELSE '' END, CASE WHEN octet_length(line) <= $2::integer THEN line ELSE '' END
	FROM snapshot WHERE kind = $1::text`

// Each implements replica.Snapshot. The lines of revocations, of which several may name
// the same tokens, are in the order of their numbers. One that is longer than any of a file is
// empty.
func (s *snapshot) Each(ctx context.Context, kind replica.Kind, visit func(id, line []byte) error) error {
	sql := selectRecords
	if kind == replica.Revocations {
		sql += ` ORDER BY seq`
	}
	rows, err := s.tx.Query(ctx, sql, string(kind), int32(replica.MaxLine))
	if err != nil {
		return failed(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := visit(rows.RawValues()[0], rows.RawValues()[1]); err != nil {
			return err
		}
	}
	return failed(ctx, rows.Err())
}

// Close implements replica.Snapshot.
func (s *snapshot) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), database.ConnectTimeout)
	defer cancel()
	return s.conn.Close(ctx) // which ends the transaction
}
