package jsonline

const (
	// maxDepth is how deep a value that is skipped may be nested.
	maxDepth = 32

	errDepth Error = "a value that is nested too deeply"
)

// Skip reads a value of any kind and returns it as it was written. It is as strict
// as the rest of the Scanner, so that no two readers see different values: an object
// in it has no member twice, and no string is half a surrogate pair.
func (s *Scanner) Skip() ([]byte, error) {
	s.space()
	start := s.at
	err := s.skip(maxDepth)
	return s.text[start:s.at], err
}

func (s *Scanner) skip(depth int) error {
	s.space()
	switch {
	case s.at >= len(s.text):
		return ErrSyntax
	case depth == 0:
		return errDepth
	}
	switch c := s.text[s.at]; c {
	case '{':
		return s.skipObject(depth)
	case '[':
		return s.Array(func() error { return s.skip(depth - 1) })
	case '"':
		_, ok := s.ReadString()
		return ErrSyntax.Unless(ok)
	case 't':
		return s.skipWord("true")
	case 'f':
		return s.skipWord("false")
	case 'n':
		return s.skipWord("null")
	default:
		return ErrSyntax.Unless(s.skipNumber())
	}
}

func (s *Scanner) skipObject(depth int) error {
	seen := map[string]bool{}
	return s.Object(func(name []byte) error {
		if seen[string(name)] {
			return ErrTwice
		}
		seen[string(name)] = true
		return s.skip(depth - 1)
	})
}

func (s *Scanner) skipWord(word string) error {
	end := s.at + len(word)
	if end > len(s.text) || string(s.text[s.at:end]) != word {
		return ErrSyntax
	}
	s.at = end
	return nil
}

// skipNumber steps over a number as RFC 8259 section 6 has it.
func (s *Scanner) skipNumber() bool {
	s.nextByte("-")
	zero := s.nextByte("0")
	if !zero && s.digits() == 0 {
		return false
	}
	if s.nextByte(".") && s.digits() == 0 {
		return false
	}
	if s.nextByte("eE") {
		s.nextByte("+-")
		return s.digits() > 0
	}
	return true
}

// nextByte steps over one of the bytes, if one follows, white space excluded.
func (s *Scanner) nextByte(oneOf string) bool {
	if s.at >= len(s.text) {
		return false
	}
	for i := range len(oneOf) {
		if s.text[s.at] == oneOf[i] {
			s.at++
			return true
		}
	}
	return false
}

// digits steps over digits and returns how many there are.
func (s *Scanner) digits() int {
	start := s.at
	for s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at - start
}
