package usage

import (
	"encoding/binary"

	"keyward/authz"
)

// outcomes are the last decisions about a key, in one piece of memory. Keys are
// many and are used in any order: each further piece would be a further cache
// miss, which is the main cost of recording.
type outcomes struct {
	slots []byte // of equal size, used as a ring
	size  int    // of a slot, in bytes
	total uint64 // number added since the last reset
}

// A slot begins with these, little endian; method, path and address follow.
const (
	slotAt      = 0  // 8 bytes: microseconds since 1970
	slotStatus  = 8  // 2 bytes
	slotReason  = 10 // 1 byte
	slotMethod  = 11 // 1 byte: length
	slotPath    = 12 // 2 bytes: length
	slotAddress = 14 // 1 byte: length
	slotText    = 15

	slotStep = 16 // sizes are multiples of it
)

// add copies the outcome. It overwrites the oldest if maxOutcomes are kept.
func (o *outcomes) add(seen *event) {
	method, path, address := truncate(seen.method, maxMethod), truncate(seen.path, maxPath), truncate(string(seen.address), maxAddress)
	need := slotText + len(method) + len(path) + len(address)
	turn := int(o.total % maxOutcomes)
	if need > o.size || (turn+1)*o.size > len(o.slots) {
		o.grow(need, turn+1)
	}
	slot := o.slots[turn*o.size:][:o.size]
	binary.LittleEndian.PutUint64(slot[slotAt:], uint64(seen.at))
	binary.LittleEndian.PutUint16(slot[slotStatus:], uint16(seen.status))
	slot[slotReason], slot[slotMethod], slot[slotAddress] = byte(seen.reason), byte(len(method)), byte(len(address))
	binary.LittleEndian.PutUint16(slot[slotPath:], uint16(len(path)))
	n := slotText
	n += copy(slot[n:], method)
	n += copy(slot[n:], path)
	copy(slot[n:], address)
	o.total++
}

// grow makes the slots large enough for outcomes of that size, and doubles their
// number, up to maxOutcomes.
func (o *outcomes) grow(size, count int) {
	had := 0
	if o.size > 0 {
		had = len(o.slots) / o.size
	}
	if count > had {
		had = min(max(2*had, 2), maxOutcomes)
	}
	bigger := outcomes{size: max(o.size, (size+slotStep-1)/slotStep*slotStep), total: o.total}
	bigger.slots = make([]byte, had*bigger.size)
	for i := range len(o.slots) / max(o.size, 1) {
		copy(bigger.slots[i*bigger.size:], o.slots[i*o.size:][:o.size])
	}
	*o = bigger
}

// each calls visit for each outcome, the oldest first.
func (o *outcomes) each(visit func(seen *event)) {
	for i := o.total - min(o.total, maxOutcomes); i < o.total; i++ {
		slot := o.slots[int(i%maxOutcomes)*o.size:][:o.size]
		text := string(slot[slotText:])
		method, path := int(slot[slotMethod]), int(binary.LittleEndian.Uint16(slot[slotPath:]))
		visit(&event{
			at: int64(binary.LittleEndian.Uint64(slot[slotAt:])), reason: authz.Reason(slot[slotReason]),
			status: int(binary.LittleEndian.Uint16(slot[slotStatus:])),
			method: text[:method], path: text[method : method+path],
			address: authz.RawAddress(text[method+path : method+path+int(slot[slotAddress])]),
		})
	}
}
