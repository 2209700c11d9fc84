package recordline

import (
	"keyward/store/jsonline"
)

// The bits of the members that each line may have.
const (
	Left = 1 << iota
	Seq
	Must
	At
	First // the first of a kind's own
)

// Common is the bit of a member that each line may have, zero for any other.
func Common(name []byte) uint32 {
	switch string(name) {
	case "left":
		return Left
	case "seq":
		return Seq
	case "must":
		return Must
	case "at":
		return At
	default:
		return 0
	}
}

// Members are those of a line, or of an object within one: which of the known ones it
// has, and the unknown ones, which are ignored and kept.
type Members struct {
	// Seen has the bit of each known member that was read.
	Seen uint32
	// Unsupported is set by a must that names a member which is not known: this version
	// must not interpret the line.
	Unsupported bool

	unknown jsonline.Unknown
	ignored bool // there are unknown ones
	must    [][]byte
	scanner jsonline.Scanner // here, since one on the stack would escape for each line
}

// Unknown returns the unknown members as they were written, with commas between them.
// They are valid until the next line is read.
func (m *Members) Unknown() []byte { return m.unknown.Raw() }

// Reset forgets the line before.
func (m *Members) Reset() {
	m.Seen, m.ignored, m.Unsupported = 0, false, false
	m.unknown.Reset()
}

// once records that the line has the member.
func (m *Members) once(bit uint32) error {
	if m.Seen&bit != 0 {
		return jsonline.ErrTwice
	}
	m.Seen |= bit
	return nil
}

// ReadLine reads the members of a line: those of which bitOf has a bit by read, and
// the others as they are.
func (m *Members) ReadLine(line []byte, bitOf func(name []byte) uint32, read func(s *jsonline.Scanner, bit uint32) error) error {
	m.scanner = jsonline.NewScanner(line)
	err := m.ReadObject(&m.scanner, bitOf, read)
	if err == nil {
		err = m.end(&m.scanner)
	}
	return err
}

// ReadObject reads the members of an object as ReadLine does those of a line.
func (m *Members) ReadObject(s *jsonline.Scanner, bitOf func(name []byte) uint32, read func(s *jsonline.Scanner, bit uint32) error) error {
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
func (m *Members) end(s *jsonline.Scanner) error {
	if !s.End() {
		return jsonline.ErrSyntax
	}
	return jsonline.ErrUnknown.Unless(len(m.unknown.Raw()) <= jsonline.MaxUnknown)
}

// ReadMust reads the names of the members that a reader must know, and keeps them
// with the unknown members.
func (m *Members) ReadMust(s *jsonline.Scanner, bitOf func(name []byte) uint32) error {
	known := func(name []byte) bool { return bitOf(name) != 0 }
	ahead := *s
	if err := ahead.ReadTexts(&m.must); err != nil {
		return err
	}
	for _, name := range m.must {
		m.Unsupported = m.Unsupported || !known(name)
	}
	return m.unknown.Read(s, []byte("must"), known)
}

// readUnknown reads a member that is not known.
func (m *Members) readUnknown(s *jsonline.Scanner, name []byte, bitOf func(name []byte) uint32) error {
	m.ignored = true
	return m.unknown.Read(s, name, func(name []byte) bool { return bitOf(name) != 0 })
}

// Outline is how a line is read that this version does not support: of its known
// members what can be read of them. Those that the record is written from again are
// in Written; all others are kept as they were written, like unknown ones.
type Outline struct {
	BitOf    func(name []byte) uint32
	Written  uint32
	Required uint32 // must be readable
	Read     func(s *jsonline.Scanner, bit uint32) error
	Clear    func(bit uint32) // of a member that cannot be read
}

// ReadOutline reads the line, and reports whether it is an object of which the
// required members can be read. Unsupported says whether must names an unknown one.
func (m *Members) ReadOutline(line []byte, o Outline) bool {
	m.Reset()
	s := jsonline.NewScanner(line)
	err := s.Object(func(name []byte) error {
		bit := o.BitOf(name)
		if bit == 0 {
			return m.readUnknown(&s, name, o.BitOf)
		}
		if err := m.once(bit); err != nil {
			return err
		}
		if bit == Must {
			return m.ReadMust(&s, o.BitOf)
		}
		start := s
		if err := o.Read(&s, bit); err != nil {
			if o.Required&bit != 0 {
				return err
			}
			o.Clear(bit)
		}
		s = start
		if o.Written&bit == 0 {
			return m.unknown.Read(&s, name, func([]byte) bool { return false })
		}
		_, err := s.Skip()
		return err
	})
	return err == nil && s.End()
}
