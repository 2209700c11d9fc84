package usagetable

import (
	"context"

	"keyward/usage"

	"github.com/jackc/pgx/v5"
)

// foldRows is how many rows one transaction of Fold folds at most.
const foldRows = 500

// Fold adds the rows that were not written for a day to one row per key and login, so
// that replicas that are gone, as pods with random names are, leave no rows behind. It
// needs a member of keyward_writer. A replica that comes back begins with new rows: it
// keeps no sums in memory. Several consoles may fold at once, and take turns.
func (t *Table) Fold(ctx context.Context) error {
	total := 0
	for folded := foldRows; folded == foldRows; total += folded {
		err := t.change(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
			folded, err = foldSome(ctx, tx)
			return err
		})
		if err != nil {
			return err
		}
	}
	t.log.Debug("usage folded", "rows", total)
	return t.change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		// A replica that sends the batch of such a row again would be counted twice, after
		// thirty days of silence.
		_, err := tx.Exec(ctx, `DELETE FROM usage_batch WHERE (login, replica) IN
			(SELECT login, replica FROM usage_batch WHERE replica <> '' AND at < clock_timestamp() - interval '30 days' FOR UPDATE SKIP LOCKED)`)
		return err
	})
}

// foldSome folds some rows, and returns how many. Those that a replica writes now it
// leaves alone.
func foldSome(ctx context.Context, tx pgx.Tx) (int, error) {
	// Two that fold at once could both make the row of a key. No replica has this lock.
	_, err := tx.Exec(ctx, `INSERT INTO usage_batch (login, replica, batch) VALUES ('', '', '')
		ON CONFLICT (login, replica) DO UPDATE SET at = clock_timestamp()`)
	if err != nil {
		return 0, err
	}
	old, err := oldRows(ctx, tx)
	if err != nil || len(old) == 0 {
		return 0, err
	}
	var folded columns
	for i := range old {
		folded.add(old[i])
	}
	rows, err := tx.Query(ctx, `DELETE FROM usage USING unnest($1::text[], $2::text[]) AS u (key_id, login)
		WHERE usage.key_id = u.key_id AND usage.login = u.login AND usage.replica = ''
		RETURNING usage.key_id, usage.login, usage.replica, totals, days`, folded.ids, folded.logins)
	if err != nil {
		return 0, err
	}
	before, err := readRows(rows)
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, `DELETE FROM usage USING unnest($1::text[], $2::text[], $3::text[]) AS u (key_id, login, replica)
		WHERE usage.key_id = u.key_id AND usage.login = u.login AND usage.replica = u.replica`, folded.ids, folded.logins, folded.replicas)
	if err != nil {
		return 0, err
	}
	sums := sumsPerLogin(append(before, old...))
	_, err = tx.Exec(ctx, `INSERT INTO usage (key_id, login, replica, totals, days, last)
		SELECT key_id, login, '', totals, days, last FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[]) AS u (key_id, login, totals, days, last)`,
		sums.ids, sums.logins, sums.totals, sums.days, sums.last)
	return len(old), err
}

func oldRows(ctx context.Context, tx pgx.Tx) ([]row, error) {
	rows, err := tx.Query(ctx, `SELECT key_id, login, replica, totals, days FROM usage
		WHERE replica <> '' AND at < clock_timestamp() - interval '1 day' ORDER BY at LIMIT $1::bigint FOR UPDATE SKIP LOCKED`, int64(foldRows))
	if err != nil {
		return nil, err
	}
	return readRows(rows)
}

// sumsPerLogin adds up the rows of each key and login: what a login has written is not
// mixed with what another has, which it could spoil.
func sumsPerLogin(rows []row) columns {
	byLogin := map[string]*usage.Sums{}
	for i := range rows {
		sums := byLogin[rows[i].login]
		if sums == nil {
			sums = &usage.Sums{}
			byLogin[rows[i].login] = sums
		}
		rows[i].addTo(sums)
	}
	var all columns
	for login, sums := range byLogin {
		for id, lines := range sums.All() {
			all.add(row{id: id, login: login, lines: lines})
		}
	}
	return all
}
