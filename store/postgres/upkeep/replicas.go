package upkeep

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"keyward/store/postgres/database"
)

// Replica is how a replica of the database was when it reported last.
type Replica struct {
	Name     string
	Login    string // the role by which it reported
	Identity string // of the database that its copies are of, and the epoch
	Epoch    string
	Applied  int64     // the number up to which its copies are
	Behind   int64     // how many lines of the journal come after that; at most maxBehind are counted
	Held     int64     // records that stay ended there although the database says otherwise
	Lost     int64     // records that it had seen and that the database lacks
	Reported time.Time // by the database's clock; zero: the row has none that can be shown
	Records  []LostRecord
}

// LostRecord is a record that a replica had seen, and that the database lacks or has
// otherwise since it was restored.
type LostRecord struct {
	Kind string // as in the journal
	ID   string
	Seq  int64  // of the line that the replica had
	What string // missing, older or ended
}

// What is read is bounded, and in the texts of a row too: a replica's login that was taken
// over writes rows of its own, as many and as long as it likes. It must not hide the rows
// of other logins, or have the program that lists them read all that it wrote.
const (
	maxReplicas = 1000  // per login: those that reported last
	maxRecords  = 1000  // per replica
	maxLost     = 10000 // records, per login
	maxBehind   = 10000
)

const (
	listedReplicas = `WITH latest AS (
			SELECT *, row_number() OVER (PARTITION BY login ORDER BY at DESC, name) AS rank FROM replica
		), listed AS (
			SELECT *, row_number() OVER (ORDER BY name, login) AS ordinal FROM latest WHERE rank <= $1::bigint
		) `
	selectReplicas = listedReplicas + `SELECT left(name, 255), left(login, 255), left(identity, 64), left(epoch, 64), applied,
			(SELECT count(*) FROM (SELECT FROM journal WHERE seq > applied LIMIT $2::bigint) AS behind), held, lost,
			CASE WHEN at >= timestamptz '0001-01-01 00:00:00+00' AND at < timestamptz '9999-12-31 00:00:00+00' THEN at END
		FROM listed ORDER BY ordinal`
	selectLost = listedReplicas + `, found AS (
			SELECT ordinal, listed.login, lost.*, row_number() OVER (PARTITION BY listed.login ORDER BY ordinal, kind, id) AS number FROM listed CROSS JOIN LATERAL (
				SELECT left(kind, 64) AS kind, left(id, 1024) AS id, seq, left(what, 64) AS what FROM replica_lost AS l
				WHERE l.replica = name AND l.login = listed.login ORDER BY l.kind, l.id LIMIT $2::bigint) AS lost
		) SELECT ordinal, kind, id, seq, what FROM found WHERE number <= $3::bigint ORDER BY ordinal, kind, id`
)

// Replicas returns the replicas that have reported, by their names, from one view of the
// database: of each login a thousand, and of these what they had seen and the database
// lacks, within bounds.
func Replicas(ctx context.Context, db *database.DB) ([]Replica, error) {
	ctx, cancel := context.WithTimeout(ctx, database.StatementTimeout)
	defer cancel()
	var all []Replica
	err := pgx.BeginTxFunc(ctx, db.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, selectReplicas, int64(maxReplicas), int64(maxBehind))
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scanReplica)
		if err != nil {
			return err
		}
		return readLost(ctx, tx, all)
	})
	if err != nil {
		return nil, database.Failed(ctx, err)
	}
	return all, nil
}

func scanReplica(row pgx.CollectableRow) (r Replica, err error) {
	var reported *time.Time
	err = row.Scan(&r.Name, &r.Login, &r.Identity, &r.Epoch, &r.Applied, &r.Behind, &r.Held, &r.Lost, &reported)
	if reported != nil {
		r.Reported = *reported
	}
	return r, err
}

// readLost reads what the replicas had seen and the database lacks.
func readLost(ctx context.Context, tx pgx.Tx, replicas []Replica) error {
	rows, err := tx.Query(ctx, selectLost, int64(maxReplicas), int64(maxRecords), int64(maxLost))
	if err != nil {
		return err
	}
	var ordinal int // of the replica, from 1
	var lost LostRecord
	_, err = pgx.ForEachRow(rows, []any{&ordinal, &lost.Kind, &lost.ID, &lost.Seq, &lost.What}, func() error {
		replicas[ordinal-1].Records = append(replicas[ordinal-1].Records, lost)
		return nil
	})
	return err
}
