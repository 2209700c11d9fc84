package source

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"keyward/store/postgres/database"
	"keyward/store/replica"
)

// Journal is the database's journal. It implements [replica.Source].
type Journal struct {
	db   *database.DB
	wake chan struct{}
	now  func() time.Time
	// since when a snapshot of this process waits, in nanoseconds; zero: none does.
	waitsSince atomic.Int64
}

// New returns the journal of the database. Its Wake receives while [Journal.Listen] runs.
func New(db *database.DB) *Journal {
	return &Journal{db: db, wake: make(chan struct{}, 1), now: time.Now}
}

// view calls do with one consistent view of the database.
func (j *Journal) view(ctx context.Context, do func(pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, database.StatementTimeout)
	defer cancel()
	err := pgx.BeginTxFunc(ctx, j.db.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		// The connection may be from before a migration to what this program cannot read.
		if _, err := j.db.Meta(ctx, tx); err != nil {
			return err
		}
		return do(tx)
	})
	return failed(ctx, err)
}

// failed returns an error as a [replica.Source] has it.
func failed(ctx context.Context, err error) error {
	var busy *replica.BusyError
	if errors.Is(err, replica.ErrGap) || errors.As(err, &busy) {
		return err
	}
	if err = database.Failed(ctx, err); errors.Is(err, database.ErrSchema) {
		return fmt.Errorf("%w: %w", replica.ErrSchema, err)
	}
	return err
}

const selectHead = `SELECT identity::text, epoch::text, cut_seq, coalesce((SELECT max(seq) FROM journal WHERE seq <= last_seq), 0),
	coalesce((SELECT max(seq) FROM journal WHERE seq > last_seq), 0), pg_is_in_recovery() FROM meta`

var errStandby = errors.New("the server is a standby, which may lack what was changed last: store.url must reach the primary")

// readHead returns what the database says of itself, and the number of the last line
// that was cut from the journal. A line behind the last change was written by no
// Keyward: a replica that was at it would wait for the numbers behind it, and never read
// the changes before. A standby is refused: one that receives nothing any more would say
// forever that there is nothing new.
func readHead(ctx context.Context, tx pgx.Tx) (head replica.Head, cut int64, err error) {
	var standby bool
	err = tx.QueryRow(ctx, selectHead).Scan(&head.Identity, &head.Epoch, &cut, &head.Last, &head.Beyond, &standby)
	if err == nil && standby {
		err = errStandby
	}
	return head, cut, err
}

// Read implements replica.Source.
func (j *Journal) Read(ctx context.Context, at int64, limit int) (page replica.Page, err error) {
	err = j.view(ctx, func(tx pgx.Tx) error {
		var cut int64
		var err error
		if page.Head, cut, err = readHead(ctx, tx); err != nil {
			return err
		}
		if at < cut {
			return replica.ErrGap
		}
		lines, err := linesFrom(ctx, tx, at, page.Last, limit)
		if err == nil && len(lines) > 0 && lines[0].Seq == at {
			page.At, lines = &lines[0], lines[1:]
		} else if err == nil && at == cut && cut > 0 {
			return replica.ErrGap // the line itself was cut, and cannot be compared
		}
		page.Lines = lines[:min(len(lines), limit)]
		return err
	})
	return page, err
}

// maxPage bounds the lines of a page, in bytes, so that a writer cannot fill the memory of
// all replicas. The first two are always in it.
const maxPage = 4 * replica.MaxLine

// selectLines bounds what is sent: a line that is longer than any of a file is empty.
const selectLines = `SELECT seq, left(kind, 64), CASE WHEN octet_length(line) <= $4::integer THEN line ELSE '' END FROM (
		SELECT seq, kind, line, sum(least(octet_length(line), $4::integer)) OVER (ORDER BY seq) AS bytes FROM (
			SELECT seq, kind, line FROM journal WHERE seq >= $1::bigint AND seq <= $2::bigint ORDER BY seq LIMIT $3::bigint
		) AS lines
	) AS lines WHERE bytes <= $5::bigint ORDER BY seq`

// linesFrom returns the line with the number, and at most limit behind it, up to last.
func linesFrom(ctx context.Context, tx pgx.Tx, at, last int64, limit int) ([]replica.Line, error) {
	rows, err := tx.Query(ctx, selectLines, at, last, int64(limit)+1, int32(replica.MaxLine), int64(maxPage))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (l replica.Line, err error) {
		var kind, text string
		err = r.Scan(&l.Seq, &kind, &text)
		l.Kind, l.Text = replica.Kind(kind), []byte(text)
		return l, err
	})
}
