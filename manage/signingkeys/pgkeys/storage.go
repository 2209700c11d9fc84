package pgkeys

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"keyward/authz"
	"keyward/manage/signingkeys"
	"keyward/store/postgres/database"

	"github.com/jackc/pgx/v5"
)

const (
	// timeout bounds a Load or a Store.
	timeout = 15 * time.Second
	// statementTimeout is for how long the database waits for each statement of a
	// Store, and for the next one.
	statementTimeout = "5s"
	// maxKeys bounds what is read. A set has far fewer.
	maxKeys = 100
)

var errTooMany = fmt.Errorf("the database has more than %d signing keys", maxKeys)

// Config is where the keys are, and under what they are encrypted.
type Config struct {
	Database *database.DB
	// Secret is that of issuer.keys_secret_file, at least 32 bytes; see ReadSecret. One that is
	// shorter is ErrShortSecret.
	Secret authz.Secret
}

// Storage is a signingkeys.Storage in Postgres.
type Storage struct {
	db     *database.DB
	sealer *sealer
}

// New returns the storage. It opens no connection.
func New(cfg Config) (*Storage, error) {
	sealer, err := newSealer(cfg.Secret)
	if err != nil {
		return nil, err
	}
	return &Storage{cfg.Database, sealer}, nil
}

// row is a row of the table.
type row struct {
	Record   string
	SecretID string
	Sealed   []byte
}

// Load implements signingkeys.Storage. Keys that were encrypted under another secret are
// ErrOtherSecret. A database that does not answer is database.ErrUnavailable.
func (s *Storage) Load(ctx context.Context) (set signingkeys.Set, err error) {
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// In one statement, which sees one version.
	rows, err := s.db.Pool.Query(ctx, `SELECT version, coalesce(record, ''), coalesce(secret_id, ''), sealed
		FROM signing_set LEFT JOIN (SELECT * FROM signing_key ORDER BY made, id LIMIT $1::int) AS keys ON true
		ORDER BY made, id`, maxKeys+1)
	if err != nil {
		return set, failed(caller, err)
	}
	var found []row
	var r row
	_, err = pgx.ForEachRow(rows, []any{&set.Version, &r.Record, &r.SecretID, &r.Sealed}, func() error {
		if r.Record != "" {
			found = append(found, r)
			r.Sealed = nil
		}
		return nil
	})
	if err != nil {
		return set, failed(caller, err)
	}
	if len(found) > maxKeys {
		return set, errTooMany
	}
	set.Keys, err = s.read(found)
	return set, err
}

func (s *Storage) read(found []row) (keys []signingkeys.Key, err error) {
	for _, r := range found {
		if r.SecretID != s.sealer.secretID {
			return nil, ErrOtherSecret
		}
		var record signingkeys.Record
		if err := json.Unmarshal([]byte(r.Record), &record); err != nil {
			return nil, fmt.Errorf("the database's record of a signing key is damaged: %w", err)
		}
		keys = append(keys, s.sealer.open(record, r.Sealed))
	}
	return keys, nil
}

// failed returns the error of the database. A missing table is database.ErrSchema.
func failed(ctx context.Context, err error) error {
	if database.IsMissingTable(err) {
		return fmt.Errorf("%w: it has no signing keys yet: run keyward store migrate: %w", database.ErrSchema, err)
	}
	return database.Failed(ctx, err)
}

// Store implements signingkeys.Storage. A commit that is not answered is
// database.ErrUncertain.
func (s *Storage) Store(ctx context.Context, expected int64, set signingkeys.Set) error {
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tx, err := s.db.Pool.Begin(ctx)
	if err != nil {
		return failed(caller, err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit it does nothing
	if err := s.replace(ctx, tx, expected, &set); err != nil {
		if errors.Is(err, signingkeys.ErrConflict) {
			return err
		}
		return failed(caller, err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("%w: %w", database.ErrUncertain, err)
	}
	return nil
}

// replace locks the set, compares its version and writes the rows.
func (s *Storage) replace(ctx context.Context, tx pgx.Tx, expected int64, set *signingkeys.Set) error {
	_, err := tx.Exec(ctx, `SELECT set_config('statement_timeout', $1::text, true), set_config('idle_in_transaction_session_timeout', $1::text, true)`, statementTimeout)
	if err != nil {
		return err
	}
	// The first version waits here for another that is not committed yet.
	replaceVersion := `UPDATE signing_set SET version = $1::bigint WHERE version = $2::bigint`
	if expected == 0 {
		replaceVersion = `INSERT INTO signing_set (version) VALUES ($1::bigint) ON CONFLICT (one) DO UPDATE SET version = excluded.version WHERE signing_set.version = $2::bigint`
	}
	replaced, err := tx.Exec(ctx, replaceVersion, set.Version, expected)
	if err != nil {
		return err
	}
	if replaced.RowsAffected() != 1 {
		return signingkeys.ErrConflict
	}
	ids := []string{}
	for i := range set.Keys {
		ids = append(ids, set.Keys[i].ID)
		if err := s.write(ctx, tx, &set.Keys[i]); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, `DELETE FROM signing_key WHERE id <> ALL ($1::text[])`, ids)
	return err
}

// write writes the row of a key. That of a lost one keeps what may be decrypted again.
func (s *Storage) write(ctx context.Context, tx pgx.Tx, key *signingkeys.Key) error {
	record, err := json.Marshal(key.Record)
	if err != nil {
		return err
	}
	if key.Private == nil {
		_, err := tx.Exec(ctx, `UPDATE signing_key SET record = $2::text WHERE id = $1::text`, key.ID, string(record))
		return err
	}
	sealed, err := s.sealer.seal(key)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO signing_key (id, record, secret_id, sealed) VALUES ($1::text, $2::text, $3::text, $4::bytea)
		ON CONFLICT (id) DO UPDATE SET record = excluded.record, secret_id = excluded.secret_id, sealed = excluded.sealed`,
		key.ID, string(record), s.sealer.secretID, sealed)
	return err
}
