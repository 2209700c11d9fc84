package keystore

import (
	"bytes"
	"encoding/json"
	"keyward/apikey"
	"slices"
	"time"
	"unicode/utf8"
)

const (
	errNoID      lineError = "no id, or not k_ and 12 characters of 0-9A-Za-z"
	errNoHash    lineError = "no hash, or not 64 lower-case hexadecimal digits"
	errNoTime    lineError = "no created or no at"
	errTime      lineError = "a time that is not RFC 3339 in UTC"
	errText      lineError = "a text that is too long or has control characters"
	errList      lineError = "an empty path list, or more than 1000 elements"
	errTerms     lineError = "a path or a scope that is none"
	errNoFormat  lineError = "an unknown key format"
	errBadPrefix lineError = "a prefix that is none"
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
		return errUTF8
	}
	*k = keyLine{paths: k.paths[:0], scopes: k.scopes[:0], previous: k.previous[:0]}
	s := scanner{text: line}
	err := s.object(func(name []byte) error {
		m := keyMember(name)
		switch {
		case m == 0:
			return errMember
		case k.seen&m != 0:
			return errTwice
		}
		k.seen |= m
		return k.member(&s, m)
	})
	if err != nil {
		return err
	}
	if !s.end() {
		return errSyntax
	}
	return k.complete()
}

func (k *keyLine) member(s *scanner, m uint32) error {
	switch m {
	case memberLeft:
		n, ok := s.number()
		k.left = n
		return unless(ok, errType)
	case memberID:
		return k.readID(s)
	case memberName:
		return s.line(&k.name)
	case memberUser:
		return s.line(&k.user)
	case memberProject:
		return s.line(&k.project)
	case memberRate:
		return s.line(&k.rate)
	case memberPrefix:
		return s.line(&k.prefix)
	case memberHint:
		return s.line(&k.hint)
	case memberPaths:
		return s.list(&k.paths)
	case memberScopes:
		k.hasScopes = true
		return s.list(&k.scopes)
	case memberFormat:
		return k.readFormat(s)
	case memberHash:
		return s.digest(&k.hash)
	case memberPrevious:
		return k.readPrevious(s)
	default:
		return s.time(k.timeOf(m))
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

func (k *keyLine) readID(s *scanner) error {
	text, ok := s.str()
	if ok {
		k.id, ok = apikey.ParseID(text)
		ok = ok && s.plain(text)
	}
	return unless(ok, errNoID)
}

func (k *keyLine) readFormat(s *scanner) error {
	text, ok := s.str()
	if !ok {
		return errType
	}
	for _, f := range [...]apikey.Format{apikey.FormatKeyward, apikey.FormatHex, apikey.FormatRaw} {
		if string(text) == string(f) {
			k.format = f
			return nil
		}
	}
	return errNoFormat
}

func (k *keyLine) readPrevious(s *scanner) error {
	return s.array(func() error {
		if len(k.previous) == maxBefore {
			return errList
		}
		var p Previous
		var hash, until bool
		err := s.object(func(name []byte) error {
			switch {
			case string(name) == "hash" && !hash:
				hash = true
				return s.digest(&p.Hash)
			case string(name) == "until" && !until:
				until = true
				return s.time(&p.Until)
			default:
				return errMember
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
		return errList
	case len(k.hint) > maxHint || len(k.rate) > apikey.MaxPrefix:
		return errText
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
