package keyindex

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"sync/atomic"
	"time"

	"keyward/apikey"
	"keyward/store"
)

var (
	errID    = errors.New("an invalid id")
	errOwned = errors.New("a hash that another key has")
	errFull  = errors.New("more keys than can be held")
)

// keySet indexes the keys of one generation of a store. One goroutine applies
// records while any number of them find keys.
type keySet struct {
	generation uint64
	rows       *rows
	digests    *index // also of previous secrets
	ids        *index
	access     *internedAccess
	raw        atomic.Int64 // keys of FormatRaw

	// The writer's own.
	seed    maphash.Seed
	encoded row
}

func newKeySet(generation uint64) *keySet {
	return &keySet{
		generation: generation, rows: newRows(), digests: newIndex(), ids: newIndex(),
		access: newInternedAccess(), seed: maphash.MakeSeed(),
	}
}

// A digest is as random as a hash can be.
func digestHash(d *apikey.Digest) uint32 { return binary.LittleEndian.Uint32(d[:]) }

func (s *keySet) idHash(id *apikey.ID) uint32 { return uint32(maphash.Bytes(s.seed, id[:])) }

// slotOf returns the slot of the key with this id.
func (s *keySet) slotOf(id *apikey.ID) (uint32, bool) {
	search := s.ids.search(s.idHash(id))
	for {
		slot, ok := search.next()
		if !ok {
			return 0, false
		}
		if held, _ := s.rows.get(slot); *held.id() == *id {
			return slot, true
		}
	}
}

// findID returns the row of the key with this id.
func (s *keySet) findID(id string) (row, Revision, bool) {
	parsed, ok := apikey.ParseID([]byte(id))
	if !ok {
		return nil, Revision{}, false
	}
	slot, ok := s.slotOf(&parsed)
	if !ok {
		return nil, Revision{}, false
	}
	held, at := s.rows.get(slot)
	return held, Revision{s.generation, slot, at}, true
}

// find returns the row that has d among its secrets, and until when that secret is
// valid.
func (s *keySet) find(d *apikey.Digest) (row, Revision, unixMicros, bool) {
	search := s.digests.search(digestHash(d))
	for {
		slot, ok := search.next()
		if !ok {
			return nil, Revision{}, 0, false
		}
		held, at := s.rows.get(slot)
		if until, ok := held.holds(d); ok {
			return held, Revision{s.generation, slot, at}, until, true
		}
	}
}

// Apply puts a record in force. The moment at which the row takes the old one's
// place is the moment of the entire change: a secret counts from when its row has it,
// whatever the index says, and no longer than that.
func (s *keySet) Apply(r *store.KeyRecord) (ended time.Time, err error) {
	id, ok := apikey.ParseID([]byte(r.ID))
	if !ok {
		return time.Time{}, errID
	}
	slot, known := s.slotOf(&id)
	if r.Unsupported {
		if r = s.unsupported(r, slot, known); r == nil {
			return time.Time{}, nil
		}
	}
	access, err := s.access.number(r.Paths, r.OwnScopes())
	if err != nil {
		return time.Time{}, err
	}
	if s.claimed(r, slot, known) {
		return time.Time{}, errOwned
	}
	var old row
	if known {
		old, _ = s.rows.get(slot)
	} else {
		if s.rows.count == maxSlots {
			return time.Time{}, errFull
		}
		slot = s.rows.add()
	}
	s.encoded = appendRow(s.encoded[:0], slot, &id, r, access)
	if !known {
		s.rows.put(slot, s.encoded)
		s.ids.add(s.idHash(&id), slot)
		s.indexSecrets(s.encoded, nil, s.digests.add)
	} else {
		s.indexSecrets(s.encoded, old, s.digests.add)
		s.rows.put(slot, s.encoded)
		s.indexSecrets(old, s.encoded, s.digests.remove)
	}
	s.count(old, s.encoded)
	return endedBy(old, s.encoded, r.At), nil
}

// unsupported returns the record that stands for one that this version does not
// support. It permits nothing. Where the line has no secret, or that of another key,
// it keeps the secrets that the key had, so that they are denied as those of a key that
// ended and not as unknown ones. It returns nil for a key that never had a secret.
func (s *keySet) unsupported(r *store.KeyRecord, slot uint32, known bool) *store.KeyRecord {
	c := *r
	c.Paths, c.Scopes, c.CIDRs = nil, nil, nil
	if c.Hash != (apikey.Digest{}) && !s.claimed(r, slot, known) {
		if c.Format == "" {
			c.Format = apikey.FormatRaw // which any secret may be
		}
		return &c
	}
	if !known {
		return nil
	}
	held, _ := s.rows.get(slot)
	c.Hash, c.Previous, c.Format = *held.digest(), nil, ""
	for i := range held.previous() {
		c.Previous = append(c.Previous, store.PreviousSecret{Hash: *held.previousDigest(i), Until: held.previousUntil(i).time()})
	}
	if held.flag(rowRaw) {
		c.Format = apikey.FormatRaw
	}
	return &c
}

// indexSecrets calls change for each secret of one row that the other lacks.
func (s *keySet) indexSecrets(of, without row, change func(hash, slot uint32)) {
	lacks := func(d *apikey.Digest) bool {
		if without == nil {
			return true
		}
		_, has := without.holds(d)
		return !has
	}
	if d := of.digest(); lacks(d) {
		change(digestHash(d), of.slot())
	}
	for i := range of.previous() {
		if d := of.previousDigest(i); lacks(d) {
			change(digestHash(d), of.slot())
		}
	}
}

// claimed reports whether another key has one of the record's secrets.
func (s *keySet) claimed(r *store.KeyRecord, slot uint32, known bool) bool {
	owned := func(d *apikey.Digest) bool {
		_, revision, _, found := s.find(d)
		return found && (!known || revision.slot != slot)
	}
	if owned(&r.Hash) {
		return true
	}
	for i := range r.Previous {
		if owned(&r.Previous[i].Hash) {
			return true
		}
	}
	return false
}

// count keeps the number of raw keys.
func (s *keySet) count(old, now row) {
	was := old != nil && old.flag(rowRaw) && !old.flag(rowDeleted)
	is := now.flag(rowRaw) && !now.flag(rowDeleted)
	switch {
	case is && !was:
		s.raw.Add(1)
	case was && !is:
		s.raw.Add(-1)
	}
}

// endedBy returns at, the time of the record, if that record ended the key, and else
// zero.
func endedBy(old, now row, at time.Time) time.Time {
	const ended = rowRevoked | rowDeleted
	if old != nil && old.flag(ended) || !now.flag(ended) {
		return time.Time{}
	}
	return at
}
