package jsonline

import (
	"time"

	"keyward/chars"
)

// What may be wrong with a value.
const (
	ErrTime Error = "a time that is not RFC 3339 in UTC"
	ErrList Error = "an empty path list, or more than 1000 elements"
	ErrText Error = "a text that is too long or has control characters"

	MaxText = 255  // bytes
	MaxList = 1000 // elements
)

// ReadText reads a text of one line: a string that [ValidText] accepts.
func (s *Scanner) ReadText(into *[]byte) error { return s.ReadTextWithin(into, MaxText) }

// ReadTextWithin is ReadText with another maximum length.
func (s *Scanner) ReadTextWithin(into *[]byte, maxBytes int) error {
	text, ok := s.ReadString()
	if !ok {
		return ErrType
	}
	*into = text
	return ErrText.Unless(len(text) <= maxBytes && chars.IsLine(text))
}

// ReadTexts reads an array of texts.
func (s *Scanner) ReadTexts(into *[][]byte) error {
	list, err := s.readStrings(*into)
	if err != nil {
		return err
	}
	*into = list
	for _, text := range list {
		if !ValidText(text) {
			return ErrText
		}
	}
	return ErrList.Unless(len(list) <= MaxList)
}

// Unescaped reports whether the string just read was written without escapes, so
// that a search of the file for its bytes finds it. It is for texts without quotes.
func (s *Scanner) Unescaped(text []byte) bool { return s.text[s.at-2-len(text)] == '"' }

// ReadTime reads a time as ParseTime does.
func (s *Scanner) ReadTime(into *time.Time) error {
	text, ok := s.ReadString()
	if ok {
		*into, ok = ParseTime(text)
	}
	return ErrTime.Unless(ok)
}

// ReadTextString reads a text of one line and copies it.
func (s *Scanner) ReadTextString(into *string) error {
	var text []byte
	err := s.ReadText(&text)
	*into = string(text)
	return err
}

// ValidText reports whether text is one line of at most 255 bytes.
func ValidText(text []byte) bool { return len(text) <= MaxText && chars.IsLine(text) }
