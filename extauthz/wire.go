package extauthz

import (
	"encoding/binary"
	"errors"
)

// errWire is the error for a message that is malformed, or that has what no
// proxy sends: groups, or a singular field twice.
var errWire = errors.New("malformed CheckRequest")

// Wire types of the protobuf encoding.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// fields iterates over the length-delimited fields of a protobuf message and
// skips all others. It works on a string so that values can be kept without a
// copy.
//
//	for f := (fields{rest: message}); f.next(); { … f.number, f.value … }
//
// Afterwards err is nil if the message is well formed as far as it was read.
type fields struct {
	rest   string
	number uint64
	value  string
	err    error
}

func (f *fields) next() bool {
	for f.rest != "" {
		tag, n := varint(f.rest)
		if n == 0 || tag>>3 == 0 || tag>>3 > 1<<29-1 {
			return f.stop()
		}
		rest := f.rest[n:]
		var size uint64
		switch tag & 7 {
		case wireBytes:
			length, n := varint(rest)
			if n == 0 || length > uint64(len(rest)-n) {
				return f.stop()
			}
			f.number, f.value, f.rest = tag>>3, rest[n:n+int(length)], rest[n+int(length):]
			return true
		case wireVarint:
			_, n := varint(rest)
			if n == 0 {
				return f.stop()
			}
			size = uint64(n)
		case wireFixed64:
			size = 8
		case wireFixed32:
			size = 4
		default:
			return f.stop()
		}
		if size > uint64(len(rest)) {
			return f.stop()
		}
		f.rest = rest[size:]
	}
	return false
}

// stop ends the iteration: the start of the next field is unknown.
func (f *fields) stop() bool {
	f.rest, f.err = "", errWire
	return false
}

// varint returns the number that s starts with and its length, 0 if there is
// none.
func varint(s string) (uint64, int) {
	if s != "" && s[0] < 0x80 { // most numbers have one byte
		return uint64(s[0]), 1
	}
	var v uint64
	for i := 0; i < len(s) && i < 10; i++ {
		b := s[i]
		if i == 9 && b > 1 {
			return 0, 0
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// wireWriter appends fields of a protobuf message.
type wireWriter struct{ bytes []byte }

func (w *wireWriter) tag(field uint, wireType uint64) {
	w.bytes = binary.AppendUvarint(w.bytes, uint64(field)<<3|wireType)
}

func (w *wireWriter) number(field uint, value uint64) {
	w.tag(field, wireVarint)
	w.bytes = binary.AppendUvarint(w.bytes, value)
}

func (w *wireWriter) text(field uint, value string) {
	w.tag(field, wireBytes)
	w.bytes = binary.AppendUvarint(w.bytes, uint64(len(value)))
	w.bytes = append(w.bytes, value...)
}

func (w *wireWriter) data(field uint, value []byte) {
	w.tag(field, wireBytes)
	w.bytes = binary.AppendUvarint(w.bytes, uint64(len(value)))
	w.bytes = append(w.bytes, value...)
}

// begin opens a nested message and returns its start, for end to close it.
func (w *wireWriter) begin(field uint) (start int) {
	w.tag(field, wireBytes)
	w.bytes = append(w.bytes, 0) // the length, which rarely needs more than a byte
	return len(w.bytes)
}

func (w *wireWriter) end(start int) {
	size := len(w.bytes) - start
	if size < 0x80 {
		w.bytes[start-1] = byte(size)
		return
	}
	var length [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(length[:], uint64(size))
	w.bytes = append(w.bytes, length[1:n]...) // space for the longer length
	copy(w.bytes[start-1+n:], w.bytes[start:start+size])
	copy(w.bytes[start-1:], length[:n])
}
