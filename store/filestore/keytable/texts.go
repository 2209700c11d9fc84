package keytable

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// texts has the hint and the name of each key, by which lists search: one after the other in
// large chunks, because a string of its own for each key takes twice as much memory.
type texts struct {
	chunks  [][]byte
	size    int // of all chunks
	unused  int // bytes of texts that were replaced
	packed  int // how often the texts were packed
	longest int // how many bytes the longest took
}

// textRef is where a key's texts are.
type textRef uint32

// noTexts is that of a key whose texts are not there.
const noTexts textRef = 1<<32 - 1

const (
	chunkBits = 20
	textChunk = 1 << chunkBits
	// manyUnused is from how many unused bytes on the texts are packed.
	manyUnused = 1 << 20
)

// add keeps the texts. Those that do not fit have no place.
func (t *texts) add(hint, name string) textRef {
	var lengths [2 * binary.MaxVarintLen64]byte
	n := binary.PutUvarint(lengths[:], uint64(len(hint)))
	n += binary.PutUvarint(lengths[n:], uint64(len(name)))
	size := n + len(hint) + len(name)
	last := len(t.chunks) - 1
	if last < 0 || len(t.chunks[last])+size > textChunk {
		if size > textChunk || len(t.chunks) == 1<<(32-chunkBits)-1 {
			return noTexts
		}
		t.chunks = append(t.chunks, make([]byte, 0, textChunk))
		last++
	}
	at := len(t.chunks[last])
	t.chunks[last] = append(append(append(t.chunks[last], lengths[:n]...), hint...), name...)
	t.size, t.longest = t.size+size, max(t.longest, size)
	return textRef(last<<chunkBits | at)
}

// get returns the texts, and how many bytes they take.
func (t *texts) get(ref textRef) (hint, name []byte, size int) {
	if ref == noTexts {
		return nil, nil, 0
	}
	text := t.chunks[ref>>chunkBits][ref&(textChunk-1):]
	hintLen, n := binary.Uvarint(text)
	nameLen, m := binary.Uvarint(text[n:])
	hint = text[n+m:][:hintLen]
	name = text[n+m:][hintLen:][:nameLen]
	return hint, name, n + m + int(hintLen) + int(nameLen)
}

// replace keeps the texts in place of earlier ones.
func (t *texts) replace(ref textRef, hint, name string) textRef {
	oldHint, oldName, size := t.get(ref)
	if ref != noTexts && string(oldHint) == hint && string(oldName) == name {
		return ref
	}
	t.unused += size
	return t.add(hint, name)
}

// wasteful reports whether most of the memory is that of texts which were replaced.
func (t *texts) wasteful() bool { return t.unused > manyUnused && 2*t.unused > t.size }

// Search is a text that lists look for, and where the chunks of texts have it: to go through a
// chunk at once is many times as fast as text by text. The zero Search has looked at none. It
// is for one text.
type Search struct {
	packed int
	chunks []searched
}

// searched is what is known of a chunk of that length.
type searched struct {
	length int
	// near has a bit for each granule of the chunk: whether the text is in a key's texts that
	// begin there. It may be set where the text is only not far behind. nil: no bit is set.
	near []uint64
}

// granuleBits is the size of a granule, the length of short texts: a search through the keys
// looks at one bit for each of them.
const granuleBits = 5

// match reports whether the search finds a key by its texts, as store.KeyFilter does; of a key
// whose texts are not there, that it may.
func (t *texts) match(ref textRef, text []byte, s *Search) bool {
	if ref == noTexts {
		return true
	}
	if !s.near(t, ref, text) {
		return false
	}
	hint, name, _ := t.get(ref)
	return bytes.Equal(hint, text) || bytes.Contains(name, text)
}

// begin has the search go on in the texts as they are now.
func (s *Search) begin(t *texts) {
	if s.packed != t.packed {
		*s = Search{packed: t.packed}
	}
	for len(s.chunks) < len(t.chunks) {
		s.chunks = append(s.chunks, searched{})
	}
}

// near reports whether the text is found at the reference or not far behind.
func (s *Search) near(t *texts, ref textRef, text []byte) bool {
	known := s.at(t, ref>>chunkBits, text)
	if known.near == nil {
		return false
	}
	granule := ref & (textChunk - 1) >> granuleBits
	return known.near[granule/64]>>(granule%64)&1 != 0
}

// span is where the texts of a chunk of rows are; the zero span is that of no text.
type span struct {
	from, to textRef
	unknown  bool // there is a row whose texts are not there
}

// with returns the span with one more reference.
func (s span) with(ref textRef) span {
	switch {
	case ref == noTexts:
		s.unknown = true
	case s.to == 0:
		s.from, s.to = ref, ref+1
	default:
		s.from, s.to = min(s.from, ref), max(s.to, ref+1)
	}
	return s
}

// within reports whether the text may be in the texts of the span.
func (s *Search) within(t *texts, where span, text []byte) bool {
	if where.unknown {
		return true
	}
	for at := where.from; at < where.to; {
		end := min(where.to, (at>>chunkBits+1)<<chunkBits)
		if s.at(t, at>>chunkBits, text).any(at&(textChunk-1), (end-1)&(textChunk-1)) {
			return true
		}
		at = end
	}
	return false
}

// any reports whether a bit is set from one place to another, or beside them.
func (s *searched) any(from, to textRef) bool {
	if s.near == nil {
		return false
	}
	return slices.ContainsFunc(s.near[from>>granuleBits/64:to>>granuleBits/64+1], func(bits uint64) bool { return bits != 0 })
}

// at returns what is known of a chunk.
func (s *Search) at(t *texts, n textRef, text []byte) *searched {
	known := &s.chunks[n]
	if chunk := t.chunks[n]; known.length != len(chunk) {
		*known = find(text, chunk, t.longest)
	}
	return known
}

// find looks for the text in a chunk whose texts are up to so long, by its rarest byte: names
// begin alike, so that the first one is in most of them.
func find(text, chunk []byte, longest int) searched {
	found := searched{length: len(chunk)}
	rarest := rarestByte(text, chunk)
	for from := rarest; from < len(chunk); from++ {
		next := bytes.IndexByte(chunk[from:], text[rarest])
		if next < 0 {
			break
		}
		from += next
		if at := from - rarest; bytes.HasPrefix(chunk[at:], text) {
			found.set(max(0, at-longest+1), at)
		}
	}
	return found
}

// set sets the bits of the granules from one place to another.
func (s *searched) set(from, to int) {
	if s.near == nil {
		s.near = make([]uint64, 1+s.length>>granuleBits/64)
	}
	for granule := from >> granuleBits; granule <= to>>granuleBits; granule++ {
		s.near[granule/64] |= 1 << (granule % 64)
	}
}

// rarestByte is the place in the text of the byte that is rarest at the chunk's beginning.
func rarestByte(text, chunk []byte) (rarest int) {
	var frequency [256]int
	for _, c := range chunk[:min(len(chunk), 4<<10)] {
		frequency[c]++
	}
	for i, c := range text {
		if frequency[c] < frequency[text[rarest]] {
			rarest = i
		}
	}
	return rarest
}
