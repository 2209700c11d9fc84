package replica

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"keyward/internal/powercut"
	"keyward/store/filestore/fileheader"
)

// node is one replica: its disk, its Puller, and what its followers have in force.
type node struct {
	t      testing.TB
	db     *database
	link   *link
	disk   *powercut.Disk
	puller *Puller
	stale  time.Duration
	origin string
	now    func() time.Time

	mu      sync.Mutex      // of what follows
	eager   func(Kind) bool // a follower that reads at once; others read when they are awaited
	force   map[Kind]*inForce
	after   []string   // what was in force in a wrong order, or again
	earlier [][]Line   // the journals of the database before it was restored
	rnd     *rand.Rand // nil: nothing takes time
	kinds   map[string]Kind

	accepted map[string]bool // lines whose loss was accepted
}

// inForce is what the follower of a copy has read.
type inForce struct {
	lines map[string][]byte // the last about each record
	ended map[string]Line   // by which a record had ended
	read  int               // bytes
	of    *powercut.Inode
	max   int64
}

func newNode(t testing.TB, db *database) *node {
	n := &node{t: t, db: db, link: newLink(db), eager: func(Kind) bool { return true }, kinds: map[string]Kind{}, accepted: map[string]bool{}}
	for _, kind := range allKinds {
		n.kinds[pathOf(kind)] = kind
	}
	n.boot(powercut.New())
	return n
}

// boot makes the Puller and the followers of a process that starts.
func (n *node) boot(d *powercut.Disk) {
	n.disk = d
	d.Changed = func(path string) {
		if kind, ok := n.kinds[path]; ok && n.eager(kind) {
			n.look(kind)
		}
	}
	n.force = map[Kind]*inForce{}
	for _, kind := range allKinds {
		n.force[kind] = &inForce{lines: map[string][]byte{}, ended: map[string]Line{}}
		n.look(kind)
	}
	cfg := Config{Name: "node", Source: n.link, Hasher: testHasher(), FS: d, MaxStaleness: n.stale, Origin: n.origin, Now: n.now, Await: n.await}
	for _, kind := range allKinds {
		cfg.Files = append(cfg.Files, File{kind, pathOf(kind)})
	}
	var err error
	n.puller, err = New(cfg)
	must(n.t, err)
}

// crash ends the process, and starts it with what the disk kept.
func (n *node) crash(lucky bool, rnd *rand.Rand) {
	must(n.t, n.puller.Close())
	n.boot(n.disk.Restart(lucky, rnd))
	n.puller.Start()
}

func (n *node) await(ctx context.Context, kind Kind, _ int64) error {
	if n.rnd != nil {
		time.Sleep(time.Duration(n.rnd.IntN(20)) * time.Millisecond)
	}
	n.look(kind)
	return ctx.Err()
}

// linesOf returns the complete lines of a copy but for its header.
func (n *node) linesOf(kind Kind) ([][]byte, *powercut.Inode) {
	text, of := n.disk.Read(pathOf(kind))
	end := bytes.LastIndexByte(text, '\n')
	if end < 0 {
		return nil, of
	}
	return bytes.Split(text[:end], []byte("\n"))[1:], of
}

func (n *node) resyncing(kind Kind) bool {
	text, _ := n.disk.Read(pathOf(kind) + progressSuffix)
	return text == nil || bytes.Contains(text, []byte(`"resync"`))
}

// look is the follower of a copy: it puts in force what the file says.
func (n *node) look(kind Kind) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.force[kind]
	lines, of := n.linesOf(kind)
	appended := of == f.of && len(lines) >= f.read
	if !appended {
		f.read, f.lines, f.max = 0, map[string][]byte{}, 0
	}
	end, _ := endingOf(kind, time.Now)
	for _, line := range lines[f.read:] {
		a, err := end.about(line)
		if err != nil {
			continue
		}
		if appended {
			n.inOrder(kind, a.seq, line)
		}
		f.lines[a.id] = line
		f.max = max(f.max, a.seq)
		f.read++
		if appended {
			n.notRevived(kind, a, line)
			n.saw(kind, a, line)
		}
	}
	f.of, f.read = of, len(lines)
	for _, line := range f.lines {
		a, _ := end.about(line)
		n.notRevived(kind, a, line)
		n.saw(kind, a, line)
	}
	n.nothingLost(kind)
}

// saw remembers by which line of the database a record has ended.
func (n *node) saw(kind Kind, a about, line []byte) {
	if a.ended && !isHeld(line) && !n.accepted[string(line)] {
		n.force[kind].ended[a.id] = Line{a.seq, kind, line}
	}
}

// inOrder: all earlier changes of other kinds are in force.
func (n *node) inOrder(kind Kind, seq int64, line []byte) {
	if n.resyncing(kind) || !n.db.has(seq, line) {
		return
	}
	n.db.mu.Lock()
	defer n.db.mu.Unlock()
	for _, l := range n.db.lines {
		f := n.force[l.Kind]
		if checkLine(l.Text) != nil || l.Kind == kind || l.Seq >= seq || f == nil || f.max >= l.Seq || n.resyncing(l.Kind) {
			continue
		}
		n.after = append(n.after, fmt.Sprintf("%s %d is in force before %s %d", kind, seq, l.Kind, l.Seq))
	}
}

// notRevived: what was in force and has ended stays so, unless a later change of the same
// history says otherwise.
func (n *node) notRevived(kind Kind, a about, line []byte) {
	seen, there := n.force[kind].ended[a.id]
	if !there || a.ended {
		return
	}
	delete(n.force[kind].ended, a.id)
	if n.follows(seen, Line{a.seq, kind, line}) || kind == Users && another(seen.Text, line) {
		return
	}
	n.after = append(n.after, fmt.Sprintf("%s %s had ended:\n%s\nand is active again:\n%s", kind, a.id, seen.Text, line))
}

// another reports whether the user was made after the one that had ended, of whom nothing
// counts any more.
func another(ended, line []byte) bool {
	before, now := decodeUser(ended), decodeUser(line)
	return now.Created.After(before.At) && !now.ValidSince.Before(before.EndedAt()) && now.Gen >= before.Gen
}

// nothingLost: a revocation stays.
func (n *node) nothingLost(kind Kind) {
	f := n.force[kind]
	for id := range f.ended {
		if _, there := f.lines[id]; !there && kind == Revocations {
			n.after = append(n.after, fmt.Sprintf("%s %s is missing", kind, id))
			delete(f.ended, id)
		}
	}
}

// follows reports whether a journal has, or had, the one line before the other.
func (n *node) follows(seen, line Line) bool {
	n.db.mu.Lock()
	defer n.db.mu.Unlock()
	for _, lines := range append([][]Line{n.db.lines}, n.earlier...) {
		i := slices.IndexFunc(lines, func(l Line) bool { return l.Seq == seen.Seq && bytes.Equal(l.Text, seen.Text) })
		j := slices.IndexFunc(lines, func(l Line) bool { return l.Seq == line.Seq && bytes.Equal(l.Text, line.Text) })
		if i >= 0 && j > i {
			return true
		}
	}
	return false
}

// forget has what has ended be active again: an operator has accepted that.
func (n *node) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for kind, f := range n.force {
		f.ended = map[string]Line{}
		lines, _ := n.linesOf(kind)
		for _, line := range lines {
			n.accepted[string(line)] = true
		}
	}
}

// check reports what was wrong at any time, and how the copies differ from the database:
// what is held has ended.
func (n *node) check(exact bool) {
	n.t.Helper()
	for _, wrong := range n.after {
		n.t.Error(wrong)
	}
	for _, kind := range allKinds {
		end, _ := endingOf(kind, time.Now)
		want := map[string][]byte{}
		for _, line := range n.db.records[kind] {
			a, err := end.about(line)
			must(n.t, err)
			want[a.id] = line
		}
		n.look(kind)
		for id, line := range n.force[kind].lines {
			a, err := end.about(line)
			must(n.t, err)
			switch {
			case isHeld(line) && !exact:
				if len(want[id]) == 0 && !a.ended {
					n.t.Errorf("%s %s is not in the database, and active: %s", kind, id, line)
				}
			case !bytes.Equal(line, want[id]):
				n.t.Errorf("%s %s: got\n%s\nwant\n%s", kind, id, line, want[id])
			}
			delete(want, id)
		}
		for id := range want {
			n.t.Errorf("%s %s is missing", kind, id)
		}
		text, _ := n.disk.Read(pathOf(kind))
		first, _, _ := bytes.Cut(text, []byte("\n"))
		if h, err := fileheader.Read(first); err != nil || h.CopyOf != n.db.identity {
			n.t.Errorf("%s: the header is %q, %v", kind, first, err)
		}
	}
}
