package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"unsafe"

	"keyward/store/jsonline"
)

// ErrUnsupported is a record that a newer version of Keyward wrote and that this
// one must not interpret. It denies, and of its changes only those are possible that
// end it.
var ErrUnsupported = errors.New("written by a newer version of Keyward, which this one does not support")

// The members that each line may have, one bit for each.
const (
	memberLeft = 1 << iota
	memberSeq
	memberMust
	memberAt
	firstMember // the first of a kind's own
)

func commonMember(name []byte) uint32 {
	switch string(name) {
	case "left":
		return memberLeft
	case "seq":
		return memberSeq
	case "must":
		return memberMust
	case "at":
		return memberAt
	default:
		return 0
	}
}

// members are those of a line: which of the known ones it has, and the unknown
// ones, which are ignored and kept. A line whose must names one that is not known
// is one that this version does not support.
type members struct {
	seen        uint32
	unknown     jsonline.Unknown
	ignored     bool // there are unknown ones
	unsupported bool
	must        [][]byte
	scanner     jsonline.Scanner // here, since one on the stack would escape for each line
}

func (m *members) reset() {
	m.seen, m.ignored, m.unsupported = 0, false, false
	m.unknown.Reset()
}

// once records that the line has the member.
func (m *members) once(bit uint32) error {
	if m.seen&bit != 0 {
		return jsonline.ErrTwice
	}
	m.seen |= bit
	return nil
}

// readAll reads the members of a line: those that are known by read, and the
// others as they are.
func (m *members) readAll(line []byte, bitOf func(name []byte) uint32, read func(s *jsonline.Scanner, bit uint32) error) error {
	m.scanner = jsonline.NewScanner(line)
	err := m.readObject(&m.scanner, bitOf, read)
	if err == nil {
		err = m.end(&m.scanner)
	}
	return err
}

// readObject reads the members of an object as readAll does those of a line.
func (m *members) readObject(s *jsonline.Scanner, bitOf func(name []byte) uint32, read func(s *jsonline.Scanner, bit uint32) error) error {
	return s.Object(func(name []byte) error {
		bit := bitOf(name)
		if bit == 0 {
			return m.readUnknown(s, name, bitOf)
		}
		if err := m.once(bit); err != nil {
			return err
		}
		return read(s, bit)
	})
}

// end checks what follows the members.
func (m *members) end(s *jsonline.Scanner) error {
	if !s.End() {
		return jsonline.ErrSyntax
	}
	return jsonline.ErrUnknown.Unless(len(m.unknown.Raw()) <= jsonline.MaxUnknown)
}

// readMust reads the names of the members that a reader must know, and keeps them
// with the unknown members.
func (m *members) readMust(s *jsonline.Scanner, bitOf func(name []byte) uint32) error {
	known := func(name []byte) bool { return bitOf(name) != 0 }
	ahead := *s
	if err := ahead.ReadTexts(&m.must); err != nil {
		return err
	}
	for _, name := range m.must {
		m.unsupported = m.unsupported || !known(name)
	}
	return m.unknown.Read(s, []byte("must"), known)
}

// readUnknown reads a member that is not known.
func (m *members) readUnknown(s *jsonline.Scanner, name []byte, bitOf func(name []byte) uint32) error {
	m.ignored = true
	return m.unknown.Read(s, name, func(name []byte) bool { return bitOf(name) != 0 })
}

// outline is how a line is read that this version does not support: of its known
// members what can be read of them. Those that the record is written from again are
// in written; all others are kept as they were written, like unknown ones.
type outline struct {
	bitOf    func(name []byte) uint32
	written  uint32
	required uint32 // must be readable
	read     func(s *jsonline.Scanner, bit uint32) error
	clear    func(bit uint32) // of a member that cannot be read
}

// readOutline reads the line, and reports whether it is one that this version does
// not support.
func (m *members) readOutline(line []byte, o outline) bool {
	m.reset()
	s := jsonline.NewScanner(line)
	err := s.Object(func(name []byte) error {
		bit := o.bitOf(name)
		if bit == 0 {
			return m.readUnknown(&s, name, o.bitOf)
		}
		if err := m.once(bit); err != nil {
			return err
		}
		if bit == memberMust {
			return m.readMust(&s, o.bitOf)
		}
		start := s
		if err := o.read(&s, bit); err != nil {
			if o.required&bit != 0 {
				return err
			}
			o.clear(bit)
		}
		s = start
		if o.written&bit == 0 {
			return m.unknown.Read(&s, name, func([]byte) bool { return false })
		}
		_, err := s.Skip()
		return err
	})
	return err == nil && s.End()
}

// EncodeLine encodes v as one line, without the escapes meant for HTML.
func EncodeLine(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// batchRoom is what a batch may add to a line, in bytes.
const batchRoom = 64

// encodeWith is EncodeLine with the unknown members of a record.
func encodeWith(v any, unknown string) ([]byte, error) {
	line, err := EncodeLine(v)
	if err != nil {
		return nil, err
	}
	line = jsonline.Append(line, unknown)
	return line, jsonline.ErrLong.Unless(len(line)+batchRoom <= jsonline.MaxLine)
}

// stringOf returns the text as a string that shares its memory, and is valid
// until that changes. A million keys have six million texts, of which the
// index keeps no string: to copy them would be what reading the file costs.
func stringOf(text []byte) string {
	return unsafe.String(unsafe.SliceData(text), len(text))
}
