package keystore

import (
	"keyward/apikey"
	"time"
)

// What stands in our lines, read from a scanner and checked.

// line reads a string that is a text of one line.
func (s *scanner) line(into *[]byte) error {
	text, ok := s.str()
	if !ok {
		return errType
	}
	*into = text
	return unless(validText(text), errText)
}

// list reads an array of texts.
func (s *scanner) list(into *[][]byte) error {
	list, err := s.strs(*into)
	if err != nil {
		return err
	}
	*into = list
	for _, text := range list {
		if !validText(text) {
			return errText
		}
	}
	return unless(len(list) <= maxList, errList)
}

// plain tells whether the string just read was written without escapes, so
// that searching a file for the bytes finds it. Only for texts without quotes.
func (s *scanner) plain(text []byte) bool { return s.text[s.at-2-len(text)] == '"' }

func (s *scanner) digest(into *apikey.Digest) error {
	text, ok := s.str()
	return unless(ok && apikey.ParseDigest(into, text) && s.plain(text), errNoHash)
}

func (s *scanner) time(into *time.Time) error {
	text, ok := s.str()
	if ok {
		*into, ok = parseTime(text)
	}
	return unless(ok, errTime)
}

func unless(ok bool, err lineError) error {
	if ok {
		return nil
	}
	return err
}
