package usage

import (
	"hash/maphash"
	"sync"

	"keyward/authz"
	"keyward/cache"
)

// Bounds of the strings kept of a request, in bytes. All are copied: they are
// parts of a message, which would otherwise be kept entirely.
const (
	maxPath    = 256
	maxMethod  = 32
	maxAddress = authz.MaxRawAddress
)

// memory holds what was observed of each key since the last flush, in shards with
// a lock each. It is bounded: beyond the bound the least recently used keys are
// evicted.
type memory struct {
	seed   maphash.Seed
	shards []shard
	// doorkeeper, if there is one, rejects keys that are used only once in a long
	// time. Without a file, keys beyond the bound are lost anyway.
	doorkeeper *cache.Doorkeeper
}

const (
	promoteInterval = 1e6 // microseconds
	maxShards       = 64
	perShard        = 16 // with fewer keys per shard there are fewer shards
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

// observe records one decision about the key. It reports whether to flush now:
// half of the entries that the shard may have are unflushed.
func (m *memory) observe(text string, seen *event) (shouldFlush bool) {
	id, ok := idOf(text)
	if !ok {
		return false
	}
	hash := maphash.String(m.seed, text)
	s := m.shardAt(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[id]
	if e == nil {
		if m.doorkeeper != nil && len(s.entries) >= s.maxEntries && !m.doorkeeper.SeenRecently(hash) {
			return false
		}
		e = s.add(id)
	}
	return s.record(e, seen)
}

// shard holds the entries of some of the keys. Unflushed entries are in fresh,
// flushed ones in idle; the last used comes first, to within a promoteInterval.
type shard struct {
	mu          sync.Mutex
	entries     map[keyID]*entry
	fresh, idle ring
	unflushed   int // entries in fresh
	maxEntries  int // in fresh and idle
	lost        int // unflushed entries that were evicted

	_ [64]byte // the next shard's lock is in another cache line
}

func (s *shard) init(maxEntries int) {
	s.entries, s.maxEntries = map[keyID]*entry{}, max(maxEntries, 1)
	s.fresh.init()
	s.idle.init()
}

func (s *shard) record(e *entry, seen *event) (shouldFlush bool) {
	if e.total == 0 {
		s.unflushed++
		shouldFlush = s.unflushed == (s.maxEntries+1)/2
	}
	// Not each time: the neighbours are seldom in the CPU cache.
	if since := seen.at - e.promotedAt; e.total == 0 || since >= promoteInterval || since < 0 { // the clock went back
		e.unlink()
		s.fresh.push(e)
		e.promotedAt = seen.at
	}
	e.record(seen)
	return shouldFlush
}

// add returns a new empty entry for a key, and evicts another if the shard is
// full.
func (s *shard) add(id keyID) *entry {
	e := &entry{}
	if len(s.entries) >= s.maxEntries {
		if e = s.idle.last(); e == nil {
			e = s.fresh.last()
			s.unflushed--
			s.lost++
		}
		e.unlink()
		e.reset()
		delete(s.entries, e.id)
	}
	e.id, e.flushed = id, 0
	s.entries[e.id] = e
	return e
}

// drainOldest appends the lines of the least recently used unflushed entry, adds its days
// to those of all keys, and resets the entry, which stays for the next use of the key. It
// returns false if there is none.
func (s *shard) drainOldest(dst []byte, all *daily, round int) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.fresh.last()
	if e == nil {
		return dst, false
	}
	dst = e.appendLines(dst)
	days := e.calendar.daily()
	all.add(&days)
	e.flushed = e.last
	e.reset()
	e.round = round
	e.unlink()
	s.idle.push(e)
	s.unflushed--
	return dst, true
}

// evictIdle drops the entries that were last used before that round, and returns
// how many unflushed ones were evicted since its last call.
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

// get appends the lines of a key, if it has any.
func (s *shard) get(dst []byte, id string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, _ := idOf(id)
	if e := s.entries[key]; e != nil && e.total > 0 {
		return e.appendLines(dst)
	}
	return dst
}

// lastUse returns when the key was last used, zero if it is not here: also of a use
// that is being written to the file.
func (m *memory) lastUse(id string) int64 {
	s := m.shardOf(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	key, _ := idOf(id)
	e := s.entries[key]
	if e == nil {
		return 0
	}
	return max(e.last, e.flushed)
}

// event is the recorded part of a decision.
type event struct {
	at           int64 // microseconds since 1970
	reason       authz.Reason
	status       int
	method, path string
	address      authz.RawAddress

	previousSecret bool // the key was presented by one
}

// entry is what was observed of one key. Its buffers are reused. What each check of the
// key changes comes first and together, since it is seldom in the processor's cache.
type entry struct {
	first, last int64
	promotedAt  int64  // when it was last moved to the front of fresh
	allowed     uint64 // with authz.OK, by far the most frequent
	outcomes
	calendar calendar

	links
	id      keyID
	flushed int64    // the last use that was flushed; 0: none was while the entry is here
	others  []uint64 // by reason
	round   int      // of the last reset
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
	e.calendar.count(seen)
}

// reset makes the entry that of an unused key, and keeps its buffers.
func (e *entry) reset() {
	clear(e.others)
	e.total, e.allowed, e.first, e.last = 0, 0, 0, 0
	e.calendar.reset()
}

// appendLines appends the lines of the key.
func (e *entry) appendLines(dst []byte) []byte {
	t := aggregate{first: e.first, last: e.last, daily: e.calendar.daily()}
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
	return appendLines(dst, e.id.String(), &t)
}

// truncate cuts at a byte; an incomplete character at the end is written as
// U+FFFD.
func truncate(s string, maxBytes int) string { return s[:min(len(s), maxBytes)] }

// ring is an intrusive list of entries.
type ring struct{ root entry }

type links struct{ next, prev *entry }

func (r *ring) init() { r.root.next, r.root.prev = &r.root, &r.root }

func (r *ring) push(e *entry) {
	e.prev, e.next = &r.root, r.root.next
	e.prev.next, e.next.prev = e, e
}

// last returns the entry that was pushed first, nil if the ring is empty.
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
