package postgrestest

import (
	"fmt"
	"strings"
	"testing"

	"keyward/store/postgres/database"
	"keyward/store/postgres/pgurl"
)

// As returns the configuration with another user, who is a member of the role.
func As(t *testing.T, cfg database.Config, role string) database.Config {
	t.Helper()
	user := "member_of_" + role
	Exec(t, cfg, fmt.Sprintf(`DROP ROLE IF EXISTS %s`, user))
	Exec(t, cfg, fmt.Sprintf(`CREATE ROLE %s LOGIN IN ROLE %s`, user, role))
	u, err := pgurl.Parse(strings.Replace(cfg.URL.String(), "keyward@", user+"@", 1))
	if err != nil {
		t.Fatal(err)
	}
	cfg.URL = u
	return cfg
}
