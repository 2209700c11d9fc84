package keystore

import (
	"crypto/subtle"
	"encoding/binary"
	"math"
	"strings"

	"keyward/apikey"
)

// A row is a record as it is held in memory: flat bytes, written once and
// never changed, so that any number may read one while another takes its place.
// A fixed part, which the constants below lay out, comes first; then the
// previous secrets; then name, user, project and rate, each with its length, and
// paths and scopes where the row does not share them.
type row []byte

const (
	rowLength  = 0
	rowSlot    = 4
	rowDigest  = 8
	rowCreated = rowDigest + 32
	rowExpires = rowCreated + 8
	rowFlags   = rowExpires + 8
	rowOld     = rowFlags + 1
	rowTerms   = rowOld + 1
	rowID      = rowTerms + 2
	rowPast    = rowID + len(apikey.ID{})

	pastSize = 32 + 8
)

// The flags.
const (
	rowRevoked = 1 << iota
	rowDeleted
	rowHasScopes
	rowRaw
)

// appendRow encodes a line that was read, whose lists have the number terms.
func appendRow(to []byte, slot uint32, k *keyLine, terms uint16) row {
	start := len(to)
	to = binary.LittleEndian.AppendUint32(to, 0)
	to = binary.LittleEndian.AppendUint32(to, slot)
	to = append(to, k.hash[:]...)
	to = appendInstant(to, instantOf(k.created))
	to = appendInstant(to, instantOf(k.expires))
	to = append(to, rowFlagsOf(k), byte(len(k.previous)))
	to = binary.LittleEndian.AppendUint16(to, terms)
	to = append(to, k.id[:]...)
	for i := range k.previous {
		to = append(to, k.previous[i].Hash[:]...)
		to = appendInstant(to, instantOf(k.previous[i].Until))
	}
	for _, text := range [...][]byte{k.name, k.user, k.project, k.rate} {
		to = appendText(to, text)
	}
	if terms == ownTerms {
		to = appendTexts(appendTexts(to, k.paths), k.scopes)
	}
	binary.LittleEndian.PutUint32(to[start+rowLength:], uint32(len(to)-start))
	return to
}

func rowFlagsOf(k *keyLine) byte {
	flags := byte(0)
	for _, f := range [...]struct {
		on  bool
		bit byte
	}{
		{!k.revoked.IsZero(), rowRevoked}, {!k.deleted.IsZero(), rowDeleted},
		{k.hasScopes, rowHasScopes}, {k.format == apikey.FormatRaw, rowRaw},
	} {
		if f.on {
			flags |= f.bit
		}
	}
	return flags
}

func appendInstant(to []byte, i instant) []byte {
	return binary.LittleEndian.AppendUint64(to, uint64(i))
}

func appendText(to, text []byte) []byte {
	return append(binary.AppendUvarint(to, uint64(len(text))), text...)
}

func appendTexts(to []byte, all [][]byte) []byte {
	to = binary.AppendUvarint(to, uint64(len(all)))
	for _, text := range all {
		to = appendText(to, text)
	}
	return to
}

func (r row) slot() uint32                    { return binary.LittleEndian.Uint32(r[rowSlot:]) }
func (r row) digest() *apikey.Digest          { return (*apikey.Digest)(r[rowDigest:]) }
func (r row) created() instant                { return r.instant(rowCreated) }
func (r row) expires() instant                { return r.instant(rowExpires) }
func (r row) flag(bit byte) bool              { return r[rowFlags]&bit != 0 }
func (r row) id() *apikey.ID                  { return (*apikey.ID)(r[rowID:]) }
func (r row) terms() uint16                   { return binary.LittleEndian.Uint16(r[rowTerms:]) }
func (r row) past() int                       { return int(r[rowOld]) }
func (r row) pastDigest(i int) *apikey.Digest { return (*apikey.Digest)(r[rowPast+i*pastSize:]) }
func (r row) pastUntil(i int) instant         { return r.instant(rowPast + i*pastSize + 32) }

func (r row) instant(at int) instant {
	return instant(binary.LittleEndian.Uint64(r[at:]))
}

// forever is when the current secret ends by itself: not at all.
const forever = instant(math.MaxInt64)

// holds tells whether d is one of the row's secrets, and until when that one
// lives. Digests are compared in constant time.
func (r row) holds(d *apikey.Digest) (until instant, ok bool) {
	if subtle.ConstantTimeCompare(r.digest()[:], d[:]) == 1 {
		return forever, true
	}
	for i := range r.past() {
		if subtle.ConstantTimeCompare(r.pastDigest(i)[:], d[:]) == 1 {
			return r.pastUntil(i), true
		}
	}
	return 0, false
}

// texts is what follows the fixed part, read in order.
type texts struct{ id, rest string }

// texts copies the row's texts once; all that is read from it shares the copy.
func (r row) texts() texts {
	rest := r[rowPast+r.past()*pastSize:]
	var all strings.Builder // a buffer on the stack would have a new goroutine's stack grow
	all.Grow(len(apikey.IDPrefix) + len(apikey.ID{}) + len(rest))
	all.WriteString(apikey.IDPrefix)
	all.Write(r.id()[:])
	all.Write(rest)
	text := all.String()
	return texts{id: text[:len(apikey.IDPrefix)+len(apikey.ID{})], rest: text[len(apikey.IDPrefix)+len(apikey.ID{}):]}
}

func (t *texts) count() int {
	n, shift := 0, 0
	for {
		c := t.rest[0]
		t.rest = t.rest[1:]
		n |= int(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
		shift += 7
	}
}

func (t *texts) text() string {
	n := t.count()
	text := t.rest[:n]
	t.rest = t.rest[n:]
	return text
}

func (t *texts) list() []string {
	n := t.count()
	if n == 0 {
		return nil
	}
	all := make([]string, n)
	for i := range all {
		all[i] = t.text()
	}
	return all
}

// rowIn is the row at offset; it has no length where none was written.
func rowIn(slab []byte, offset int) row {
	n := int(binary.LittleEndian.Uint32(slab[offset+rowLength:]))
	return slab[offset : offset+n : offset+n]
}
