package usagetable

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"keyward/internal/postgrestest"
	"keyward/store/postgres/database"
)

// age makes the rows of the replica older.
func age(t *testing.T, cfg database.Config, replica string, by time.Duration) {
	t.Helper()
	for _, table := range []string{"usage", "usage_batch"} {
		postgrestest.Exec(t, cfg, `UPDATE `+table+` SET at = at - $1::interval WHERE replica = $2`, by, replica)
	}
}

func fold(t *testing.T, table *Table) {
	t.Helper()
	if err := table.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestFold: rows that were not written for a day become one per key, again and again, and
// the use of the key stays what it is. A replica that comes back goes on.
func TestFold(t *testing.T) {
	cfg := server.Database(t)
	console := tableOf(t, cfg, "")
	used := uint64(0)
	for i := range 6 {
		pod := tableOf(t, cfg, fmt.Sprint("pod-", i%5))
		record(t, pod, allowed("k_a", i+1, day.Add(time.Duration(i-9)*24*time.Hour))...)
		record(t, pod, allowed(fmt.Sprint("k_", i), 1, day)...)
		used += uint64(i + 1)
		before := get(t, console, "k_a")
		fold(t, console)
		age(t, cfg, fmt.Sprint("pod-", i%5), 25*time.Hour)
		fold(t, console)
		if after := get(t, console, "k_a"); !reflect.DeepEqual(before, after) || after.Total != used {
			t.Errorf("%+v\nbefore %+v", after, before)
		}
		if rows := scan[int](t, cfg, `SELECT count(*) FROM usage WHERE replica <> ''`); rows != 0 {
			t.Errorf("%d rows are not folded", rows)
		}
	}
	if rows := scan[int](t, cfg, `SELECT count(*) FROM usage WHERE key_id <> '*'`); rows != 7 {
		t.Errorf("%d rows of 7 keys", rows)
	}
	wantUses(t, console, map[string]uint64{"k_0": 1, "k_5": 1})
}

// TestFoldLeaves: what was written within a day stays as it is, and so do the ids of
// batches that a replica may still send again.
func TestFoldLeaves(t *testing.T) {
	cfg := server.Database(t)
	for replica, by := range map[string]time.Duration{"now": 0, "today": 23 * time.Hour, "gone": 25 * time.Hour, "long gone": 31 * 24 * time.Hour} {
		record(t, tableOf(t, cfg, replica), allowed("k_a", 1, day)...)
		age(t, cfg, replica, by)
	}
	fold(t, tableOf(t, cfg, ""))
	const names = `SELECT string_agg(replica, ',' ORDER BY replica) FROM `
	if got := scan[string](t, cfg, names+`usage WHERE key_id <> '*'`); got != ",now,today" {
		t.Errorf("rows of %q", got)
	}
	if got := scan[string](t, cfg, names+`usage_batch`); got != ",gone,now,today" {
		t.Errorf("batches of %q", got)
	}
}

// TestFoldPerLogin: what one login has written does not spoil what another has.
func TestFoldPerLogin(t *testing.T) {
	cfg := server.Database(t)
	record(t, tableOf(t, cfg, "one"), allowed("k_a", 3, day)...)
	postgrestest.Exec(t, cfg, `INSERT INTO usage (key_id, login, replica, totals, days, last) VALUES
		('k_a', 'spoiler', 'one', 'hello', '', 1), ('k_a', 'spoiler', 'two', '{"id":"k_a","first":1,"last":1,"address":"","results":{"ok":1},"outcomes":[]}', '', 1)`)
	age(t, cfg, "one", 25*time.Hour)
	age(t, cfg, "two", 25*time.Hour)
	fold(t, tableOf(t, cfg, ""))
	got := scan[string](t, cfg, `SELECT string_agg(login || '/' || replica || ' ' || last, ', ' ORDER BY login) FROM usage WHERE key_id = 'k_a'`)
	if want := fmt.Sprintf("keyward/ %d, spoiler/ 1", day.Add(2*time.Second).UnixMicro()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestFoldManyRows: more rows than one transaction folds.
func TestFoldManyRows(t *testing.T) {
	cfg := server.Database(t)
	want := map[string]uint64{}
	for _, replica := range []string{"one", "two"} {
		var uses []use
		for i := range foldRows {
			id := fmt.Sprint("k_", i)
			uses = append(uses, allowed(id, 1, day)...)
			want[id]++
		}
		record(t, tableOf(t, cfg, replica), uses...)
		age(t, cfg, replica, 25*time.Hour)
	}
	console := tableOf(t, cfg, "")
	fold(t, console)
	if rows := scan[int](t, cfg, `SELECT count(*) FROM usage WHERE replica = '' AND key_id <> '*'`); rows != foldRows {
		t.Errorf("%d rows", rows)
	}
	wantUses(t, console, map[string]uint64{"k_0": want["k_0"], "k_499": want["k_499"]})
}

// TestFoldWhileFlushing: replicas flush while two consoles fold all the time, whatever
// the age of rows, and nothing is lost or counted twice.
func TestFoldWhileFlushing(t *testing.T) {
	cfg := server.Database(t)
	const rounds, keys = 40, 10
	const makeOld = `UPDATE usage SET at = at - interval '2 days' WHERE ctid IN (SELECT ctid FROM usage WHERE replica <> '' FOR UPDATE SKIP LOCKED)`
	ctx, stop := context.WithCancel(t.Context())
	var replicas, consoles sync.WaitGroup
	folded := make(chan struct{}, 1000)
	for range 2 {
		console := tableOf(t, cfg, "")
		consoles.Go(func() {
			for ctx.Err() == nil {
				if _, err := console.db.Pool.Exec(ctx, makeOld); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				if err := console.Fold(ctx); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				select {
				case folded <- struct{}{}:
				default:
				}
			}
		})
	}
	for n := range 3 {
		table := tableOf(t, cfg, fmt.Sprint("pod-", n))
		source := make([]*batches, rounds)
		for i := range source {
			var uses []use
			for k := range keys {
				uses = append(uses, allowed(fmt.Sprint("k_", k), 1, day)...)
			}
			source[i] = batchOf(t, uses...)
		}
		replicas.Go(func() {
			for i := range source {
				if err := table.Flush(source[i]); err != nil {
					t.Error(err)
				}
				if i%10 == 9 {
					<-folded
				}
			}
		})
	}
	replicas.Wait()
	stop()
	consoles.Wait()
	for k := range keys {
		wantUses(t, tableOf(t, cfg, ""), map[string]uint64{fmt.Sprint("k_", k): 3 * rounds})
	}
}
