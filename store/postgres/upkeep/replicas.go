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
	Behind   int64     // how many lines of the journal come after that
	Held     int64     // records that stay ended there although the database says otherwise
	Lost     int64     // records that it had seen and that the database lacks
	Reported time.Time // by the database's clock
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

const (
	selectReplicas = `SELECT name, login, identity, epoch, applied, (SELECT count(*) FROM journal WHERE seq > applied), held, lost, at FROM replica ORDER BY name, login`
	selectLost     = `SELECT l.replica, l.login, l.kind, l.id, l.seq, l.what FROM replica_lost l JOIN replica r ON r.name = l.replica AND r.login = l.login ORDER BY l.replica, l.login, l.kind, l.id`
)

// Replicas returns the replicas that have reported, by their names, from one view of the
// database.
func Replicas(ctx context.Context, db *database.DB) ([]Replica, error) {
	ctx, cancel := context.WithTimeout(ctx, database.StatementTimeout)
	defer cancel()
	var all []Replica
	err := pgx.BeginTxFunc(ctx, db.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, selectReplicas)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Replica, err error) {
			err = row.Scan(&r.Name, &r.Login, &r.Identity, &r.Epoch, &r.Applied, &r.Behind, &r.Held, &r.Lost, &r.Reported)
			return r, err
		})
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

// readLost reads what the replicas had seen and the database lacks.
func readLost(ctx context.Context, tx pgx.Tx, replicas []Replica) error {
	type identity struct{ name, login string }
	of := make(map[identity]*Replica, len(replicas))
	for i := range replicas {
		of[identity{replicas[i].Name, replicas[i].Login}] = &replicas[i]
	}
	rows, err := tx.Query(ctx, selectLost)
	if err != nil {
		return err
	}
	var from identity
	var lost LostRecord
	_, err = pgx.ForEachRow(rows, []any{&from.name, &from.login, &lost.Kind, &lost.ID, &lost.Seq, &lost.What}, func() error {
		of[from].Records = append(of[from].Records, lost)
		return nil
	})
	return err
}
