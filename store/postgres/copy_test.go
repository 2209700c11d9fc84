package postgres

import (
	"testing"

	"keyward/internal/postgrestest"
	"keyward/store/postgres/upkeep"
)

// TestCutUnnumbered: of revocations that were copied from files without numbers, those
// that are over go, and the others stay in force.
func TestCutUnnumbered(t *testing.T) {
	cfg := server.Database(t)
	s := openStore(t, cfg)
	err := s.Fill(t.Context(), cfg.Hasher, func(f *Filling) error {
		_, err := f.Records("revocation", func(visit func([]byte) error) error {
			for _, line := range []string{
				`{"jti":"over","until":"2001-01-01T00:00:00Z","at":"2000-01-01T00:00:00Z"}`, `{"jti":"in force","at":"2000-01-01T00:00:00Z"}`,
			} {
				if err := visit([]byte(line)); err != nil {
					return err
				}
			}
			return nil
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	removed, err := upkeep.Run(t.Context(), s.db, monthAndYear)
	if err != nil || removed != (upkeep.Removed{Revocations: 1}) {
		t.Errorf("%+v, %v", removed, err)
	}
	if got := readText(t, postgrestest.Connect(t, cfg), `SELECT string_agg(token_id, ', ') FROM revocation`); got != "in force" {
		t.Errorf("the revocations %s stay", got)
	}
}
