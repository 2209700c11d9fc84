package store

import (
	"slices"
	"time"
	"unicode/utf8"

	"keyward/store/jsonline"
)

// recordKind is what the lines of one kind of record are made of, as a table. It is
// for the kinds of which a store has few; the lines of keys, of which it may have a
// million, have a decoder of their own.
type recordKind[R any] struct {
	fields []recordField[R]

	// ends are the fields that a record is written again with that is not supported:
	// what it is about, and what ends it.
	ends []string

	// complete returns what is wrong with a record that no field alone shows. has
	// reports whether the line has a member.
	complete func(r *R, has func(name string) bool) error

	// about reports whether a line that is not supported is about a record that this
	// version can name. It removes values that must not be used.
	about func(r *R) bool

	// open is a kind of which later versions may add forms: an invalid line with
	// unknown members is one that is not supported.
	open bool

	keep func(r *R, unknown string, unsupported bool)
}

// recordField is a member that the lines of a kind may have. read leaves the record as
// it was if the value is invalid, and changes no memory that the record shares.
type recordField[R any] struct {
	name string
	read func(s *jsonline.Scanner, r *R) error
}

// bitOf is the bit of a member, zero for one that is not known.
func (k *recordKind[R]) bitOf(name []byte) uint32 {
	for i := range k.fields {
		if k.fields[i].name == string(name) {
			return firstMember << i
		}
	}
	return commonMember(name)
}

// recordDecoder decodes the lines of one kind.
type recordDecoder[R any] struct {
	record R
	members
}

// decode decodes a line and checks all that stands in it. The record is valid until
// the next one is decoded, and shares no memory with the line. The error is a
// jsonline.Error.
func (d *recordDecoder[R]) decode(k *recordKind[R], line []byte) (*R, error) {
	if !utf8.Valid(line) {
		return nil, jsonline.ErrUTF8
	}
	err := d.decodeAll(k, line)
	if err == nil && !d.unsupported {
		k.keep(&d.record, string(d.unknown.Raw()), false)
		return &d.record, nil
	}
	if d.decodeOutline(k, line) {
		k.keep(&d.record, string(d.unknown.Raw()), true)
		return &d.record, nil
	}
	if err == nil {
		err = errAbout
	}
	return nil, err
}

const errAbout jsonline.Error = "not about a record that this version can name"

func (d *recordDecoder[R]) reset() {
	var none R
	d.record = none
	d.members.reset()
}

func (d *recordDecoder[R]) decodeAll(k *recordKind[R], line []byte) error {
	d.reset()
	bitOf := k.bitOf
	err := d.readAll(line, bitOf, func(s *jsonline.Scanner, bit uint32) error { return d.member(k, s, bit) })
	if err != nil || d.unsupported {
		return err
	}
	return k.complete(&d.record, func(name string) bool { return d.seen&bitOf([]byte(name)) != 0 })
}

// decodeOutline reads what can be read of a line that is not supported, and reports
// whether it is one.
func (d *recordDecoder[R]) decodeOutline(k *recordKind[R], line []byte) bool {
	d.reset()
	written := uint32(memberLeft)
	for _, name := range k.ends {
		written |= k.bitOf([]byte(name))
	}
	read := func(s *jsonline.Scanner, bit uint32) error { return d.member(k, s, bit) }
	ok := d.readOutline(line, outline{bitOf: k.bitOf, written: written, required: memberLeft, read: read, clear: func(uint32) {}})
	return ok && (d.unsupported || k.open && d.ignored) && k.about(&d.record)
}

func (d *recordDecoder[R]) member(k *recordKind[R], s *jsonline.Scanner, bit uint32) error {
	switch bit {
	case memberLeft:
		return readInteger(s, new(int64))
	case memberMust:
		return d.readMust(s, k.bitOf)
	}
	i := slices.IndexFunc(k.fields, func(f recordField[R]) bool { return k.bitOf([]byte(f.name)) == bit })
	if i < 0 {
		return jsonline.ErrType
	}
	return k.fields[i].read(s, &d.record)
}

// valueField is a field of a type that read reads.
func valueField[R, V any](name string, of func(*R) *V, read func(*jsonline.Scanner, *V) error) recordField[R] {
	return recordField[R]{name, func(s *jsonline.Scanner, r *R) error {
		var v V
		if err := read(s, &v); err != nil {
			return err
		}
		*of(r) = v
		return nil
	}}
}

func textField[R any](name string, of func(*R) *string) recordField[R] {
	return valueField(name, of, (*jsonline.Scanner).ReadTextString)
}

func textsField[R any](name string, of func(*R) *[]string) recordField[R] {
	return valueField(name, of, readStrings)
}

func timeField[R any](name string, of func(*R) *time.Time) recordField[R] {
	return valueField(name, of, (*jsonline.Scanner).ReadTime)
}

func integerField[R any](name string, of func(*R) *int64) recordField[R] {
	return valueField(name, of, readInteger)
}

func boolField[R any](name string, of func(*R) *bool) recordField[R] {
	return valueField(name, of, readBool)
}

func readBool(s *jsonline.Scanner, into *bool) error {
	var ok bool
	*into, ok = s.ReadBool()
	return jsonline.ErrType.Unless(ok)
}

// readStrings reads a list of texts into memory of its own; an empty one is nil.
func readStrings(s *jsonline.Scanner, into *[]string) error {
	var list [][]byte
	err := s.ReadTexts(&list)
	*into = stringsOf(list)
	return err
}

func stringsOf(texts [][]byte) []string {
	if len(texts) == 0 {
		return nil
	}
	all := make([]string, len(texts))
	for i, text := range texts {
		all[i] = string(text)
	}
	return all
}
