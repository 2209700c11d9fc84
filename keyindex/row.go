package keyindex

import (
	"crypto/subtle"
	"encoding/binary"
	"math"
	"strings"
	"time"

	"keyward/apikey"
	"keyward/store"
)

// A row is a record as it is held in memory: flat bytes, written once and
// never changed, so that any number may read one while another takes its place.
// A fixed part, which the constants below lay out, comes first; then the
// previous secrets; then the times of a key that was rotated or is to begin later,
// if its flags say so; then name, user, project and rate, each with its length, paths
// and scopes if the row does not share them, and networks if it has some.
type row []byte

const (
	rowLength  = 0
	rowSlot    = 4
	rowDigest  = 8
	rowCreated = rowDigest + 32
	rowExpires = rowCreated + 8
	rowFlags   = rowExpires + 8
	rowCount   = rowFlags + 1 // of previous secrets
	rowAccess  = rowCount + 1
	rowID      = rowAccess + 2
	rowHead    = rowID + len(apikey.ID{}) // the length of the fixed part

	previousSize = 32 + 8
)

// The flags.
const (
	rowRevoked = 1 << iota
	rowDeleted
	rowHasScopes
	rowRaw
	rowPaused
	rowNotBefore
	rowRotated
	rowNetworks
)

// appendRow encodes a record, whose paths and scopes have the number access.
func appendRow(to []byte, slot uint32, id *apikey.ID, r *store.KeyRecord, access uint16) row {
	start := len(to)
	to = binary.LittleEndian.AppendUint32(to, 0)
	to = binary.LittleEndian.AppendUint32(to, slot)
	to = append(to, r.Hash[:]...)
	to = appendUnixMicros(to, unixMicrosOf(r.Created))
	to = appendUnixMicros(to, unixMicrosOf(r.Expires))
	to = append(to, rowFlagsOf(r), byte(len(r.Previous)))
	to = binary.LittleEndian.AppendUint16(to, access)
	to = append(to, id[:]...)
	for i := range r.Previous {
		to = append(to, r.Previous[i].Hash[:]...)
		to = appendUnixMicros(to, unixMicrosOf(r.Previous[i].Until))
	}
	for _, at := range [...]time.Time{r.Rotated, r.NotBefore} {
		if !at.IsZero() {
			to = appendUnixMicros(to, unixMicrosOf(at))
		}
	}
	for _, text := range [...]string{r.Name, r.User, r.Project, r.Rate} {
		to = appendText(to, text)
	}
	if access == inlineAccess {
		to = appendTexts(appendTexts(to, r.Paths), r.OwnScopes())
	}
	if len(r.CIDRs) > 0 {
		to = appendNetworks(to, r.CIDRs)
	}
	binary.LittleEndian.PutUint32(to[start+rowLength:], uint32(len(to)-start))
	return to
}

func rowFlagsOf(r *store.KeyRecord) byte {
	flags := byte(0)
	for _, f := range [...]struct {
		on  bool
		bit byte
	}{
		{!r.Revoked.IsZero() || r.Unsupported, rowRevoked}, {!r.Deleted.IsZero(), rowDeleted},
		{r.Scopes != nil, rowHasScopes}, {r.Format == apikey.FormatRaw, rowRaw},
		{r.Paused != nil, rowPaused}, {!r.NotBefore.IsZero(), rowNotBefore}, {!r.Rotated.IsZero(), rowRotated}, {len(r.CIDRs) > 0, rowNetworks},
	} {
		if f.on {
			flags |= f.bit
		}
	}
	return flags
}

func appendUnixMicros(to []byte, i unixMicros) []byte {
	return binary.LittleEndian.AppendUint64(to, uint64(i))
}

func appendText(to []byte, text string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(text))), text...)
}

func appendTexts(to []byte, all []string) []byte {
	to = binary.AppendUvarint(to, uint64(len(all)))
	for _, text := range all {
		to = appendText(to, text)
	}
	return to
}

func (r row) slot() uint32           { return binary.LittleEndian.Uint32(r[rowSlot:]) }
func (r row) digest() *apikey.Digest { return (*apikey.Digest)(r[rowDigest:]) }
func (r row) created() unixMicros    { return r.unixMicros(rowCreated) }
func (r row) expires() unixMicros    { return r.unixMicros(rowExpires) }
func (r row) flag(bit byte) bool     { return r[rowFlags]&bit != 0 }
func (r row) id() *apikey.ID         { return (*apikey.ID)(r[rowID:]) }
func (r row) access() uint16         { return binary.LittleEndian.Uint16(r[rowAccess:]) }

// previous returns how many previous secrets there are.
func (r row) previous() int { return int(r[rowCount]) }
func (r row) previousDigest(i int) *apikey.Digest {
	return (*apikey.Digest)(r[rowHead+i*previousSize:])
}
func (r row) previousUntil(i int) unixMicros { return r.unixMicros(rowHead + i*previousSize + 32) }

// inGrace reports whether an earlier secret is valid.
func (r row) inGrace(at unixMicros) bool {
	for i := range r.previous() {
		if r.previousUntil(i) > at {
			return true
		}
	}
	return false
}

// rotated returns when the key was rotated last, notBefore when it begins; zero if it was
// not, or at once.
func (r row) rotated() unixMicros { return r.optionalTime(rowRotated, 0) }
func (r row) notBefore() unixMicros {
	if r.flag(rowRotated) {
		return r.optionalTime(rowNotBefore, 8)
	}
	return r.optionalTime(rowNotBefore, 0)
}

// optionalTime returns the time that a flag announces, at its place among such times.
func (r row) optionalTime(flag byte, at int) unixMicros {
	if !r.flag(flag) {
		return 0
	}
	return r.unixMicros(rowHead + r.previous()*previousSize + at)
}

// textsAt returns the offset of the texts.
func (r row) textsAt() int {
	at := rowHead + r.previous()*previousSize
	for _, flag := range [...]byte{rowRotated, rowNotBefore} {
		if r.flag(flag) {
			at += 8
		}
	}
	return at
}

func (r row) unixMicros(at int) unixMicros {
	return unixMicros(binary.LittleEndian.Uint64(r[at:]))
}

// forever is when the current secret ends by itself: not at all.
const forever = unixMicros(math.MaxInt64)

// holds reports whether d is one of the row's secrets, and until when that one
// is valid. Digests are compared in constant time.
func (r row) holds(d *apikey.Digest) (until unixMicros, ok bool) {
	if subtle.ConstantTimeCompare(r.digest()[:], d[:]) == 1 {
		return forever, true
	}
	for i := range r.previous() {
		if subtle.ConstantTimeCompare(r.previousDigest(i)[:], d[:]) == 1 {
			return r.previousUntil(i), true
		}
	}
	return 0, false
}

// rowDecoder reads what follows the fixed part, in order.
type rowDecoder struct{ id, rest string }

// decoder copies the row's texts once; all that is read from it shares the copy.
func (r row) decoder() rowDecoder {
	rest := r[r.textsAt():]
	var all strings.Builder // a buffer on the stack would have a new goroutine's stack grow
	all.Grow(len(apikey.IDPrefix) + len(apikey.ID{}) + len(rest))
	all.WriteString(apikey.IDPrefix)
	all.Write(r.id()[:])
	all.Write(rest)
	text := all.String()
	return rowDecoder{id: text[:len(apikey.IDPrefix)+len(apikey.ID{})], rest: text[len(apikey.IDPrefix)+len(apikey.ID{}):]}
}

func (d *rowDecoder) count() int {
	n, shift := 0, 0
	for {
		c := d.rest[0]
		d.rest = d.rest[1:]
		n |= int(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
		shift += 7
	}
}

func (d *rowDecoder) text() string {
	n := d.count()
	text := d.rest[:n]
	d.rest = d.rest[n:]
	return text
}

func (d *rowDecoder) list() []string {
	n := d.count()
	if n == 0 {
		return nil
	}
	all := make([]string, n)
	for i := range all {
		all[i] = d.text()
	}
	return all
}

// networks returns those at the end of a row.
func (d *rowDecoder) networks() Networks {
	n := int(d.rest[0]) | int(d.rest[1])<<8
	return Networks{bytes: d.rest[2 : 2+n]}
}

// rowIn returns the row at offset; it has no length where none was written.
func rowIn(slab []byte, offset int) row {
	n := int(binary.LittleEndian.Uint32(slab[offset+rowLength:]))
	return slab[offset : offset+n : offset+n]
}
