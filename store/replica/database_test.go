package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"keyward/apikey"
	"keyward/authz"
)

var errCut = errors.New("the connection is cut")

// database is a simulated source of truth. Its journal is never forgotten, so that a test
// can ask what was in it; cut is up to where replicas do not get it any more.
type database struct {
	mu       sync.Mutex
	identity string
	epoch    string
	lines    []Line
	cut      int64
	records  map[Kind]map[string][]byte
	epochs   int
	forged   []Line // behind the last change

	clock int64 // seconds since base; a restore does not set it back
}

func newDatabase() *database {
	db := &database{identity: "db", epoch: "e0", records: map[Kind]map[string][]byte{}}
	for _, kind := range allKinds {
		db.records[kind] = map[string][]byte{}
	}
	return db
}

var allKinds = []Kind{Revocations, Users, Projects, Clients, Keys}

func (db *database) last() int64 {
	if len(db.lines) == 0 {
		return 0
	}
	return db.lines[len(db.lines)-1].Seq
}

// dump returns the state as it is, for restore.
func (db *database) dump() *database {
	db.mu.Lock()
	defer db.mu.Unlock()
	d := &database{identity: db.identity, epoch: db.epoch, lines: slices.Clone(db.lines), cut: db.cut, records: map[Kind]map[string][]byte{}}
	for kind, records := range db.records {
		d.records[kind] = maps.Clone(records)
	}
	return d
}

func (db *database) restore(d *database) {
	d = d.dump()
	db.mu.Lock()
	defer db.mu.Unlock()
	db.identity, db.epoch, db.lines, db.cut, db.records = d.identity, d.epoch, d.lines, d.cut, d.records
}

// acceptRestore is what keyward store accept-restore does.
func (db *database) acceptRestore() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.epochs++
	db.epoch = fmt.Sprintf("e%d", db.epochs)
}

// put commits a change, which make returns the line of. skip numbers have no line, as
// those of refusals in the audit log.
func (db *database) put(kind Kind, id string, skip int64, make func(before []byte, seq int64) []byte) {
	db.mu.Lock()
	defer db.mu.Unlock()
	seq := db.last() + 1 + skip
	line := make(db.records[kind][id], seq)
	if line == nil {
		return
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	db.records[kind][id] = line
	db.lines = append(db.lines, Line{seq, kind, line})
}

// insert commits a line of the journal that a writer made by itself.
func (db *database) insert(kind Kind, text []byte) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.lines = append(db.lines, Line{db.last() + 1, kind, text})
}

// forge writes lines behind the last change, in place of those before.
func (db *database) forge(lines ...Line) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.forged = lines
}

// set writes the row of a record.
func (db *database) set(kind Kind, id string, line []byte) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.records[kind][id] = line
}

func (db *database) cutTo(seq int64) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if n := len(db.lines); n > 1 {
		db.cut = max(db.cut, min(seq, db.lines[n-2].Seq))
	}
}

// cutBut cuts the journal but for the last lines.
func (db *database) cutBut(lines int) {
	db.mu.Lock()
	last := db.last()
	db.mu.Unlock()
	db.cutTo(last - int64(lines))
}

// at returns the line with that number; nil if there is none.
func (db *database) at(seq int64) *Line {
	i, found := slices.BinarySearchFunc(db.lines, seq, func(l Line, seq int64) int { return int(l.Seq - seq) })
	if !found {
		return nil
	}
	line := db.lines[i]
	return &line
}

// has reports whether the line was ever in the journal.
func (db *database) has(seq int64, text []byte) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	l := db.at(seq)
	return l != nil && bytes.Equal(l.Text, text)
}

func (db *database) head() Head { return Head{Identity: db.identity, Epoch: db.epoch, Last: db.last()} }

// link is one replica's connection to a database.
type link struct {
	db   *database
	wake chan struct{}

	mu         sync.Mutex
	failures   int  // calls that are going to fail
	down       bool // each call fails
	silent     bool // each call waits until its context ends
	unreported bool // each report waits until its context ends
	busy       time.Duration
	schema     bool
	other      bool // each page begins at another line than that of the snapshot
	again      int  // how often more each row comes
	reads      int
	shots      int
	reports    []Status
}

func newLink(db *database) *link { return &link{db: db, wake: make(chan struct{}, 1)} }

func (l *link) call(ctx context.Context) error {
	l.mu.Lock()
	silent, down := l.silent, l.down || l.failures > 0
	l.failures = max(0, l.failures-1)
	schema := l.schema
	l.mu.Unlock()
	switch {
	case silent:
		<-ctx.Done()
		return ctx.Err()
	case down:
		return errCut
	case schema:
		return ErrSchema
	}
	return nil
}

func (l *link) set(change func(*link)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

// ring wakes the replica.
func (l *link) ring() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *link) Wake() <-chan struct{} { return l.wake }

func (l *link) Report(ctx context.Context, s Status) error {
	var unreported bool
	l.set(func(l *link) { l.reports, unreported = append(l.reports, s), l.unreported })
	if unreported {
		<-ctx.Done()
		return ctx.Err()
	}
	return l.call(ctx)
}

func (l *link) Read(ctx context.Context, at int64, limit int) (Page, error) {
	l.set(func(l *link) { l.reads++ })
	if err := l.call(ctx); err != nil {
		return Page{}, err
	}
	l.db.mu.Lock()
	defer l.db.mu.Unlock()
	page := Page{Head: l.db.head()}
	if l.db.cut > at || l.db.cut == at && at > 0 {
		return page, ErrGap
	}
	page.At = l.db.at(at)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.other && page.At != nil {
		page.At.Text = []byte("{}")
	}
	for _, line := range slices.Concat(l.db.lines, l.db.forged) {
		if line.Seq > at && len(page.Lines) < limit {
			page.Lines = append(page.Lines, line)
		}
	}
	return page, nil
}

func (l *link) Snapshot(ctx context.Context) (Snapshot, error) {
	if err := l.call(ctx); err != nil {
		return nil, err
	}
	l.mu.Lock()
	busy := l.busy
	l.shots++
	l.mu.Unlock()
	if busy > 0 {
		return nil, &BusyError{busy}
	}
	return &view{l, l.db.dump()}, nil
}

// view is a snapshot.
type view struct {
	link *link
	db   *database
}

func (v *view) Head() (Head, *Line) { return v.db.head(), v.db.at(v.db.last()) }
func (v *view) Close() error        { return nil }

func (v *view) Each(ctx context.Context, kind Kind, visit func(id, line []byte) error) error {
	for _, id := range slices.Sorted(maps.Keys(v.db.records[kind])) {
		if err := v.link.call(ctx); err != nil {
			return err
		}
		for range 1 + v.link.again {
			if err := visit([]byte(id), v.db.records[kind][id]); err != nil {
				return err
			}
		}
	}
	return nil
}

func testHasher() *apikey.Hasher { return apikey.NewHasher(authz.Secret{}) }
