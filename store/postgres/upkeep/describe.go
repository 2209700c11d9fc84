package upkeep

import (
	"context"

	"keyward/store/postgres/database"
)

// Database is what a database says of itself.
type Database struct {
	Identity string `json:"identity"`
	Epoch    string `json:"epoch"`
	Seq      int64  `json:"seq"` // of the last change
	Replicas int64  `json:"-"`   // that have reported
}

// Describe returns what the database says of itself.
func Describe(ctx context.Context, db *database.DB) (d Database, err error) {
	ctx, cancel := context.WithTimeout(ctx, database.StatementTimeout)
	defer cancel()
	err = db.Pool.QueryRow(ctx, `SELECT identity::text, epoch::text, last_seq, (SELECT count(*) FROM replica) FROM meta`).Scan(&d.Identity, &d.Epoch, &d.Seq, &d.Replicas)
	return d, database.Failed(ctx, err)
}
