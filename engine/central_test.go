package engine_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/engine"
	"keyward/internal/eventually"
	"keyward/internal/postgrestest"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/postgres"
	"keyward/store/postgres/database"
)

var postgresServer = postgrestest.Server{Hasher: apikey.NewHasher(authz.Secret{})}

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m, &postgresServer)) }

const centralConfig = `
keys: {file: DIR/keys.jsonl}
users: {file: DIR/users.jsonl}
revocations: {file: DIR/revocations.jsonl}
log: {level: debug}
store: {url: "URL", max_staleness: STALE}
`

// central is a database, with a store in it.
type central struct {
	database.Config
	*postgres.Store
	t *testing.T
}

func newCentral(t *testing.T) *central {
	t.Helper()
	c := &central{Config: postgresServer.Database(t), t: t}
	db, err := database.Open(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	c.Store = postgres.New(postgres.Config{DB: db})
	return c
}

func (c *central) config(maxStaleness string) string {
	return strings.NewReplacer("URL", c.URL.String(), "STALE", maxStaleness).Replace(centralConfig)
}

// replica starts an engine that copies the database.
func (c *central) replica(maxStaleness string) *running {
	c.t.Helper()
	r := prepare(c.t, c.config(maxStaleness))
	c.t.Cleanup(func() {
		if c.t.Failed() {
			c.t.Log(r.log.String())
		}
	})
	r.start(engine.Options{})
	return r
}

// createKey makes a key in the database.
func (c *central) createKey() (record store.KeyRecord, key string) {
	c.t.Helper()
	maker := store.KeyMaker{Hasher: c.Hasher, Rand: rand.Reader}
	made, secret, err := maker.New(&store.KeyParams{Name: "test", Prefix: "kw_"}, time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	c.put(made, audit.KeyCreate)
	return made, secret.Reveal()
}

func (c *central) revoke(r store.KeyRecord) {
	c.t.Helper()
	r.At = time.Now().UTC()
	r.Revoked = r.At
	c.put(r, audit.KeyRevoke)
}

func (c *central) put(r store.KeyRecord, action audit.Action) {
	c.t.Helper()
	err := c.KeyEditor().Edit(context.Background(), func(tx store.Tx[store.KeyRecord]) error {
		tx.Put(&r, &audit.Entry{Actor: "root", Action: action, Record: r.ID, Via: audit.ViaCLI, Outcome: audit.Done})
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// refuse has the database refuse connections, or ends that.
func (c *central) refuse(refuse bool) {
	c.t.Helper()
	postgresServer.Refuse(c.t, c.Config, refuse)
}

// TestCentral: each replica accepts what the database has, refuses what was revoked in
// it, and checks without it, also from its start.
func TestCentral(t *testing.T) {
	c := newCentral(t)
	record, key := c.createKey()
	one, two := c.replica(`""`), c.replica(`""`)
	for _, r := range []*running{one, two} {
		r.becomes("/posts", key, authz.OK)
		if err := r.Ready(); err != nil {
			t.Error(err)
		}
	}
	c.revoke(record)
	one.becomes("/posts", key, authz.RevokedKey)
	two.becomes("/posts", key, authz.RevokedKey)
	_, later := c.createKey()
	one.becomes("/posts", later, authz.OK)
	eventually.Succeeds(t, func() error {
		if s := one.CentralStore(); s == nil || !s.Up || s.Applied != 3 || s.Resyncs["start"] != 1 || time.Since(s.Contact) > time.Minute {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})

	c.refuse(true)
	defer c.refuse(false)
	eventually.Succeeds(t, func() error {
		if one.CentralStore().Up {
			return errors.New("the database is up")
		}
		return nil
	})
	if got := one.ask("/posts", later); got != authz.OK {
		t.Errorf("without the database: %s", got)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	one.start(engine.Options{})
	for key, want := range map[string]authz.Reason{key: authz.RevokedKey, later: authz.OK} {
		if got := one.ask("/posts", key); got != want {
			t.Errorf("started without the database: %s, want %s", got, want)
		}
	}
}

// TestStaleness: keys are 503 while nothing was heard from the store for too long, also
// after a start, and are decided again once it was.
func TestStaleness(t *testing.T) {
	c := newCentral(t)
	_, key := c.createKey()
	r := c.replica("3s")
	r.becomes("/posts", key, authz.OK)
	c.refuse(true)
	defer c.refuse(false)
	r.becomes("/posts", key, authz.Unavailable)
	if err := r.Ready(); err == nil {
		t.Error("ready with copies that are too old")
	}
	if got := r.ask("/posts", ""); got != authz.NoCredential {
		t.Errorf("a request that needs no key: %s", got)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.start(engine.Options{})
	if got := r.ask("/posts", key); got != authz.Unavailable {
		t.Errorf("after a start: %s", got)
	}
	c.refuse(false)
	r.becomes("/posts", key, authz.OK)
}

// TestStalenessReloaded: a reload that fails leaves keys as they were, and one that has
// other bounds decides by these.
func TestStalenessReloaded(t *testing.T) {
	c := newCentral(t)
	_, key := c.createKey()
	r := c.replica(`""`)
	r.becomes("/posts", key, authz.OK)
	c.refuse(true)
	defer c.refuse(false)
	eventually.Succeeds(t, func() error {
		if age := time.Since(r.CentralStore().Contact); age < 2*time.Second {
			return fmt.Errorf("heard from it %v ago", age)
		}
		return nil
	})
	reload := func(maxStaleness string, accepted bool, want authz.Reason) {
		t.Helper()
		r.configure(c.config(maxStaleness))
		if err := r.Reload(); (err == nil) != accepted {
			t.Errorf("%s: %v", maxStaleness, err)
		}
		for range 3 {
			time.Sleep(300 * time.Millisecond) // the age is watched more often
			if got := r.ask("/posts", key); got != want {
				t.Errorf("%s: %s, want %s", maxStaleness, got, want)
			}
		}
	}
	reload("1s", false, authz.OK)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.start(engine.Options{})
	r.becomes("/posts", key, authz.Unavailable)
	reload(`""`, true, authz.OK)
	reload(`1h`, true, authz.OK)
}

// TestNoCopies: without copies nothing is decided, tokens too: which of them are revoked
// is not known.
func TestNoCopies(t *testing.T) {
	c := newCentral(t)
	c.refuse(true)
	defer c.refuse(false)
	r := c.replica(`""`)
	if err := r.Ready(); err == nil {
		t.Error("ready without copies")
	}
	if got := r.ask("/posts", ""); got != authz.Unavailable {
		t.Errorf("without copies: %s", got)
	}
}

// TestNewerSchema: a replica on a schema that it cannot read checks by its copies, reports
// that it has no store, and goes on when it can read it.
func TestNewerSchema(t *testing.T) {
	c := newCentral(t)
	_, key := c.createKey()
	r := c.replica(`""`)
	r.becomes("/posts", key, authz.OK)
	for _, version := range []struct {
		serves int
		up     bool
	}{{99, false}, {1, true}} {
		postgrestest.Exec(t, c.Config, `UPDATE meta SET schema_version = 99, serves_from = $1`, version.serves)
		eventually.Succeeds(t, func() error {
			if up := r.CentralStore().Up; up != version.up {
				return fmt.Errorf("a schema that serves programs from version %d on: up %v", version.serves, up)
			}
			return nil
		})
		if got := r.ask("/posts", key); got != authz.OK || r.Ready() != nil {
			t.Errorf("serves from %d: %s, %v", version.serves, got, r.Ready())
		}
	}
}

// TestPepperOfStore: a replica whose pepper is not that of the database is not ready, since
// it could not check what comes from there.
func TestPepperOfStore(t *testing.T) {
	c := newCentral(t)
	_, key := c.createKey()
	r := c.replica(`""`)
	r.becomes("/posts", key, authz.OK)
	if err := r.Ready(); err != nil {
		t.Fatal(err)
	}
	postgrestest.Exec(t, c.Config, `UPDATE meta SET pepper = 'another'`)
	eventually.Succeeds(t, func() error {
		if err := r.Ready(); !errors.Is(err, database.ErrPepper) {
			return fmt.Errorf("ready: %w", err)
		}
		return nil
	})
}
