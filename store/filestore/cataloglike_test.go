package filestore

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/race"
	"keyward/store"
)

// likened is a key file that is read with a catalog and without one.
type likened struct {
	*testing.T
	rnd  *rand.Rand
	path string
	time time.Time

	plain   *changedKeys
	writing *changedKeys // with a catalog; it makes the changes, half of them
	reading *changedKeys // with a catalog, in another process
	ids     []string
	saved   []byte    // an earlier content of the file
	mtime   time.Time // of the last change that was not an append
}

func newLikened(t *testing.T, seed uint64) *likened {
	l := &likened{
		T: t, rnd: rand.New(rand.NewPCG(seed, 1)), path: filepath.Join(t.TempDir(), "keys.jsonl"),
		time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), mtime: time.Now(), ids: []string{"k_000000000000"},
	}
	cfg := KeyFileConfig{Path: l.path, Hasher: apikey.NewHasher(authz.Secret{}), Now: func() time.Time { return l.time }}
	l.plain = newKeys(cfg)
	cfg.Catalog = &CatalogConfig{IDOf: idInFile(t, l.plain.KeyFile)}
	l.writing, l.reading = newKeys(cfg), newKeys(cfg)
	return l
}

// writer is a file to make a change with.
func (l *likened) writer() *changedKeys {
	if l.rnd.IntN(2) == 0 {
		return l.writing
	}
	return l.plain
}

func (l *likened) id() string { return l.ids[l.rnd.IntN(len(l.ids))] }

func (l *likened) name(kind string) string { return fmt.Sprint(kind, l.rnd.IntN(3)) }

func (l *likened) params() store.KeyParams {
	p := store.KeyParams{Name: l.name("name"), User: l.name("user"), Project: l.name("project")}
	if l.rnd.IntN(3) == 0 {
		p.Expires = l.time.Add(time.Duration(l.rnd.IntN(90)) * time.Second)
	}
	if l.rnd.IntN(4) == 0 {
		p.NotBefore = l.time.Add(time.Duration(l.rnd.IntN(90)) * time.Second)
	}
	return p
}

// raw appends text that no KeyFile writes.
func (l *likened) raw(text string) {
	if _, err := os.Stat(l.path); err == nil {
		appendTo(l.T, l.path, text)
	}
}

// put makes the content the file's, in its place or by a rename.
func (l *likened) put(content []byte, inPlace bool) {
	path := l.path
	if !inPlace {
		path += ".new"
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		l.Fatal(err)
	}
	l.mtime = l.mtime.Add(time.Second) // a write within the file system's clock tick cannot be seen
	if err := os.Chtimes(path, l.mtime, l.mtime); err != nil {
		l.Fatal(err)
	}
	if !inPlace {
		if err := os.Rename(path, l.path); err != nil {
			l.Fatal(err)
		}
	}
}

// step makes one random change.
func (l *likened) step() (what string) {
	ctx := l.Context()
	l.time = l.time.Add(time.Duration(l.rnd.IntN(5)-1) * time.Second) // the clock may stand still, or go back
	content, _ := os.ReadFile(l.path)
	switch n := l.rnd.IntN(21); n {
	case 0, 1, 2, 3, 4:
		r, _, err := l.writer().Create(ctx, l.params())
		l.ids = append(l.ids, r.ID)
		return fmt.Sprint("create ", err)
	case 5:
		p := l.params()
		all := make([]store.ImportedKey, 1+l.rnd.IntN(80))
		for i := range all {
			all[i] = store.ImportedKey{Line: i, Params: &p, Hash: digestAt(l.rnd.Int()), Format: apikey.FormatRaw}
		}
		records, err := l.writer().Import(ctx, all)
		for i := range records {
			l.ids = append(l.ids, records[i].ID)
		}
		return fmt.Sprint("import ", err)
	case 6, 7:
		_, err := l.writer().Revoke(ctx, l.id(), store.AnyVersion)
		return fmt.Sprint("revoke ", err)
	case 8:
		_, err := l.writer().Delete(ctx, l.id(), store.AnyVersion)
		return fmt.Sprint("delete ", err)
	case 9:
		_, _, err := l.writer().Rotate(ctx, l.id(), store.AnyVersion, time.Duration(l.rnd.IntN(2))*time.Minute)
		return fmt.Sprint("rotate ", err)
	case 10:
		_, err := l.writer().Compact(ctx)
		return fmt.Sprint("compact ", err)
	case 11:
		l.saved = content
		return "save"
	case 12, 13:
		if len(l.saved) > 0 {
			l.put(l.saved, n == 12)
		}
		return fmt.Sprint("restore ", n)
	case 14:
		l.put(bytes.ReplaceAll(content, []byte(`"name":"name1"`), []byte(`"name":"name2"`)), true)
		return "change in place"
	case 15:
		l.raw(fmt.Sprintf(`{"id":%q,"na`, l.id()))
		return "a torn line"
	case 16:
		l.raw(fmt.Sprintf(`{"id":%q,"paths":["a"],"format":"raw","hash":"%064x","created":"2026-01-02T00:00:00Z","at":"2026-01-02T00:00:00Z"}`+"\n", l.id(), l.rnd.Uint64()))
		return "a line with an invalid path"
	case 17:
		l.raw(fmt.Sprintf(`{"id":%q,"must":["new"],"new":1,"at":"2026-01-02T00:00:00Z"}`+"\n", l.id()))
		return "a line of a newer version"
	case 18:
		l.raw(fmt.Sprintf(`{"id":%q,"must":["paused"],"user":"user1","paused":{"since":"2026-01-02T00:00:00Z"},"format":"raw","hash":"%064x","created":"2026-01-02T00:00:00Z","expires":"2500-01-02T00:00:00Z","at":"2026-01-02T00:00:00Z"}`+"\n", l.id(), l.rnd.Uint64()))
		return "a key that is paused, and expires after what nanoseconds can count"
	case 19:
		if l.rnd.IntN(4) == 0 {
			l.raw("nonsense\n")
		}
		return "a line that cannot be read"
	default:
		if l.rnd.IntN(4) == 0 {
			l.saved = content
			l.put(nil, l.rnd.IntN(2) == 0)
		}
		return "emptied"
	}
}

// wantAlike compares what both give, errors included.
func (l *likened) wantAlike(what string, got, want any, errGot, errWant error) {
	l.Helper()
	if fmt.Sprint(errGot) != fmt.Sprint(errWant) || !reflect.DeepEqual(got, want) {
		l.Fatalf("%s\n%+v, %v with a catalog\n%+v, %v without", what, got, errGot, want, errWant)
	}
}

// compare compares a file that has a catalog with the one that has none.
func (l *likened) compare(what string, f *changedKeys) {
	l.Helper()
	ctx := l.Context()
	for range 3 {
		id := l.id()
		want, errWant := l.plain.Get(ctx, id)
		got, errGot := f.Get(ctx, id)
		l.wantAlike(what+": get "+id, got, want, errGot, errWant)
	}
	filter := store.KeyFilter{}
	for _, field := range []*string{&filter.User, &filter.Project, &filter.Text} {
		if l.rnd.IntN(3) == 0 {
			*field = l.name([]string{"user", "project", "name"}[l.rnd.IntN(3)])
		}
	}
	if l.rnd.IntN(6) == 0 {
		filter.Text = l.search(ctx)
	}
	l.addConditions(&filter)
	page := store.Page{Limit: l.rnd.IntN(6), NewestFirst: l.rnd.IntN(2) == 0}
	for range 4 {
		want, nextWant, errWant := l.plain.List(ctx, filter, page)
		got, next, errGot := f.List(ctx, filter, page)
		l.wantAlike(fmt.Sprintf("%s: list %+v %+v", what, filter, page), got, want, errGot, errWant)
		l.wantAlike(what+": cursor", next, nextWant, nil, nil)
		if page.After = next; next == "" {
			break
		}
	}
	users := []string{"user0", "user1", "user9"}
	want, errWant := l.plain.LatestKeys(ctx, users)
	got, errGot := f.LatestKeys(ctx, users)
	l.wantAlike(what+": latest keys", nil, nil, errGot, errWant)
	for _, name := range users {
		if errWant == nil && !got[name].Equal(want[name]) {
			l.Fatalf("%s: the latest key of %s is of %v with a catalog, of %v without", what, name, got[name], want[name])
		}
	}
	each := func(f *changedKeys) (all []store.KeyRecord, err error) {
		err = f.Editor(nil).Edit(ctx, func(tx store.Tx[store.KeyRecord]) error {
			all = nil
			return tx.Each(func(r *store.KeyRecord) error {
				all = append(all, r.Clone())
				_, err := tx.Get(r.ID)
				return err
			})
		})
		return all, err
	}
	if l.rnd.IntN(4) == 0 {
		want, errWant := each(l.plain)
		got, errGot := each(f)
		l.wantAlike(what+": edit", got, want, errGot, errWant)
	}
}

// search is a text that may find a key.
func (l *likened) search(ctx context.Context) string {
	id := l.id()
	r, err := l.plain.Get(ctx, id)
	if err != nil {
		return id
	}
	return []string{id, id[:4], r.Hint, r.Hint[:len(r.Hint)/2], "ame", "me1"}[l.rnd.IntN(6)]
}

// addConditions adds conditions on the state of keys and on times.
func (l *likened) addConditions(f *store.KeyFilter) {
	f.Now, f.LastUse = l.time, func(id string) time.Time { return l.time.Add(-time.Duration(id[len(id)-1]) * time.Second) }
	f.Rules.MaxAge = time.Duration(l.rnd.IntN(2)) * 5 * time.Minute
	if l.rnd.IntN(2) == 0 {
		f.Rules.Ended = store.EndedUsers{"user1": l.time.Add(-time.Duration(l.rnd.IntN(100)) * time.Second)}
	}
	f.Rotating = l.rnd.IntN(6) == 0
	if states := store.KeyStates(); l.rnd.IntN(2) == 0 {
		f.State = states[l.rnd.IntN(len(states))]
	}
	for _, d := range []*time.Duration{&f.OlderThan, &f.UnusedFor, &f.Expiring} {
		if l.rnd.IntN(6) == 0 {
			*d = time.Duration(l.rnd.IntN(100)) * time.Second
		}
	}
}

// TestCatalogIsLikeTheFile: after any change a catalog answers as the file does. The race
// detector, which makes it slow, gets a part: TestCatalogAtTheSameTime is for it.
func TestCatalogIsLikeTheFile(t *testing.T) {
	seeds := uint64(60)
	if race.Detector || testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLikened(t, seed)
				for i := range 120 {
					what := fmt.Sprint(i, " ", l.step())
					l.compare(what, l.writing)
					if l.rnd.IntN(3) == 0 { // it may fall behind by several changes
						l.compare(what, l.reading)
					}
				}
			})
		})
	}
}
