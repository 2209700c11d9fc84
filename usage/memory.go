package usage

import (
	"hash/maphash"
	"strings"
	"sync"

	"keyward/authz"
	"keyward/cache"
)

// Bounds of what is kept of a request's strings, in bytes. All of them are
// copied: they are parts of a message that would else be kept whole.
const (
	maxPath    = 256
	maxMethod  = 32
	maxAddress = authz.MaxRawAddress
)

// memory holds what was observed of each key since it was last taken out, in
// shards that are locked each for itself. It is bounded: of too many keys those
// that were not used for longest are forgotten.
type memory struct {
	seed   maphash.Seed
	shards []shard
	// doorkeeper, where there is one, keeps out what comes once in a long while: where
	// memory is all there is, keys beyond the bound are forgotten anyway.
	doorkeeper *cache.Doorkeeper
}

const (
	promoteInterval = 1e6 // microseconds
	maxShards       = 64
	perShard        = 16 // with fewer keys than that in each, fewer shards
)

func newMemory(maxKeys int) *memory {
	n := 1
	for n < maxShards && maxKeys >= 2*n*perShard {
		n *= 2
	}
	m := &memory{seed: maphash.MakeSeed(), shards: make([]shard, n)}
	for i := range m.shards {
		m.shards[i].init(maxKeys / n)
	}
	return m
}

func (m *memory) shardOf(id string) *shard { return m.shardAt(maphash.String(m.seed, id)) }

func (m *memory) shardAt(hash uint64) *shard { return &m.shards[hash&uint64(len(m.shards)-1)] }

// observe notes one decision about the key. It reports whether this is the moment to write
// things down: half of the entries there may be in a shard have something in them.
func (m *memory) observe(id string, seen *event) (shouldFlush bool) {
	hash := maphash.String(m.seed, id)
	s := m.shardAt(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[id]
	if e == nil {
		if m.doorkeeper != nil && len(s.entries) >= s.most && !m.doorkeeper.SeenRecently(hash) {
			return false
		}
		e = s.add(id)
	}
	return s.record(e, seen)
}

// shard holds the entries of some of the keys. Those that hold something are
// in fresh, those that were emptied in idle; the last used comes first, give or
// take a promoteInterval.
type shard struct {
	mu          sync.Mutex
	entries     map[string]*entry
	fresh, idle ring
	unflushed   int // entries in fresh
	most        int // entries at all
	lost        int // entries that were forgotten with something in them

	_ [64]byte // the next shard's lock is in another cache line
}

func (s *shard) init(most int) {
	s.entries, s.most = map[string]*entry{}, max(most, 1)
	s.fresh.init()
	s.idle.init()
}

func (s *shard) record(e *entry, seen *event) (shouldFlush bool) {
	if e.total == 0 {
		s.unflushed++
		shouldFlush = s.unflushed == (s.most+1)/2
	}
	// Not each time: the neighbours are seldom in the processor's cache.
	if since := seen.at - e.promotedAt; e.total == 0 || since >= promoteInterval || since < 0 { // a clock that went back
		e.unlink()
		s.fresh.push(e)
		e.promotedAt = seen.at
	}
	e.record(seen)
	return shouldFlush
}

// add makes room for a key and an empty entry of it.
func (s *shard) add(id string) *entry {
	e := &entry{}
	if len(s.entries) >= s.most {
		if e = s.idle.last(); e == nil {
			e = s.fresh.last()
			s.unflushed--
			s.lost++
		}
		e.unlink()
		e.reset()
		delete(s.entries, e.id)
	}
	e.id = strings.Clone(id)
	s.entries[e.id] = e
	return e
}

// drainOldest appends the line of the entry that was not used for longest and empties
// it; false when there is none. The entry stays for the next use of the key.
func (s *shard) drainOldest(dst []byte, round int) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.fresh.last()
	if e == nil {
		return dst, false
	}
	dst = e.appendLine(dst)
	e.reset()
	e.round = round
	e.unlink()
	s.idle.push(e)
	s.unflushed--
	return dst, true
}

// evictIdle drops the entries that were not used since before that round, and
// returns how many were lost since it was last called.
func (s *shard) evictIdle(round int) (lost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.idle.last(); e != nil && e.round < round; e = s.idle.last() {
		e.unlink()
		delete(s.entries, e.id)
	}
	lost, s.lost = s.lost, 0
	return lost
}

func (s *shard) unflushedCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unflushed
}

// get appends the line of a key, if there is anything to say of it.
func (s *shard) get(dst []byte, id string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[id]; e != nil && e.total > 0 {
		return e.appendLine(dst)
	}
	return dst
}

// event is what is recorded of a decision.
type event struct {
	at           int64 // microseconds since 1970
	reason       authz.Reason
	status       int
	method, path string
	address      authz.RawAddress
}

// entry is what was observed of one key. Its buffers are used over and over.
type entry struct {
	links
	id          string
	first, last int64
	promotedAt  int64 // when it last came to the front of fresh
	outcomes
	allowed uint64   // with authz.OK, by far the most
	others  []uint64 // by reason
	round   int      // in which it was last emptied
}

func (e *entry) record(seen *event) {
	if seen.reason == authz.OK {
		e.allowed++
	} else {
		if int(seen.reason) >= len(e.others) {
			e.others = append(e.others, make([]uint64, int(seen.reason)+1-len(e.others))...)
		}
		e.others[seen.reason]++
	}
	if e.total == 0 {
		e.first, e.last = seen.at, seen.at
	}
	e.first, e.last = min(e.first, seen.at), max(e.last, seen.at)
	e.add(seen)
}

// reset makes the entry that of a key never used. Its buffers stay.
func (e *entry) reset() {
	clear(e.others)
	e.total, e.allowed, e.first, e.last = 0, 0, 0, 0
}

func (e *entry) appendLine(dst []byte) []byte {
	t := aggregate{first: e.first, last: e.last}
	if e.allowed > 0 {
		t.results = append(t.results, count{authz.OK.String(), e.allowed})
	}
	for reason, n := range e.others {
		if n > 0 {
			t.results = append(t.results, count{authz.Reason(reason).String(), n})
		}
	}
	var last authz.RawAddress
	e.each(func(seen *event) {
		last = seen.address
		t.outcomes = append(t.outcomes, outcome{seen.at, seen.method, seen.path, seen.status, seen.reason.String()})
	})
	t.address = last.Address().String()
	return appendLine(dst, e.id, &t)
}

// truncate cuts at a byte; half a character at the end becomes U+FFFD when it is written.
func truncate(s string, most int) string { return s[:min(len(s), most)] }

// ring is a list of entries whose links are in them.
type ring struct{ root entry }

type links struct{ next, prev *entry }

func (r *ring) init() { r.root.next, r.root.prev = &r.root, &r.root }

func (r *ring) push(e *entry) {
	e.prev, e.next = &r.root, r.root.next
	e.prev.next, e.next.prev = e, e
}

// last is the entry that was pushed first, nil of an empty ring.
func (r *ring) last() *entry {
	if r.root.prev == &r.root {
		return nil
	}
	return r.root.prev
}

func (e *entry) unlink() {
	if e.next != nil {
		e.prev.next, e.next.prev = e.next, e.prev
		e.next, e.prev = nil, nil
	}
}
