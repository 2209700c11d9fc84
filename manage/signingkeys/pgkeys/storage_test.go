package pgkeys

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/authz"
	"keyward/internal/postgrestest"
	"keyward/manage/signingkeys"
	"keyward/store/postgres/database"
)

var server postgrestest.Server

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m, &server)) }

var secret = authz.NewSecret("a secret of thirty-two bytes, or more")

func open(t testing.TB, cfg database.Config, secret authz.Secret) *Storage {
	t.Helper()
	db, err := database.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	s, err := New(Config{db, secret})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func config(s *Storage) signingkeys.Config {
	return signingkeys.Config{Storage: s, Algorithm: signingkeys.ES256, RotateEvery: time.Hour, TokenTTL: time.Hour}
}

func keysOn(t testing.TB, s *Storage) *signingkeys.Keys {
	t.Helper()
	k, err := signingkeys.Open(t.Context(), config(s))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestReplicasAgree: processes that start and rotate at once have one set, with one key of
// each state.
func TestReplicasAgree(t *testing.T) {
	cfg := server.Database(t)
	var all sync.WaitGroup
	for range 6 {
		s := open(t, cfg, secret)
		all.Go(func() {
			k, err := signingkeys.Open(t.Context(), config(s))
			if err == nil {
				err = k.Rotate(t.Context(), false)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	set, err := open(t, cfg, secret).Load(t.Context())
	if err != nil || len(set.Keys) != 2 || set.Version != 2 || set.Keys[0].State != signingkeys.Signing || set.Keys[1].State != signingkeys.Next {
		t.Errorf("%+v, %v", set, err)
	}
}

// TestRemoved: keys that are revoked are removed from the database.
func TestRemoved(t *testing.T) {
	cfg := server.Database(t)
	s := open(t, cfg, secret)
	k := keysOn(t, s)
	if err := k.Rotate(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := postgrestest.Connect(t, cfg).QueryRow(t.Context(), `SELECT count(*) FROM signing_key`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d keys, %v", n, err)
	}
	if set, err := s.Load(t.Context()); err != nil || set.Keys[0].ID != k.Status()[0].ID {
		t.Errorf("%+v, %v", set, err)
	}
}

// TestConflict: a set is replaced only by one that was made from it.
func TestConflict(t *testing.T) {
	s := open(t, server.Database(t), secret)
	keysOn(t, s)
	set, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, expected := range []int64{0, 2, -1} {
		if err := s.Store(t.Context(), expected, signingkeys.Set{Version: 3}); !errors.Is(err, signingkeys.ErrConflict) {
			t.Errorf("expected version %d: %v", expected, err)
		}
	}
	if now, err := s.Load(t.Context()); err != nil || now.Version != set.Version || len(now.Keys) != 1 {
		t.Errorf("%+v, %v", now, err)
	}
}

// TestOtherSecret: with another secret nothing is read or made, and the error shows
// neither.
func TestOtherSecret(t *testing.T) {
	cfg := server.Database(t)
	k := keysOn(t, open(t, cfg, secret))
	const other = "another secret that has enough bytes"
	_, err := signingkeys.Open(t.Context(), config(open(t, cfg, authz.NewSecret(other))))
	if !errors.Is(err, ErrOtherSecret) || strings.Contains(err.Error(), other) || strings.Contains(err.Error(), secret.Reveal()) {
		t.Errorf("%v", err)
	}
	if again := keysOn(t, open(t, cfg, secret)); again.Status()[0].ID != k.Status()[0].ID {
		t.Error("the keys were changed")
	}
	if _, err := New(Config{Secret: authz.NewSecret("a secret that is thirty-one chars"[:31])}); !errors.Is(err, ErrShortSecret) {
		t.Errorf("a short secret: %v", err)
	}
}

// TestDamagedRows: a row that was changed, or has the ciphertext of another key, is a lost
// key. The others stay.
func TestDamagedRows(t *testing.T) {
	for what, damage := range map[string]string{
		"changed":               `UPDATE signing_key SET sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1) WHERE record LIKE '%"next"%'`,
		"of another key":        `UPDATE signing_key SET sealed = (SELECT sealed FROM signing_key WHERE record LIKE '%"signing"%') WHERE record LIKE '%"next"%'`,
		"another algorithm":     `UPDATE signing_key SET record = replace(record, 'ES256', 'RS256') WHERE record LIKE '%"next"%'`,
		"empty":                 `UPDATE signing_key SET sealed = '' WHERE record LIKE '%"next"%'`,
		"with another id":       `UPDATE signing_key SET record = regexp_replace(record, '"id":"....', '"id":"AAAA') WHERE record LIKE '%"next"%'`,
		"removed from the rows": `DELETE FROM signing_key WHERE record LIKE '%"next"%'`,
	} {
		t.Run(what, func(t *testing.T) {
			cfg := server.Database(t)
			k := keysOn(t, open(t, cfg, secret))
			if err := k.Rotate(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			postgrestest.Exec(t, cfg, damage)
			if err := k.Maintain(t.Context()); !errors.Is(err, signingkeys.ErrLost) {
				t.Error(err)
			}
			if s := k.Status()[0]; s.State != signingkeys.Signing || s.Lost != nil {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestLostKeepsItsRow: what cannot be decrypted is kept, and is a key again when the row
// is restored.
func TestLostKeepsItsRow(t *testing.T) {
	cfg := server.Database(t)
	k := keysOn(t, open(t, cfg, secret))
	id := k.Status()[0].ID
	postgrestest.Exec(t, cfg, `UPDATE signing_key SET sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1)`)
	if err := k.Maintain(t.Context()); !errors.Is(err, signingkeys.ErrLost) {
		t.Fatal(err)
	}
	if strings.Contains(string(k.Public()), id) {
		t.Error("a lost key is published")
	}
	set, err := open(t, cfg, secret).Load(t.Context())
	if err != nil || set.Keys[0].ID != id || set.Keys[0].State != signingkeys.Retiring {
		t.Errorf("%+v, %v", set, err)
	}
	postgrestest.Exec(t, cfg, `UPDATE signing_key SET sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1) WHERE id = $1`, id)
	if err := k.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(k.Public()), id) {
		t.Error("a restored key is not published")
	}
}

// TestBound: a ciphertext is that of one id and one algorithm.
func TestBound(t *testing.T) {
	s := open(t, server.Database(t), secret)
	keysOn(t, s)
	set, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key := set.Keys[0]
	sealed, err := s.sealer.seal(&key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.sealer.aead.Open(nil, nil, sealed, bound(&key.Record)); err != nil {
		t.Error(err)
	}
	otherID, otherAlgorithm := key.Record, key.Record
	otherID.ID, otherAlgorithm.Algorithm = "other", signingkeys.EdDSA
	for _, record := range []signingkeys.Record{otherID, otherAlgorithm} {
		if _, err := s.sealer.aead.Open(nil, nil, sealed, bound(&record)); err == nil {
			t.Errorf("it is opened as %+v", record)
		}
	}
}

// TestEncrypted: the database has nothing of a private key or of the secret.
func TestEncrypted(t *testing.T) {
	cfg := server.Database(t)
	s := open(t, cfg, secret)
	keysOn(t, s)
	set, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	der, err := signingkeys.MarshalPrivate(set.Keys[0].Private)
	if err != nil {
		t.Fatal(err)
	}
	conn := postgrestest.Connect(t, cfg)
	for _, table := range []string{"signing_set", "signing_key"} {
		var content string
		if err := conn.QueryRow(t.Context(), fmt.Sprintf(`SELECT coalesce(string_agg(row::text, ' '), '') FROM %s AS row`, table)).Scan(&content); err != nil {
			t.Fatal(err)
		}
		// The scalar begins 36 bytes into PKCS #8 of P-256.
		for _, part := range []string{hex.EncodeToString(der[:16]), hex.EncodeToString(der[36:52]), hex.EncodeToString([]byte(secret.Reveal())), secret.Reveal()} {
			if strings.Contains(content, part) {
				t.Errorf("%s has a secret", table)
			}
		}
	}
}

// TestRoles: a writer does all that keys need; a replica reads and writes nothing.
func TestRoles(t *testing.T) {
	cfg := server.Database(t)
	postgrestest.Exec(t, cfg, database.RolesSQL())
	writing := open(t, server.As(t, cfg, "signing_writer", "keyward_writer"), secret)
	k := keysOn(t, writing)
	for _, revoke := range []bool{false, true} {
		if err := errors.Join(k.Rotate(t.Context(), revoke), k.Maintain(t.Context())); err != nil {
			t.Error(err)
		}
	}
	reading := open(t, server.As(t, cfg, "signing_replica", "keyward_replica"), secret)
	_, err := reading.Load(t.Context())
	if errStore := reading.Store(t.Context(), 0, signingkeys.Set{Version: 9}); !database.IsDenied(err) || !database.IsDenied(errStore) {
		t.Errorf("a replica: %v, %v", err, errStore)
	}
	for _, sql := range []string{`SELECT * FROM signing_key`, `SELECT id FROM signing_key`, `SELECT * FROM signing_set`, `DELETE FROM signing_key`, `UPDATE signing_set SET version = 1`} {
		if _, err := reading.db.Pool.Exec(t.Context(), sql); !database.IsDenied(err) {
			t.Errorf("a replica: %s: %v", sql, err)
		}
	}
}

// TestOldSchema: a database that was not migrated is database.ErrSchema.
func TestOldSchema(t *testing.T) {
	cfg := server.Database(t)
	postgrestest.Exec(t, cfg, `DROP TABLE signing_key, signing_set`)
	s := open(t, cfg, secret)
	_, err := s.Load(t.Context())
	if errStore := s.Store(t.Context(), 0, signingkeys.Set{Version: 1}); !errors.Is(err, database.ErrSchema) || !errors.Is(errStore, database.ErrSchema) {
		t.Errorf("%v, %v", err, errStore)
	}
}

// TestUnavailable: what was read stays in force while the database does not answer.
func TestUnavailable(t *testing.T) {
	cfg := server.Database(t)
	k := keysOn(t, open(t, cfg, secret))
	server.Refuse(t, cfg, true)
	if err := k.Maintain(t.Context()); !errors.Is(err, database.ErrUnavailable) {
		t.Error(err)
	}
	if _, err := k.Sign(signingkeys.TypeJWT, struct{}{}); err != nil {
		t.Error(err)
	}
	server.Refuse(t, cfg, false)
	if err := k.Maintain(t.Context()); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Maintain(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestCuts: whatever message or answer is lost, a set is replaced or not, and the next
// change is made.
func TestCuts(t *testing.T) {
	for _, lost := range []bool{false, true} {
		cfg := server.Database(t)
		direct := open(t, cfg, secret)
		keysOn(t, direct)
		uncertain := 0
		for at := 1; ; at++ {
			faults := &postgrestest.Faults{At: at, AnswerLost: lost}
			through := cfg
			through.Dial = faults.Dial
			before, err := direct.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			k, err := signingkeys.Open(t.Context(), config(open(t, through, secret)))
			if err == nil {
				err = k.Rotate(t.Context(), true)
			}
			if errors.Is(err, database.ErrUncertain) {
				uncertain++
			}
			after, errAfter := direct.Load(t.Context())
			if errAfter != nil || len(after.Keys) != 1 || after.Keys[0].Private == nil || err == nil && after.Version != before.Version+1 || err != nil && after.Version > before.Version+1 {
				t.Fatalf("message %d: %v; %+v, %v", at, err, after, errAfter)
			}
			if faults.Cut() == nil {
				break
			}
		}
		if uncertain == 0 {
			t.Error("no commit was cut")
		}
	}
}

// TestTooMany: no more rows are read than a set can have.
func TestTooMany(t *testing.T) {
	cfg := server.Database(t)
	s := open(t, cfg, secret)
	keysOn(t, s)
	postgrestest.Exec(t, cfg, `INSERT INTO signing_key (id, record, secret_id, sealed) SELECT i, '{}', $1, '' FROM generate_series(1, $2::int) AS i`, s.sealer.secretID, maxKeys)
	if _, err := s.Load(t.Context()); !errors.Is(err, errTooMany) {
		t.Error(err)
	}
}
