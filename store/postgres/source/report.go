package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/jackc/pgx/v5"

	"keyward/store/postgres/database"
	"keyward/store/replica"
)

const upsertReplica = `INSERT INTO replica (name, identity, epoch, applied, held, lost, lost_digest)
	VALUES ($1::text, $2::text, $3::text, $4::bigint, $5::bigint, $6::bigint, $7::text)
	ON CONFLICT (login, name) DO UPDATE SET identity = excluded.identity, epoch = excluded.epoch, applied = excluded.applied,
		held = excluded.held, lost = excluded.lost, lost_digest = excluded.lost_digest
	RETURNING coalesce((SELECT before.lost_digest FROM replica AS before WHERE before.name = $1::text AND before.login = session_user), '')`

// Report implements replica.Source. What the database lacks is written only if the
// database has another list: a dump that is restored has the one of its time. It waits for
// no standby, which may be gone: the report is made again.
func (j *Journal) Report(ctx context.Context, s replica.Status) error {
	ctx, cancel := context.WithTimeout(ctx, database.StatementTimeout)
	defer cancel()
	name, digest := database.Storable(s.Name), digestOf(&s.Lost)
	err := pgx.BeginFunc(ctx, j.db.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('synchronous_commit', 'off', true)`); err != nil {
			return err
		}
		var before string
		err := tx.QueryRow(ctx, upsertReplica, name, s.Identity, s.Epoch, s.Applied, int64(s.Held), int64(s.Lost.Total), digest).Scan(&before)
		if err != nil || before == digest {
			return err
		}
		return replaceLost(ctx, tx, name, s.Lost.Records)
	})
	return failed(ctx, err)
}

// replaceLost writes which records the replica had that the database lacks, in place of
// those that it reported before.
func replaceLost(ctx context.Context, tx pgx.Tx, name string, records []replica.LostRecord) error {
	kinds, ids := make([]string, 0, len(records)), make([]string, 0, len(records))
	seqs, whats := make([]int64, 0, len(records)), make([]string, 0, len(records))
	for i := range records {
		r := &records[i]
		kinds, ids = append(kinds, string(r.Kind)), append(ids, database.Storable(r.ID))
		seqs, whats = append(seqs, r.Seq), append(whats, string(r.What))
	}
	if _, err := tx.Exec(ctx, `SELECT keyward_forget_lost($1::text)`, name); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO replica_lost (replica, kind, id, seq, what)
		SELECT $1::text, * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[]) ON CONFLICT DO NOTHING`, name, kinds, ids, seqs, whats)
	return err
}

// digestOf identifies the list of what the database lacks; "" is nothing.
func digestOf(l *replica.Lost) string {
	if l.Total == 0 {
		return ""
	}
	sum := sha256.New()
	for i := range l.Records {
		r := &l.Records[i]
		_, _ = fmt.Fprintf(sum, "%q %q %d %q\n", r.Kind, r.ID, r.Seq, r.What)
	}
	return hex.EncodeToString(sum.Sum(nil))
}
