package source

import (
	"errors"
	"strings"
	"testing"

	"keyward/internal/postgrestest"
	"keyward/store/postgres"
	"keyward/store/postgres/database"
	"keyward/store/postgres/pgurl"
	"keyward/store/replica"
)

// TestStandby: a standby is not read, since it may receive nothing any more. Once it is the
// primary it is.
func TestStandby(t *testing.T) {
	c := postgrestest.NewCluster(t, "")
	c.Start()
	c.Exec("postgres", "CREATE DATABASE keyward")
	config := func(host string) (cfg database.Config) {
		var err error
		if cfg.URL, err = pgurl.Parse("postgres://keyward@" + host + "/keyward"); err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	if err := database.Migrate(t.Context(), config(c.Host())); err != nil {
		t.Fatal(err)
	}
	standby := c.Standby()
	standby.Start()
	j := New(open(t, config(standby.Host())))
	if _, err := j.Read(t.Context(), 0, 10); !errors.Is(err, errStandby) {
		t.Errorf("read: %v", err)
	}
	if _, err := j.Snapshot(t.Context()); !errors.Is(err, errStandby) {
		t.Errorf("snapshot: %v", err)
	}
	standby.Promote()
	if _, err := j.Read(t.Context(), 0, 10); err != nil {
		t.Errorf("read when it is the primary: %v", err)
	}
}

// TestLongLines: what is longer than any line of a file is not sent, and a page is bounded.
func TestLongLines(t *testing.T) {
	cfg := server.Database(t)
	db := open(t, cfg)
	j := New(db)
	if _, err := create(t.Context(), postgres.New(postgres.Config{DB: db})); err != nil {
		t.Fatal(err)
	}
	postgrestest.Exec(t, cfg, `ALTER TABLE journal DROP CONSTRAINT journal_kind, DROP CONSTRAINT journal_line`)
	postgrestest.Exec(t, cfg, `ALTER TABLE key_record DROP CONSTRAINT key_record_line`)
	postgrestest.Exec(t, cfg, `INSERT INTO journal (seq, epoch, kind, line) SELECT i, epoch, repeat('k', 1000), repeat('x', 20 << 20) FROM meta, generate_series(2, 3) AS i`)
	postgrestest.Exec(t, cfg, `INSERT INTO journal (seq, epoch, kind, line) SELECT i, epoch, 'key', repeat('x', 1 << 20) FROM meta, generate_series(4, 20) AS i`)
	postgrestest.Exec(t, cfg, `UPDATE meta SET last_seq = 20`)
	postgrestest.Exec(t, cfg, `UPDATE key_record SET line = repeat('x', 20 << 20)`)
	seqs, pages := 0, 0
	for at := int64(0); at < 20 && pages < 30; pages++ {
		page, err := j.Read(t.Context(), at, 1000)
		if err != nil || len(page.Lines) == 0 {
			t.Fatalf("behind %d: %d lines, %v", at, len(page.Lines), err)
		}
		size := 0
		for _, l := range page.Lines {
			size += len(l.Text)
			at = l.Seq
			seqs++
			if long := l.Seq == 2 || l.Seq == 3; long != (len(l.Text) == 0) || len(l.Kind) > 64 {
				t.Errorf("%d: %d bytes, kind %s", l.Seq, len(l.Text), l.Kind)
			}
		}
		if size > maxPage {
			t.Errorf("a page has %d bytes", size)
		}
	}
	if seqs != 20 || pages > 10 {
		t.Errorf("%d lines in %d pages", seqs, pages)
	}
	taken, err := j.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = taken.Each(t.Context(), replica.Keys, func(id, line []byte) error {
		if len(line) > 0 || !strings.HasPrefix(string(id), "k_") {
			t.Errorf("%s: %d bytes", id, len(line))
		}
		return nil
	})
	if err := errors.Join(err, taken.Close()); err != nil {
		t.Error(err)
	}
}
