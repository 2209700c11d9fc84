package recordline

import (
	"slices"
	"time"
	"unicode/utf8"

	"keyward/store/jsonline"
)

// Kind is what the lines of one kind of record are made of, as a table. It is for the
// kinds of which a store has few; the lines of keys, of which it may have a million,
// have a decoder of their own.
type Kind[R any] struct {
	Fields []Field[R]

	// Ends are the fields that a record is written again with that is not supported:
	// what it is about, and what ends it.
	Ends []string

	// Complete returns what is wrong with a record that no field alone shows. has
	// reports whether the line has a member.
	Complete func(r *R, has func(name string) bool) error

	// About reports whether a line that is not supported is about a record that this
	// version can name. It removes values that must not be used.
	About func(r *R) bool

	// Open is a kind of which later versions may add forms: an invalid line with
	// unknown members is one that is not supported.
	Open bool

	// Keep gives the record the unknown members of its line, and whether this version
	// must not interpret it.
	Keep func(r *R, unknown string, unsupported bool)
}

// Field is a member that the lines of a kind may have. read leaves the record as it
// was if the value is invalid, and changes no memory that the record shares.
type Field[R any] struct {
	name string
	read func(s *jsonline.Scanner, r *R) error
}

// BitOf is the bit of a member, zero for one that is not known.
func (k *Kind[R]) BitOf(name []byte) uint32 {
	for i := range k.Fields {
		if k.Fields[i].name == string(name) {
			return First << i
		}
	}
	return Common(name)
}

// Decoder decodes the lines of one kind.
type Decoder[R any] struct {
	record  R
	members Members
}

// Decode decodes a line and checks all that stands in it. The record is valid until
// the next one is decoded, and shares no memory with the line. The error is a
// jsonline.Error.
func (d *Decoder[R]) Decode(k *Kind[R], line []byte) (*R, error) {
	if !utf8.Valid(line) {
		return nil, jsonline.ErrUTF8
	}
	err := d.decodeAll(k, line)
	if err == nil && !d.members.Unsupported {
		k.Keep(&d.record, string(d.members.Unknown()), false)
		return &d.record, nil
	}
	if d.decodeOutline(k, line) {
		k.Keep(&d.record, string(d.members.Unknown()), true)
		return &d.record, nil
	}
	if err == nil {
		err = errAbout
	}
	return nil, err
}

const errAbout jsonline.Error = "not about a record that this version can name"

func (d *Decoder[R]) reset() {
	var none R
	d.record = none
	d.members.Reset()
}

func (d *Decoder[R]) decodeAll(k *Kind[R], line []byte) error {
	d.reset()
	bitOf := k.BitOf
	err := d.members.ReadLine(line, bitOf, func(s *jsonline.Scanner, bit uint32) error { return d.member(k, s, bit) })
	if err != nil || d.members.Unsupported {
		return err
	}
	return k.Complete(&d.record, func(name string) bool { return d.members.Seen&bitOf([]byte(name)) != 0 })
}

// decodeOutline reads what can be read of a line that is not supported, and reports
// whether it is one.
func (d *Decoder[R]) decodeOutline(k *Kind[R], line []byte) bool {
	d.reset()
	written := uint32(Left)
	for _, name := range k.Ends {
		written |= k.BitOf([]byte(name))
	}
	read := func(s *jsonline.Scanner, bit uint32) error { return d.member(k, s, bit) }
	ok := d.members.ReadOutline(line, Outline{BitOf: k.BitOf, Written: written, Required: Left, Read: read, Clear: func(uint32) {}})
	return ok && (d.members.Unsupported || k.Open && d.members.ignored) && k.About(&d.record)
}

func (d *Decoder[R]) member(k *Kind[R], s *jsonline.Scanner, bit uint32) error {
	switch bit {
	case Left:
		return ReadInteger(s, new(int64))
	case Must:
		return d.members.ReadMust(s, k.BitOf)
	}
	i := slices.IndexFunc(k.Fields, func(f Field[R]) bool { return k.BitOf([]byte(f.name)) == bit })
	if i < 0 {
		return jsonline.ErrType
	}
	return k.Fields[i].read(s, &d.record)
}

// Value is a field of a type that read reads.
func Value[R, V any](name string, of func(*R) *V, read func(*jsonline.Scanner, *V) error) Field[R] {
	return Field[R]{name, func(s *jsonline.Scanner, r *R) error {
		var v V
		if err := read(s, &v); err != nil {
			return err
		}
		*of(r) = v
		return nil
	}}
}

// Text is a field of a text.
func Text[R any](name string, of func(*R) *string) Field[R] {
	return Value(name, of, (*jsonline.Scanner).ReadTextString)
}

// Texts is a field of a list of texts; an empty one is nil.
func Texts[R any](name string, of func(*R) *[]string) Field[R] {
	return Value(name, of, readStrings)
}

// Time is a field of a time.
func Time[R any](name string, of func(*R) *time.Time) Field[R] {
	return Value(name, of, (*jsonline.Scanner).ReadTime)
}

// Integer is a field of an integer.
func Integer[R any](name string, of func(*R) *int64) Field[R] {
	return Value(name, of, ReadInteger)
}

// Bool is a field of true or false.
func Bool[R any](name string, of func(*R) *bool) Field[R] {
	return Value(name, of, readBool)
}

// ReadInteger reads an integer.
func ReadInteger(s *jsonline.Scanner, into *int64) error {
	var ok bool
	*into, ok = s.ReadInteger()
	return jsonline.ErrType.Unless(ok)
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
