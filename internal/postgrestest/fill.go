package postgrestest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"

	"keyward/store/postgres/database"
)

// fill makes keys, as copies from files do: without lines in the journal, which has the
// last one alone.
const fill = `
INSERT INTO key_record (id, made_seconds, made_nanos, deleted, seq, line, user_name, project)
SELECT id, 1767225600 + i / 100, i % 100, false, i, '{"id":"' || id || '","name":"bulk","user":"user-' || i / 100 || '","prefix":"kw_","hint":"kw_0000","format":"keyward","hash":"' || hash
	|| '","created":"' || to_char(to_timestamp(1767225600 + i / 100) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') || '.' || lpad((i % 100)::text, 9, '0') || 'Z","at":"2026-01-01T00:00:00Z","seq":' || i || '}',
	'user-' || i / 100, ''
FROM (SELECT i, 'k_' || lpad(i::text, 12, '0') AS id, encode(sha256(convert_to($2::text || i, 'UTF8')), 'hex') AS hash FROM generate_series(1, $1::bigint) AS i) AS keys`

// Fill makes that many keys in an empty database, by SQL since it is faster. Their secrets
// are not known by their text: a key's digest is that of prefix and its number.
func Fill(t testing.TB, cfg database.Config, n int, prefix string) {
	t.Helper()
	Exec(t, cfg, fill, n, prefix)
	Exec(t, cfg, `INSERT INTO key_secret (digest, key_id) SELECT decode(line::json->>'hash', 'hex'), id FROM key_record`)
	Exec(t, cfg, `INSERT INTO journal (seq, epoch, kind, line) SELECT seq, epoch, 'key', line FROM key_record, meta ORDER BY seq DESC LIMIT 1`)
	Exec(t, cfg, `UPDATE meta SET last_seq = $1::bigint, cut_seq = $1::bigint - 1`, n)
	Exec(t, cfg, `ANALYZE`)
}

// FilledID is the id of the key number i of Fill, and FilledDigest the digest of its
// secret.
func FilledID(i int) string { return fmt.Sprintf("k_%012d", i) }

// FilledDigest is in hexadecimal.
func FilledDigest(i int, prefix string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s%d", prefix, i))
	return hex.EncodeToString(sum[:])
}
