package auditindex

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"keyward/store"
	"keyward/store/audit"
	"keyward/store/journal"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 6789, time.UTC)

// testLog is a log in files, with the entries that a list of it has.
type testLog struct {
	testing.TB
	dir     string
	rnd     *rand.Rand
	entries []audit.Entry
	parts   []string
	current bytes.Buffer
	made    int // parts that were made
}

func newLog(t testing.TB) *testLog {
	l := &testLog{TB: t, dir: t.TempDir(), rnd: rand.New(rand.NewPCG(1, 2))}
	l.current.WriteString("{}\n")
	return l
}

// add adds an entry.
func (l *testLog) add() {
	n := len(l.entries) + 1
	e := audit.Entry{
		Seq: int64(n), Time: start.Add(time.Duration(n) * time.Minute), Actor: fmt.Sprint("user-", l.rnd.IntN(20)), ActorKey: fmt.Sprint("k_", l.rnd.IntN(50)),
		Action: audit.Actions()[l.rnd.IntN(9)], Record: fmt.Sprint("k_", l.rnd.IntN(n)), Via: audit.ViaAPI, Outcome: audit.Done,
		Changes: []audit.Change{{Field: "name", To: []byte(`"a name \u00e9"`)}, {Field: "scopes", From: []byte(`["a"]`)}},
	}
	if l.rnd.IntN(10) == 0 {
		e.Operation = fmt.Sprint("op-", n%7)
	}
	l.entries = append(l.entries, e)
	l.line(&e)
}

func (l *testLog) line(e *audit.Entry) {
	line, err := e.Line()
	if err != nil {
		l.Fatal(err)
	}
	l.current.Write(line)
}

// closeLast closes the last entry as not done.
func (l *testLog) closeLast() {
	e := &l.entries[len(l.entries)-1]
	e.Outcome = audit.NotDone
	l.line(e)
}

// rotate makes a part of the current file; doubled is after a power cut, which leaves the
// entries in both.
func (l *testLog) rotate(doubled bool) {
	l.made++
	path := filepath.Join(l.dir, fmt.Sprint("part-", l.made))
	l.save(path)
	l.parts = append(l.parts, path)
	if !doubled {
		l.current.Reset()
		l.current.WriteString("{}\n")
	}
}

func (l *testLog) save(path string) {
	temp := path + ".tmp"
	if err := errors.Join(os.WriteFile(temp, l.current.Bytes(), 0o600), os.Rename(temp, path)); err != nil {
		l.Fatal(err)
	}
}

func (l *testLog) lines(path string) *journal.Lines {
	return &journal.Lines{Writer: journal.Writer{Path: path}, Header: journal.Header{Check: func([]byte) error { return nil }}}
}

// index is an index of the log.
func (l *testLog) index() *Index {
	return New(Log{Latest: l.lines(filepath.Join(l.dir, "current")), Parts: func() (all []*journal.Lines, err error) {
		for _, path := range l.parts {
			all = append(all, l.lines(path))
		}
		return all, nil
	}})
}

// filter is a random one.
func (l *testLog) filter() (f store.AuditFilter) {
	of := l.entries[l.rnd.IntN(len(l.entries))]
	if l.rnd.IntN(2) == 0 {
		f.Actor = of.Actor
	} else if l.rnd.IntN(3) == 0 {
		f.Actor = of.ActorKey
	}
	if l.rnd.IntN(2) == 0 {
		f.Action = of.Action
	}
	if l.rnd.IntN(4) == 0 {
		f.Record = of.Record
	}
	if l.rnd.IntN(3) == 0 {
		f.Since = of.Time
	}
	if l.rnd.IntN(6) == 0 {
		f.Operation = "op-3"
	}
	return f
}

// wantPages fails the test unless the pages of a list are the entries that the filter
// selects.
func (l *testLog) wantPages(x *Index, f store.AuditFilter, page store.Page) {
	l.Helper()
	var want []int64
	for _, e := range l.entries {
		if f.Match(&e) {
			want = append(want, e.Seq)
		}
	}
	if page.NewestFirst {
		slices.Reverse(want)
	}
	var got []int64
	for pages := 0; pages == 0 || page.After != ""; pages++ {
		entries, next, err := x.Page(context.Background(), f, page)
		if err != nil || page.Limit > 0 && len(entries) > page.Limit || next != "" && len(entries) < page.Limit {
			l.Fatalf("%d entries of %d, %v", len(entries), page.Limit, err)
		}
		for _, e := range entries {
			got = append(got, e.Seq)
			if e.Outcome != l.entries[e.Seq-1].Outcome {
				l.Fatalf("entry %d is %s", e.Seq, e.Outcome)
			}
		}
		page.After = next
	}
	if !slices.Equal(got, want) {
		l.Fatalf("%+v newest first %v: %v, want %v", f, page.NewestFirst, got, want)
	}
}

// TestPages: an index that follows a log finds what reading the log finds, while the log
// grows, is begun again, and loses its oldest part; also if few of its rows fit in memory.
func TestPages(t *testing.T) {
	for _, rows := range []int{maxRows, 60, 1} {
		l := newLog(t)
		x := l.index()
		x.maxRows = rows
		for step := range 40 {
			for range 1 + l.rnd.IntN(20) {
				l.add()
			}
			if l.rnd.IntN(4) == 0 {
				l.closeLast()
			}
			if step%7 == 3 {
				l.rotate(step == 31)
			}
			l.save(filepath.Join(l.dir, "current"))
			for range 5 {
				l.wantPages(x, l.filter(), store.Page{Limit: l.rnd.IntN(30), NewestFirst: l.rnd.IntN(2) == 0})
			}
		}
		first := l.parts[0]
		l.parts = l.parts[1:]
		if entries, _, err := x.Page(t.Context(), store.AuditFilter{}, store.Page{Limit: 1}); err != nil || entries[0].Seq == 1 {
			t.Errorf("without %s: %+v, %v", first, entries, err)
		}
		x.Release()
		l.parts = append([]string{first}, l.parts...)
		l.wantPages(x, store.AuditFilter{}, store.Page{Limit: 100, NewestFirst: true})
	}
}

// TestRowsAreBounded: parts beyond the bound have no rows in memory.
func TestRowsAreBounded(t *testing.T) {
	l := newLog(t)
	for range 10 {
		for range 100 {
			l.add()
		}
		l.rotate(false)
	}
	l.save(filepath.Join(l.dir, "current"))
	x := l.index()
	x.maxRows = 250
	l.wantPages(x, store.AuditFilter{}, store.Page{NewestFirst: true})
	kept := len(x.current.all)
	for _, f := range x.parts {
		kept += len(f.all)
	}
	if kept != 300 {
		t.Errorf("%d rows", kept)
	}
}

// TestBatch: the lines of a batch are entries as others are.
func TestBatch(t *testing.T) {
	l := newLog(t)
	lines := l.lines(filepath.Join(l.dir, "current"))
	lines.Header.Line = []byte("{}\n")
	for range 5 {
		l.add()
	}
	err := lines.Write(t.Context(), nil, func(tx *journal.LineTransaction) error {
		return tx.AppendBatch(len(l.entries), func(i int) ([]byte, error) { return l.entries[i].Line() })
	})
	if err != nil {
		t.Fatal(err)
	}
	x := l.index()
	for range 20 {
		l.wantPages(x, l.filter(), store.Page{Limit: 2})
	}
}

// TestBadLine: a line that is not an entry is an error with its place, until it is
// repaired. A line that only a newer version can read entirely is not.
func TestBadLine(t *testing.T) {
	l := newLog(t)
	l.add()
	good := slices.Clone(l.current.Bytes())
	x := l.index()
	l.current.WriteString(`{"seq":2,"time":"2027-01-01T00:00:00Z","action":"new.thing","outcome":"done","via":"api","more":null}` + "\n")
	l.save(filepath.Join(l.dir, "current"))
	if entries, _, err := x.Page(t.Context(), store.AuditFilter{Action: "new.thing"}, store.Page{}); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	for _, line := range []string{"{", `{"seq":0}`, `{"seq":"x"}`, `{"seq":3,"seq":4}x`} {
		l.current.Reset()
		l.current.Write(append(slices.Clone(good), line+"\n"...))
		l.save(filepath.Join(l.dir, "current"))
		if _, _, err := x.Page(t.Context(), store.AuditFilter{}, store.Page{}); err == nil || !bytes.Contains([]byte(err.Error()), []byte("current:3: ")) {
			t.Errorf("%s: %v", line, err)
		}
	}
	l.current.Reset()
	l.current.Write(good)
	l.save(filepath.Join(l.dir, "current"))
	l.wantPages(x, store.AuditFilter{}, store.Page{})
}

// TestBadPage: what is not a page of this list is refused.
func TestBadPage(t *testing.T) {
	l := newLog(t)
	l.add()
	l.save(filepath.Join(l.dir, "current"))
	for _, page := range []store.Page{{Limit: -1}, {After: "x"}, {After: store.Position{ID: "alice"}.Cursor()}, {After: store.Position{ID: "-1"}.Cursor()}} {
		if _, _, err := l.index().Page(t.Context(), store.AuditFilter{}, page); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%+v: %v", page, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.index().Load(ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// FuzzRow: what a row says of a line is what the entry says.
func FuzzRow(f *testing.F) {
	f.Add([]byte(`{"seq":1,"time":"2026-01-01T00:00:00Z","actor":"a","action":"key.create","target":"k","outcome":"done"}`))
	f.Add([]byte(`{"seq":2,"time":"2026-01-01T00:00:00.5Z","actor":"\u00e9","actor_key":"k","operation":"o","outcome":"x","changes":[{"field":"f","to":[1,{"a":null}]}]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r := New(Log{}).current.rows
		got, err := r.scan(line)
		if err != nil {
			return
		}
		e, err := audit.Decode(line)
		if err != nil {
			return // Page reads the line too
		}
		if got.seq != e.Seq || got.seconds != seconds(e.Time) || got.actor != r.hash([]byte(e.Actor)) || got.record != r.hash([]byte(e.Record)) || got.action != r.hash([]byte(e.Action)) {
			t.Errorf("%+v of %s", got, line)
		}
	})
}

// BenchmarkPage is a page of fifty of a million entries, by a filter that selects few.
func BenchmarkPage(b *testing.B) {
	l := newLog(b)
	for n := range 1_000_000 {
		l.add()
		if n%50_000 == 49_999 {
			l.rotate(false)
		}
	}
	l.save(filepath.Join(l.dir, "current"))
	x := l.index()
	begun := time.Now()
	if err := x.Load(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Logf("read in %v", time.Since(begun))
	var took []time.Duration
	for b.Loop() {
		begun := time.Now()
		if _, _, err := x.Page(b.Context(), l.filter(), store.Page{Limit: 50, NewestFirst: true}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
