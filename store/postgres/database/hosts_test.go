package database_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"keyward/internal/postgrestest"
	"keyward/store/postgres/database"
	"keyward/store/postgres/pgurl"
)

// TestHostThatDoesNotAnswer: of two hosts, the second is reached though the first does not
// answer at all, by the pool and by a connection of its own.
func TestHostThatDoesNotAnswer(t *testing.T) {
	c := postgrestest.NewCluster(t, "")
	c.Start()
	c.Exec("postgres", "CREATE DATABASE keyward")
	const gone = "127.0.0.2:5432"
	parse := func(hosts string) (cfg database.Config) {
		var err error
		if cfg.URL, err = pgurl.Parse("postgres://keyward@" + hosts + "/keyward"); err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	if err := database.Migrate(t.Context(), parse(c.Host())); err != nil {
		t.Fatal(err)
	}
	cfg := parse(gone + "," + c.Host())
	cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, gone) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
	db, err := database.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Dedicated(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := db.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
