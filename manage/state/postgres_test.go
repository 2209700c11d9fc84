package state

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"keyward/internal/postgrestest"
	"keyward/store/postgres/database"
	"keyward/store/postgres/pgurl"
)

// TestLease: an attempt is taken over a minute after it began by the database's clock,
// and at once if it was released. What is taken over is not ended by the one before.
func TestLease(t *testing.T) {
	shared := newDatabase(t)
	first, second := shared.open(t, nil), shared.open(t, nil)
	op := operation("ada", "1")
	earlier, err := first.Idempotency.Begin(t.Context(), op)
	want(t, "begin", err, nil)
	age := func(by string) {
		t.Helper()
		postgrestest.Exec(t, shared.database, `UPDATE state_idempotency SET started = (extract(epoch FROM clock_timestamp() - $1::interval) * 1000)::bigint`, by)
	}
	running := func(what string) {
		t.Helper()
		_, err := second.Idempotency.Begin(t.Context(), op)
		want(t, what, err, ErrRunning)
		if taken, err := second.Idempotency.Interrupted(t.Context()); len(taken) > 0 || err != nil {
			t.Errorf("%s: taken over %+v, %v", what, taken, err)
		}
	}
	running("at once")
	age("50 seconds")
	running("before its lease is over")
	age("60 seconds")
	later, err := second.Idempotency.Begin(t.Context(), op)
	want(t, "after its lease", err, nil)
	if !later.Resumed || later.RecordID != earlier.RecordID {
		t.Errorf("after its lease: %+v", later)
	}
	for what, err := range map[string]error{
		"finish":  first.Idempotency.Finish(t.Context(), earlier, []byte("{}")),
		"abandon": first.Idempotency.Abandon(t.Context(), earlier),
		"release": first.Idempotency.Release(t.Context(), earlier),
	} {
		want(t, "the earlier attempt: "+what, err, ErrNotFound)
	}
	running("taken over")
	age("60 seconds")
	taken, err := first.Idempotency.Interrupted(t.Context())
	if len(taken) != 1 || taken[0].RecordID != earlier.RecordID || err != nil {
		t.Fatalf("interrupted: %+v, %v", taken, err)
	}
	want(t, "release", first.Idempotency.Release(t.Context(), taken[0]), nil)
	released, err := second.Idempotency.Begin(t.Context(), op)
	if !released.Resumed || err != nil {
		t.Errorf("released: %+v, %v", released, err)
	}
}

// TestTransaction: a transaction holds the others up for no longer than the database
// allows, and its commit waits for the disk if the change must survive a power cut.
func TestTransaction(t *testing.T) {
	db := newDatabase(t).open(t, nil)
	for survives, wanted := range map[durability]string{processExit: "off 5s", powerCut: "on 5s"} {
		err := db.write(t.Context(), survives, func(tx *transaction) error {
			var commit, idle string
			err := tx.row(`SELECT current_setting('synchronous_commit'), current_setting('idle_in_transaction_session_timeout')`).Scan(&commit, &idle)
			if got := commit + " " + idle; got != wanted {
				t.Errorf("%v: %s, want %s", survives, got, wanted)
			}
			return err
		})
		want(t, "write", err, nil)
	}
	var after string
	q, done := db.storage.reader(t.Context())
	defer done()
	want(t, "read", q.row(`SELECT current_setting('synchronous_commit')`).Scan(&after), nil)
	if after != "on" {
		t.Errorf("a later statement: %s", after)
	}
}

// TestWaitForAnotherMachine: a change waits for one of another machine until the context
// ends. Reading does not wait.
func TestWaitForAnotherMachine(t *testing.T) {
	shared := newDatabase(t)
	first, second := shared.open(t, nil), shared.open(t, nil)
	code, _, err := first.Codes.Issue(t.Context(), 0, PurposePassword, "ada", "v1", time.Minute)
	want(t, "issue", err, nil)
	err = first.write(t.Context(), powerCut, func(*transaction) error {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := second.Codes.Consume(ctx, PurposePassword, code)
		want(t, "consume", err, context.DeadlineExceeded)
		want(t, "peek", peek(t, second, code), nil)
		return nil
	})
	want(t, "write", err, nil)
	want(t, "consume afterwards", consume(t, second, code), nil)
}

// TestCanceledChange: a caller that gives up before the commit changes nothing.
func TestCanceledChange(t *testing.T) { onEach(t, testCanceledChange) }

func testCanceledChange(t *testing.T, newPlace newPlace) {
	db := newPlace(t).open(t, nil)
	login(t, db, Login{User: "ada"})
	ctx, cancel := context.WithCancel(t.Context())
	err := db.write(ctx, powerCut, func(tx *transaction) error {
		_, err := tx.exec(`DELETE FROM state_session`)
		cancel()
		return err
	})
	want(t, "canceled", err, context.Canceled)
	if n := rows(t, db, "state_session"); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// every returns the error of each call that needs the database.
func every(t *testing.T, db *DB) map[string]error {
	_, cookie := login(t, newFile(t).open(t, nil), Login{User: "ada"})
	ctx, a, errs := t.Context(), Attempt{hash: []byte("hash"), number: 1}, map[string]error{}
	_, _, errs["create"] = db.Sessions.Create(ctx, Login{User: "ada", Method: LoginPassword})
	_, _, errs["renew"] = db.Sessions.Renew(ctx, Session{ID: "s_1", User: "ada", Method: LoginPassword}, time.Time{})
	_, errs["find"] = db.Sessions.Find(ctx, cookie)
	_, errs["get"] = db.Sessions.Get(ctx, "ada", "s_1")
	_, errs["exists"] = db.Sessions.Exists(ctx, "ada", "s_1")
	_, errs["list"] = db.Sessions.List(ctx, "ada")
	_, errs["count"] = db.Sessions.Count(ctx)
	errs["end"] = db.Sessions.End(ctx, 1, "ada", "s_1")
	_, errs["end user"] = db.Sessions.EndUser(ctx, "ada", "")
	_, _, errs["issue"] = db.Codes.Issue(ctx, 2, PurposePassword, "ada", "v1", time.Hour)
	_, errs["peek"] = db.Codes.Peek(ctx, PurposePassword, cookie)
	_, errs["consume"] = db.Codes.Consume(ctx, PurposePassword, cookie)
	errs["cancel"] = db.Codes.Cancel(ctx, PurposePassword, "ada")
	_, errs["begin"] = db.Idempotency.Begin(ctx, operation("ada", "1"))
	errs["finish"] = db.Idempotency.Finish(ctx, a, []byte("{}"))
	errs["abandon"] = db.Idempotency.Abandon(ctx, a)
	errs["release"] = db.Idempotency.Release(ctx, a)
	_, errs["interrupted"] = db.Idempotency.Interrupted(ctx)
	_, errs["made"] = db.Made(1)
	errs["sweep"] = db.Sweep(ctx)
	return errs
}

// named are the errors that say what the state knows.
var named = []error{ErrNotFound, ErrInvalid, ErrRunning, ErrReused, ErrFull}

// TestUnavailable: without its database a program starts, and every call is an error
// that says nothing else.
func TestUnavailable(t *testing.T) {
	u, err := pgurl.Parse("postgres://keyward@/keyward?host=" + t.TempDir())
	want(t, "parse", err, nil)
	missing := newDatabase(t)
	postgrestest.Exec(t, missing.database, `DROP TABLE meta`)
	for name, p := range map[string]place{"no server": {database: database.Config{URL: u}}, "no schema": missing} {
		for call, err := range every(t, p.open(t, nil)) {
			if err == nil || strings.Contains(err.Error(), "panic") {
				t.Errorf("%s: %s: %v", name, call, err)
			}
			for _, other := range named {
				if errors.Is(err, other) {
					t.Errorf("%s: %s: %v", name, call, err)
				}
			}
		}
	}
}

// TestAsWriter: the role of those that change records is enough for everything, and that
// of replicas for nothing.
func TestAsWriter(t *testing.T) {
	shared := newDatabase(t)
	postgrestest.Exec(t, shared.database, database.RolesSQL())
	writer := place{database: server.As(t, shared.database, "a_writer", "keyward_writer")}
	for call, err := range every(t, writer.open(t, nil)) {
		if err != nil && !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", call, err)
		}
	}
	replica := place{database: server.As(t, shared.database, "a_replica", "keyward_replica")}
	for call, err := range every(t, replica.open(t, nil)) {
		if err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("a replica: %s: %v", call, err)
		}
	}
}

// TestStandbyIsNotRead: a server that takes no changes may not know yet that a session
// has ended.
func TestStandbyIsNotRead(t *testing.T) {
	shared := newDatabase(t)
	_, cookie := login(t, shared.open(t, nil), Login{User: "ada"})
	postgrestest.Exec(t, shared.database, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
	session, err := shared.open(t, nil).Sessions.Find(t.Context(), cookie)
	if err == nil || errors.Is(err, ErrNotFound) || session.User != "" {
		t.Errorf("%+v, %v", session, err)
	}
}

// TestOwnConnections: a change of the state does not wait for the connections of the
// records, whose transactions may wait for it.
func TestOwnConnections(t *testing.T) {
	shared, err := database.Open(newDatabase(t).database)
	want(t, "open", err, nil)
	t.Cleanup(shared.Close)
	db := closed(t, OpenShared(SharedConfig{Database: shared}))
	for range shared.Pool.Config().MaxConns {
		conn, err := shared.Pool.Acquire(t.Context())
		want(t, "acquire", err, nil)
		defer conn.Release()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, _, err = db.Codes.Issue(ctx, 0, PurposeSetup, "", "", time.Minute)
	want(t, "issue", err, nil)
}

// TestUnstorableTexts: what cannot be stored is not found, and not stored.
func TestUnstorableTexts(t *testing.T) { onEach(t, testUnstorableTexts) }

func testUnstorableTexts(t *testing.T, newPlace newPlace) {
	db := newPlace(t).open(t, nil)
	session, _ := login(t, db, Login{User: "ada"})
	for _, text := range []string{"a\x00da", "ada\x00", "\xff", "ada\xc3", "'; DROP TABLE state_session; --", "$1", "?1", strings.Repeat("\U0001F511", 2048)} {
		want(t, fmt.Sprintf("end %q", text), db.Sessions.End(t.Context(), 0, "ada", text), ErrNotFound)
		want(t, fmt.Sprintf("end of %q", text), db.Sessions.End(t.Context(), 0, text, session.ID), ErrNotFound)
		_, err := db.Sessions.Get(t.Context(), text, session.ID)
		want(t, fmt.Sprintf("get %q", text), err, ErrNotFound)
		if listed, err := db.Sessions.List(t.Context(), text); len(listed) > 0 || err != nil {
			t.Errorf("%q has %+v, %v", text, listed, err)
		}
		if n, err := db.Sessions.EndUser(t.Context(), text, ""); n != 0 || err != nil {
			t.Errorf("%q: %d ended, %v", text, n, err)
		}
		created, _, err := db.Sessions.Create(t.Context(), Login{User: text, Method: LoginPassword})
		if listed, errList := db.Sessions.List(t.Context(), text); errList != nil || (err == nil) != (len(listed) == 1 && listed[0].ID == created.ID) {
			t.Errorf("%q: created with %v, then %+v, %v", text, err, listed, errList)
		}
	}
	_, _ = login(t, db, Login{User: "ada"})
	if n, err := db.Sessions.EndUser(t.Context(), "ada", "\x00"); n != 2 || err != nil {
		t.Errorf("all but one that cannot be: %d, %v", n, err)
	}
}

// TestNoSecretIsInTheDatabase: neither a cookie nor a code nor a refresh token is in a table.
func TestNoSecretIsInTheDatabase(t *testing.T) {
	shared := newDatabase(t)
	db := shared.open(t, nil)
	_, cookie := login(t, db, Login{User: "ada"})
	code, _, err := db.Codes.Issue(t.Context(), 0, PurposePassword, "ada", "v1", time.Hour)
	want(t, "issue", err, nil)
	f := newFamily(t, db, newClock())
	next := f.next(f.token)
	conn := postgrestest.Connect(t, shared.database)
	for _, table := range []string{"state_session", "state_code", "state_idempotency", "state_grant", "state_refresh"} {
		var content string
		want(t, table, conn.QueryRow(t.Context(), fmt.Sprintf(`SELECT coalesce(string_agg(row::text, ' '), '') FROM %s AS row`, table)).Scan(&content), nil)
		for _, secret := range []string{cookie.Reveal(), code.Reveal(), f.token.Reveal(), next.Reveal()} {
			if strings.Contains(content, secret) || strings.Contains(content, fmt.Sprintf("%x", secret)) {
				t.Errorf("%s has a secret", table)
			}
		}
	}
}
