package issuer

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/config"
	"keyward/store/postgres/database"
	"keyward/store/postgres/pgurl"
	"keyward/verifier/jwks"
)

// TestWithoutDatabase: a process starts without its database, signs nothing, and does not
// take a token for one that is not valid.
func TestWithoutDatabase(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("s", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	url, err := pgurl.Parse("postgres://keyward@127.0.0.1:1/keyward?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	db, err := database.Open(database.Config{URL: url, Hasher: apikey.NewHasher(authz.NewSecret("a pepper of sixteen"))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	began := time.Now()
	keys, err := open(&config.Issuer{Algorithm: "ES256", KeysSecretFile: secret, PublishBefore: time.Hour, RotateEvery: 24 * time.Hour, AccessTTL: time.Hour}, db, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 2*firstRead {
		t.Errorf("the start took %s", took)
	}
	if _, err := keys.Sign("at+jwt", map[string]any{}); !errors.Is(err, errNotRead) {
		t.Errorf("sign: %v", err)
	}
	if _, err := keys.SigningKey(); !errors.Is(err, errNotRead) {
		t.Errorf("the signing key: %v", err)
	}
	if _, err := keys.Find(t.Context(), jwks.Query{ID: "a", HasID: true, Algorithm: "ES256"}, time.Now()); err == nil || errors.Is(err, jwks.ErrNoKey) {
		t.Errorf("find: %v", err)
	}
	if keys.Public() != nil || keys.Contains(nil) || keys.age() != 0 {
		t.Error("keys that were not read")
	}
	if err := keys.Close(); err != nil {
		t.Error(err)
	}
}
