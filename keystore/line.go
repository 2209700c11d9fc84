package keystore

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"
	"unicode/utf8"

	"keyward/apikey"
	"keyward/store/journal"
)

const (
	errNoID      journal.LineError = "no id, or not k_ and 12 characters of 0-9A-Za-z"
	errNoHash    journal.LineError = "no hash, or not 64 lower-case hexadecimal digits"
	errNoTime    journal.LineError = "no created or no at"
	errTerms     journal.LineError = "a path or a scope that is none"
	errNoFormat  journal.LineError = "an unknown key format"
	errBadPrefix journal.LineError = "a prefix that is none"
)

// keyLine is a key's line taken apart. Its texts point into the line, so that
// a million lines are read without a million allocations.
type keyLine struct {
	seen                      uint32
	id                        apikey.ID
	name, user, project, rate []byte
	paths, scopes             [][]byte
	hasScopes                 bool
	prefix, hint              []byte
	format                    apikey.Format
	hash                      apikey.Digest
	created, expires          time.Time
	revoked, deleted, at      time.Time
	previous                  []Previous
	left                      int // lines of the same batch that are still to come
}

// read takes a line apart and checks its form. The receiver may have been used
// for another line before; its room is used again.
func (k *keyLine) read(line []byte) error {
	if !utf8.Valid(line) {
		return journal.ErrUTF8
	}
	*k = keyLine{paths: k.paths[:0], scopes: k.scopes[:0], previous: k.previous[:0]}
	s := journal.NewScanner(line)
	err := s.Object(func(name []byte) error {
		m := keyMember(name)
		switch {
		case m == 0:
			return journal.ErrUnknownMember
		case k.seen&m != 0:
			return journal.ErrTwice
		}
		k.seen |= m
		return k.member(&s, m)
	})
	if err != nil {
		return err
	}
	if !s.End() {
		return journal.ErrSyntax
	}
	return k.complete()
}

func (k *keyLine) member(s *journal.Scanner, m uint32) error {
	switch m {
	case memberLeft:
		n, ok := s.ReadNumber()
		k.left = n
		return journal.ErrType.Unless(ok)
	case memberID:
		return k.readID(s)
	case memberName:
		return s.ReadText(&k.name)
	case memberUser:
		return s.ReadText(&k.user)
	case memberProject:
		return s.ReadText(&k.project)
	case memberRate:
		return s.ReadText(&k.rate)
	case memberPrefix:
		return s.ReadText(&k.prefix)
	case memberHint:
		return s.ReadText(&k.hint)
	case memberPaths:
		return s.ReadTexts(&k.paths)
	case memberScopes:
		k.hasScopes = true
		return s.ReadTexts(&k.scopes)
	case memberFormat:
		return k.readFormat(s)
	case memberHash:
		return readDigest(s, &k.hash)
	case memberPrevious:
		return k.readPrevious(s)
	default:
		return s.ReadTime(k.timeOf(m))
	}
}

func (k *keyLine) timeOf(m uint32) *time.Time {
	switch m {
	case memberCreated:
		return &k.created
	case memberExpires:
		return &k.expires
	case memberRevoked:
		return &k.revoked
	case memberDeleted:
		return &k.deleted
	default:
		return &k.at
	}
}

func (k *keyLine) readID(s *journal.Scanner) error {
	text, ok := s.ReadString()
	if ok {
		k.id, ok = apikey.ParseID(text)
		ok = ok && s.Unescaped(text)
	}
	return errNoID.Unless(ok)
}

func readDigest(s *journal.Scanner, into *apikey.Digest) error {
	text, ok := s.ReadString()
	return errNoHash.Unless(ok && apikey.ParseDigest(into, text) && s.Unescaped(text))
}

func (k *keyLine) readFormat(s *journal.Scanner) error {
	text, ok := s.ReadString()
	if !ok {
		return journal.ErrType
	}
	for _, f := range [...]apikey.Format{apikey.FormatKeyward, apikey.FormatHex, apikey.FormatRaw} {
		if string(text) == string(f) {
			k.format = f
			return nil
		}
	}
	return errNoFormat
}

func (k *keyLine) readPrevious(s *journal.Scanner) error {
	return s.Array(func() error {
		if len(k.previous) == maxBefore {
			return journal.ErrList
		}
		var p Previous
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
				return journal.ErrUnknownMember
			}
		})
		if err == nil && !hash {
			err = errNoHash
		}
		k.previous = append(k.previous, p)
		return err
	})
}

// complete checks what one member alone cannot tell.
func (k *keyLine) complete() error {
	switch {
	case k.seen&memberID == 0:
		return errNoID
	case k.seen&memberHash == 0:
		return errNoHash
	case k.seen&memberFormat == 0:
		return errNoFormat
	case k.seen&memberCreated == 0 || k.seen&memberAt == 0:
		return errNoTime
	case k.seen&memberPaths != 0 && len(k.paths) == 0:
		return journal.ErrList
	case len(k.hint) > maxHint || len(k.rate) > apikey.MaxPrefix:
		return journal.ErrText
	case apikey.ValidatePrefix(string(k.prefix)) != nil:
		return errBadPrefix
	}
	return nil
}

// record makes a Record that shares nothing with the line.
func (k *keyLine) record() Record {
	r := Record{
		ID: k.id.String(), Name: string(k.name), User: string(k.user), Project: string(k.project),
		Rate: string(k.rate), Prefix: string(k.prefix), Hint: string(k.hint), Format: k.format, Hash: k.hash,
		Created: k.created, Expires: k.expires, Revoked: k.revoked, Deleted: k.deleted, At: k.at,
		Previous: slices.Clone(k.previous),
	}
	if len(k.previous) == 0 {
		r.Previous = nil
	}
	r.Paths = stringsOf(k.paths)
	if k.hasScopes {
		scopes := append([]string{}, stringsOf(k.scopes)...)
		r.Scopes = &scopes
	}
	return r
}

// line makes the record's line, newline included, and reads it back: nothing
// is ever written that a reader would refuse.
func (r *Record) line() ([]byte, error) {
	text, err := encodeLine(r)
	if err != nil {
		return nil, err
	}
	var k keyLine
	if err := k.read(text); err != nil {
		return nil, err
	}
	if _, _, err := terms(stringsOf(k.paths), stringsOf(k.scopes)); err != nil {
		return nil, errTerms
	}
	return text, nil
}

// encodeLine writes v as one line, without the escapes meant for HTML.
func encodeLine(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// compiles tells whether the line's paths and scopes are some.
func (k *keyLine) compiles() bool {
	_, _, err := terms(stringsOf(k.paths), stringsOf(k.scopes))
	return err == nil
}
