package store

import (
	"time"
	"unicode/utf8"

	"keyward/passwordhash"
	"keyward/store/jsonline"
)

const (
	errUserName jsonline.Error = "no name, or an invalid one"
	errPassword jsonline.Error = "an invalid password hash, or one that costs too much"
)

// UserDecoder decodes the lines of users. It uses its memory again for each line.
type UserDecoder struct {
	record UserRecord
	paths  [][]byte
	scopes [][]byte
}

// Decode decodes a line and checks all that stands in it. The record is valid
// until the next one is decoded. The error is a jsonline.Error.
func (d *UserDecoder) Decode(line []byte) (*UserRecord, error) {
	if !utf8.Valid(line) {
		return nil, jsonline.ErrUTF8
	}
	*d = UserDecoder{paths: d.paths[:0], scopes: d.scopes[:0]}
	seen := map[string]bool{}
	s := jsonline.NewScanner(line)
	err := s.Object(func(name []byte) error {
		if seen[string(name)] {
			return jsonline.ErrTwice
		}
		seen[string(name)] = true
		return d.member(&s, string(name))
	})
	switch r := &d.record; {
	case err != nil:
		return nil, err
	case !s.End():
		return nil, jsonline.ErrSyntax
	case !ValidUserName(r.Name):
		return nil, errUserName
	case r.Created.IsZero() || r.At.IsZero():
		return nil, errNoTime
	case seen["paths"] && len(d.paths) == 0:
		return nil, jsonline.ErrList
	case r.Password != "" && !passwordhash.Valid(r.Password):
		return nil, errPassword
	}
	d.record.Paths, d.record.Scopes = stringsOf(d.paths), stringsOf(d.scopes)
	return &d.record, nil
}

func (d *UserDecoder) member(s *jsonline.Scanner, name string) error {
	switch name {
	case "left":
		_, ok := s.ReadNumber()
		return jsonline.ErrType.Unless(ok)
	case "name":
		return s.ReadTextString(&d.record.Name)
	case "password":
		return s.ReadTextString(&d.record.Password)
	case "paths":
		return s.ReadTexts(&d.paths)
	case "scopes":
		return s.ReadTexts(&d.scopes)
	case "disabled":
		var ok bool
		d.record.Disabled, ok = s.ReadBool()
		return jsonline.ErrType.Unless(ok)
	default:
		if into := d.timeOf(name); into != nil {
			return s.ReadTime(into)
		}
		return jsonline.ErrUnknownMember
	}
}

// timeOf is the member that is a time, nil where none has that name.
func (d *UserDecoder) timeOf(name string) *time.Time {
	switch name {
	case "created":
		return &d.record.Created
	case "deleted":
		return &d.record.Deleted
	case "valid_since":
		return &d.record.ValidSince
	case "at":
		return &d.record.At
	default:
		return nil
	}
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

// Line encodes the record as a line, as KeyRecord.Line does.
func (r *UserRecord) Line() ([]byte, error) {
	line, err := EncodeLine(r)
	if err != nil {
		return nil, err
	}
	var d UserDecoder
	if _, err := d.Decode(line); err != nil {
		return nil, err
	}
	if _, _, err := CompileAccess(r.Paths, r.Scopes); err != nil {
		return nil, err
	}
	return line, nil
}
