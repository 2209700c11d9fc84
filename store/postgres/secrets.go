package postgres

import (
	"slices"

	"github.com/jackc/pgx/v5"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/audit"
)

// refuseKnownImports returns a DuplicateKeyError if a key of another system is twice
// among those that are put, or is in the database. Secrets that Keyward made are random,
// and need no such comparison.
func refuseKnownImports(t *recordTx[store.KeyRecord]) error {
	number := map[apikey.Digest]int{}
	var digests [][]byte
	for i, e := range t.entries {
		if e.Action != audit.KeyImport {
			continue
		}
		r := t.puts[i]
		if first, twice := number[r.Hash]; twice {
			return &store.DuplicateKeyError{Put: i, Owner: t.puts[first].ID}
		}
		number[r.Hash] = i
		digests = append(digests, r.Hash[:])
	}
	if len(digests) == 0 {
		return nil
	}
	var duplicate *store.DuplicateKeyError
	err := t.eachHolder(digests, func(digest apikey.Digest, r *store.KeyRecord) {
		put := number[digest]
		// A record that is not supported may lack the key's secrets.
		held := r.Unsupported || slices.Contains(secretsOf(r), digest)
		if held && (duplicate == nil || put < duplicate.Put) {
			duplicate = &store.DuplicateKeyError{Put: put, Owner: r.ID}
		}
	})
	if err == nil && duplicate != nil {
		return duplicate
	}
	return err
}

// secretsOf returns the digests of the secrets that the record has.
func secretsOf(r *store.KeyRecord) []apikey.Digest {
	var all []apikey.Digest
	if r.Hash != (apikey.Digest{}) {
		all = append(all, r.Hash)
	}
	for _, p := range r.Previous {
		all = append(all, p.Hash)
	}
	return all
}

// writeSecrets adds the secrets of keys to those by which a key is found.
func writeSecrets(batch *pgx.Batch, keys []*written[store.KeyRecord]) {
	var digests [][]byte
	var ids []string
	for _, key := range keys {
		for _, digest := range secretsOf(key.record) {
			digests, ids = append(digests, digest[:]), append(ids, key.record.ID)
		}
	}
	batch.Queue(`INSERT INTO key_secret (digest, key_id) SELECT * FROM unnest($1::bytea[], $2::text[]) ON CONFLICT DO NOTHING`, digests, ids)
}
