package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"keyward/authz"
	"keyward/store"
	"keyward/store/postgres/database"
)

// keyReader reads keys.
type keyReader struct {
	reader[store.KeyRecord, store.KeyFilter]
}

// FindBySecret implements store.KeyReader.
func (k *keyReader) FindBySecret(ctx context.Context, secret authz.Secret) (store.KeyRecord, error) {
	digest := k.store.db.Hasher.Digest(secret.Reveal())
	held, err := holders(ctx, k.query, k.store.db.Pool, [][]byte{digest[:]})
	if err != nil {
		return store.KeyRecord{}, err
	}
	for i := range held {
		r := &held[i]
		if !r.Deleted.IsZero() {
			break
		}
		// The secrets of a record that is not supported may be missing. All that the
		// key ever had are denied.
		if r.Hash == digest || r.Unsupported {
			return *r, nil
		}
		for _, p := range r.Previous {
			switch {
			case p.Hash != digest:
			case !p.Until.After(k.store.now()):
				return *r, fmt.Errorf("key %s: this secret was rotated away: %w", r.ID, store.ErrRevoked)
			default:
				return *r, nil
			}
		}
	}
	return store.KeyRecord{}, k.query.notFound()
}

// selectHolders finds keys by secrets.
const selectHolders = `SELECT line FROM key_record WHERE id IN (SELECT key_id FROM key_secret WHERE digest = ANY($1::bytea[])) ORDER BY seq DESC`

// holders returns the keys that have, or had, one of the secrets, the last changed first.
// Those that were deleted are among them.
func holders(ctx context.Context, q query[store.KeyRecord], from querier, digests [][]byte) ([]store.KeyRecord, error) {
	return q.lines(ctx, from, selectHolders, digests)
}

// Deleted implements store.KeyReader.
func (k *keyReader) Deleted(ctx context.Context, id string) (store.KeyRecord, error) {
	r, err := k.query.get(ctx, k.store.db.Pool, id)
	if err == nil && r.Deleted.IsZero() {
		return store.KeyRecord{}, k.query.notFound()
	}
	return r, err
}

// LatestKeys implements store.KeyReader.
func (k *keyReader) LatestKeys(ctx context.Context, users []string) (map[string]time.Time, error) {
	made := make(map[string]time.Time, len(users))
	names := make([]string, 0, len(users))
	for _, name := range users {
		made[name] = time.Time{}
		names = append(names, database.Storable(name))
	}
	ctx, cancel := context.WithTimeout(ctx, database.StatementTimeout)
	defer cancel()
	found, err := k.store.db.Pool.Query(ctx, `SELECT DISTINCT ON (user_name) user_name, made_seconds, made_nanos FROM key_record
		WHERE user_name = ANY($1::text[]) ORDER BY user_name, made_seconds DESC, made_nanos DESC`, names)
	if err != nil {
		return nil, database.Failed(ctx, err)
	}
	var name string
	var seconds int64
	var nanos int32
	_, err = pgx.ForEachRow(found, []any{&name, &seconds, &nanos}, func() error {
		if _, wanted := made[name]; wanted {
			made[name] = time.Unix(seconds, int64(nanos)).UTC()
		}
		return nil
	})
	return made, database.Failed(ctx, err)
}
