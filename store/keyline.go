package store

import (
	"time"
	"unicode/utf8"

	"keyward/apikey"
	"keyward/store/jsonline"
)

const (
	errNoID      jsonline.Error = "no id, or not k_ and 12 characters of 0-9A-Za-z"
	errNoHash    jsonline.Error = "no hash, or not 64 lower-case hexadecimal digits"
	errNoTime    jsonline.Error = "no created or no at"
	errAccess    jsonline.Error = "an invalid path or scope"
	errNoFormat  jsonline.Error = "an unknown key format"
	errBadPrefix jsonline.Error = "an invalid prefix"
)

const maxHint = apikey.MaxPrefix + apikey.HintLen

// KeyDecoder decodes the lines of keys. It uses its memory again for each line,
// so that a million lines are read without a million allocations.
type KeyDecoder struct {
	record KeyRecord
	id     apikey.ID
	seen   uint32 // members
	left   int    // lines of the same batch that are still to come

	texts         [][]byte
	paths, scopes []string
}

// Decode decodes a line and checks its form. The record is valid until the line
// changes or the next one is decoded, and [KeyRecord.Clone] makes one to keep: its
// texts are those of the line. The error is a jsonline.Error.
func (d *KeyDecoder) Decode(line []byte) (*KeyRecord, error) {
	if !utf8.Valid(line) {
		return nil, jsonline.ErrUTF8
	}
	d.record, d.id, d.seen, d.left = KeyRecord{Previous: d.record.Previous[:0]}, apikey.ID{}, 0, 0
	s := jsonline.NewScanner(line)
	err := s.Object(func(name []byte) error {
		m := keyMember(name)
		switch {
		case m == 0:
			return jsonline.ErrUnknownMember
		case d.seen&m != 0:
			return jsonline.ErrTwice
		}
		d.seen |= m
		return d.member(&s, m)
	})
	if err != nil {
		return nil, err
	}
	if !s.End() {
		return nil, jsonline.ErrSyntax
	}
	if err := d.complete(); err != nil {
		return nil, err
	}
	return &d.record, nil
}

// ID is the id of the key that the last line is about.
func (d *KeyDecoder) ID() apikey.ID { return d.id }

// InBatch reports whether the last line says how much of its batch is to come.
func (d *KeyDecoder) InBatch() bool { return d.left > 0 }

func (d *KeyDecoder) member(s *jsonline.Scanner, m uint32) error {
	switch m {
	case memberLeft:
		n, ok := s.ReadNumber()
		d.left = n
		return jsonline.ErrType.Unless(ok)
	case memberID:
		return d.readID(s)
	case memberPaths:
		var err error
		d.paths, err = d.readTexts(s, d.paths)
		d.record.Paths = d.paths
		return err
	case memberScopes:
		var err error
		d.scopes, err = d.readTexts(s, d.scopes)
		d.record.Scopes = &d.scopes
		return err
	case memberFormat:
		return d.readFormat(s)
	case memberHash:
		return readDigest(s, &d.record.Hash)
	case memberPrevious:
		return d.readPrevious(s)
	case memberCreated, memberExpires, memberRevoked, memberDeleted, memberAt:
		return s.ReadTime(d.timeOf(m))
	default:
		return readText(s, d.textOf(m))
	}
}

func (d *KeyDecoder) textOf(m uint32) *string {
	switch m {
	case memberName:
		return &d.record.Name
	case memberUser:
		return &d.record.User
	case memberProject:
		return &d.record.Project
	case memberRate:
		return &d.record.Rate
	case memberPrefix:
		return &d.record.Prefix
	default:
		return &d.record.Hint
	}
}

func (d *KeyDecoder) timeOf(m uint32) *time.Time {
	switch m {
	case memberCreated:
		return &d.record.Created
	case memberExpires:
		return &d.record.Expires
	case memberRevoked:
		return &d.record.Revoked
	case memberDeleted:
		return &d.record.Deleted
	default:
		return &d.record.At
	}
}

// readText reads a text that is valid as long as the line.
func readText(s *jsonline.Scanner, into *string) error {
	var text []byte
	err := s.ReadText(&text)
	*into = stringOf(text)
	return err
}

// readTexts reads a list into the capacity of into.
func (d *KeyDecoder) readTexts(s *jsonline.Scanner, into []string) ([]string, error) {
	err := s.ReadTexts(&d.texts)
	into = into[:0]
	for _, text := range d.texts {
		into = append(into, stringOf(text))
	}
	return into, err
}

func (d *KeyDecoder) readID(s *jsonline.Scanner) error {
	text, ok := s.ReadString()
	if ok {
		d.id, ok = apikey.ParseID(text)
		ok = ok && s.Unescaped(text)
		d.record.ID = stringOf(text)
	}
	return errNoID.Unless(ok)
}

func readDigest(s *jsonline.Scanner, into *apikey.Digest) error {
	text, ok := s.ReadString()
	return errNoHash.Unless(ok && apikey.ParseDigest(into, text) && s.Unescaped(text))
}

func (d *KeyDecoder) readFormat(s *jsonline.Scanner) error {
	text, ok := s.ReadString()
	if !ok {
		return jsonline.ErrType
	}
	for _, f := range [...]apikey.Format{apikey.FormatKeyward, apikey.FormatHex, apikey.FormatRaw} {
		if string(text) == string(f) {
			d.record.Format = f
			return nil
		}
	}
	return errNoFormat
}

func (d *KeyDecoder) readPrevious(s *jsonline.Scanner) error {
	return s.Array(func() error {
		if len(d.record.Previous) == maxPrevious {
			return jsonline.ErrList
		}
		var p PreviousSecret
		var hash, until bool
		err := s.Object(func(name []byte) error {
			switch {
			case string(name) == "hash" && !hash:
				hash = true
				return readDigest(s, &p.Hash)
			case string(name) == "until" && !until:
				until = true
				return s.ReadTime(&p.Until)
			default:
				return jsonline.ErrUnknownMember
			}
		})
		if err == nil && !hash {
			err = errNoHash
		}
		d.record.Previous = append(d.record.Previous, p)
		return err
	})
}

// complete checks what no member alone shows.
func (d *KeyDecoder) complete() error {
	r := &d.record
	switch {
	case d.seen&memberID == 0:
		return errNoID
	case d.seen&memberHash == 0:
		return errNoHash
	case d.seen&memberFormat == 0:
		return errNoFormat
	case d.seen&memberCreated == 0 || d.seen&memberAt == 0:
		return errNoTime
	case d.seen&memberPaths != 0 && len(r.Paths) == 0:
		return jsonline.ErrList
	case len(r.Hint) > maxHint || len(r.Rate) > apikey.MaxPrefix:
		return jsonline.ErrText
	case apikey.ValidatePrefix(r.Prefix) != nil:
		return errBadPrefix
	}
	return nil
}

// Line encodes the record as a line, newline included. The line is decoded
// again: nothing is ever written that a reader would refuse.
func (r *KeyRecord) Line() ([]byte, error) {
	line, err := EncodeLine(r)
	if err != nil {
		return nil, err
	}
	var d KeyDecoder
	back, err := d.Decode(line)
	if err != nil {
		return nil, err
	}
	if !back.AccessValid() {
		return nil, errAccess
	}
	return line, nil
}
