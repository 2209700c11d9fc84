package jsonline

import "bytes"

const (
	// MaxLine bounds a line, in bytes, so that a file of another kind cannot fill the
	// memory.
	MaxLine = 1 << 20
	// MaxUnknown bounds the members of a line that its reader does not know, so that
	// with them a record that has all that it may have still fits into a line.
	MaxUnknown = 256 << 10

	// ErrLong is a line that is longer than MaxLine.
	ErrLong Error = "longer than 1 MiB"
)

// ErrUnknown is a line with more than MaxUnknown.
const ErrUnknown Error = "more than 256 KiB of unknown members"

const errName Error = "a member whose name differs from a known one in the case of its letters, or is reserved"

// Unknown are the members of a line that its reader does not know. They are kept
// as they were written, so that the record can be written again without a loss. A
// line without such members costs nothing.
type Unknown struct {
	raw   []byte
	names map[string]struct{}
}

// whiteSpace is that of JSON.
const whiteSpace = " \t\r\n"

// Reset forgets the members.
func (u *Unknown) Reset() {
	if len(u.raw) > 0 {
		u.raw = u.raw[:0]
		clear(u.names)
	}
}

// Raw returns the members as they were written, with commas between them. It is
// valid until the next Reset.
func (u *Unknown) Raw() []byte { return u.raw }

// Read reads the value of the member that the Scanner is at and keeps both. known
// reports whether the reader knows a name: one that differs from it only in the case
// of its letters is refused, since other readers of JSON take the one for the other.
func (u *Unknown) Read(s *Scanner, name []byte, known func(name []byte) bool) error {
	if string(name) == "batch" || known(foldCase(name)) && !known(name) {
		return errName
	}
	if _, twice := u.names[string(name)]; twice {
		return ErrTwice
	}
	start := s.name
	if _, err := s.Skip(); err != nil {
		return err
	}
	if u.names == nil {
		u.names = map[string]struct{}{}
	}
	u.names[string(name)] = struct{}{}
	if len(u.raw) > 0 {
		u.raw = append(u.raw, ',')
	}
	u.raw = append(u.raw, bytes.TrimLeft(s.text[start:s.at], whiteSpace)...)
	return nil
}

// foldCase returns the name in lower-case ASCII letters. Two characters outside
// ASCII are a letter of it in another case: the long s and the Kelvin sign.
func foldCase(name []byte) []byte {
	var folded []byte
	for _, r := range string(name) {
		switch {
		case 'A' <= r && r <= 'Z':
			folded = append(folded, byte(r)+'a'-'A')
		case r == 'ſ':
			folded = append(folded, 's')
		case r == '\u212a':
			folded = append(folded, 'k')
		default:
			folded = append(folded, string(r)...)
		}
	}
	return folded
}

// Append appends members as Raw returns them to a line that is a JSON object with
// its newline, and returns the line.
func Append(line []byte, members string) []byte {
	if members == "" {
		return line
	}
	line = line[:len(line)-len("}\n")]
	if line[len(line)-1] != '{' {
		line = append(line, ',')
	}
	line = append(line, members...)
	return append(line, "}\n"...)
}
