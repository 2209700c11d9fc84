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

// The members of a user's line, one bit for each, but those that each line may have.
const (
	memberUserName = firstMember << iota
	memberUserPassword
	memberUserPaths
	memberUserScopes
	memberUserDisabled
	memberUserCreated
	memberUserDeleted
	memberUserValidSince
)

// userEndMembers are to a user what keyEndMembers are to a key.
const userEndMembers = memberLeft | memberSeq | memberUserName | memberUserDisabled | memberUserDeleted | memberUserValidSince | memberAt

func userMember(name []byte) uint32 {
	switch string(name) {
	case "name":
		return memberUserName
	case "password":
		return memberUserPassword
	case "paths":
		return memberUserPaths
	case "scopes":
		return memberUserScopes
	case "disabled":
		return memberUserDisabled
	case "created":
		return memberUserCreated
	case "deleted":
		return memberUserDeleted
	case "valid_since":
		return memberUserValidSince
	default:
		return commonMember(name)
	}
}

// UserDecoder decodes the lines of users. It uses its memory again for each line.
type UserDecoder struct {
	record UserRecord
	members
	paths  [][]byte
	scopes [][]byte
}

// Decode decodes a line and checks all that stands in it. The record is valid
// until the next one is decoded. The error is a jsonline.Error.
func (d *UserDecoder) Decode(line []byte) (*UserRecord, error) {
	if !utf8.Valid(line) {
		return nil, jsonline.ErrUTF8
	}
	err := d.decode(line)
	if err != nil || d.unsupported {
		if d.decodeUnsupported(line) {
			return &d.record, nil
		}
		if err == nil {
			err = errUserName
		}
		return nil, err
	}
	d.record.Paths, d.record.Scopes = stringsOf(d.paths), stringsOf(d.scopes)
	d.record.Unknown = string(d.unknown.Raw())
	return &d.record, nil
}

func (d *UserDecoder) reset() {
	d.record, d.paths, d.scopes = UserRecord{}, d.paths[:0], d.scopes[:0]
	d.members.reset()
}

func (d *UserDecoder) decode(line []byte) error {
	d.reset()
	err := d.readAll(line, userMember, d.member)
	switch r := &d.record; {
	case err != nil:
		return err
	case d.unsupported:
		return nil
	case !ValidUserName(r.Name):
		return errUserName
	case r.Created.IsZero() || r.At.IsZero():
		return errNoTime
	case d.seen&memberUserPaths != 0 && len(d.paths) == 0:
		return jsonline.ErrList
	case r.Password != "" && !passwordhash.Valid(r.Password):
		return errPassword
	}
	return nil
}

// decodeUnsupported is to users what that of a KeyDecoder is to keys.
func (d *UserDecoder) decodeUnsupported(line []byte) bool {
	d.reset()
	ok := d.readOutline(line, outline{
		bitOf: userMember, written: userEndMembers, required: memberLeft | memberUserName, read: d.member, clear: d.clear,
	})
	r := &d.record
	if !passwordhash.Valid(r.Password) {
		r.Password = ""
	}
	r.Paths, r.Scopes = stringsOf(d.paths), stringsOf(d.scopes)
	r.Unsupported, r.Unknown = true, string(d.unknown.Raw())
	return ok && d.unsupported && ValidUserName(r.Name)
}

func (d *UserDecoder) member(s *jsonline.Scanner, bit uint32) error {
	switch bit {
	case memberLeft:
		return readInteger(s, new(int64))
	case memberSeq:
		return readInteger(s, &d.record.Seq)
	case memberMust:
		return d.readMust(s, userMember)
	case memberUserName:
		return s.ReadTextString(&d.record.Name)
	case memberUserPassword:
		return s.ReadTextString(&d.record.Password)
	case memberUserPaths:
		return s.ReadTexts(&d.paths)
	case memberUserScopes:
		return s.ReadTexts(&d.scopes)
	case memberUserDisabled:
		var ok bool
		d.record.Disabled, ok = s.ReadBool()
		return jsonline.ErrType.Unless(ok)
	default:
		return s.ReadTime(d.timeOf(bit))
	}
}

// clear is for a member whose value cannot be read.
func (d *UserDecoder) clear(bit uint32) {
	r := &d.record
	switch bit {
	case memberSeq:
		r.Seq = 0
	case memberUserPassword:
		r.Password = ""
	case memberUserPaths:
		d.paths = d.paths[:0]
	case memberUserScopes:
		d.scopes = d.scopes[:0]
	case memberUserDisabled:
		r.Disabled = false // and denied all the same
	default:
		*d.timeOf(bit) = time.Time{}
	}
}

func (d *UserDecoder) timeOf(bit uint32) *time.Time {
	switch bit {
	case memberUserCreated:
		return &d.record.Created
	case memberUserDeleted:
		return &d.record.Deleted
	case memberUserValidSince:
		return &d.record.ValidSince
	default:
		return &d.record.At
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

// userEnd is to users what keyEnd is to keys.
type userEnd struct {
	Name       string    `json:"name"`
	Disabled   bool      `json:"disabled,omitempty"`
	Deleted    time.Time `json:"deleted,omitzero"`
	ValidSince time.Time `json:"valid_since,omitzero"`
	At         time.Time `json:"at,omitzero"`
	Seq        int64     `json:"seq,omitempty"`
}

func (r *UserRecord) encode() ([]byte, error) {
	var v any = r
	if r.Unsupported {
		v = &userEnd{r.Name, r.Disabled, r.Deleted, r.ValidSince, r.At, r.Seq}
	}
	return encodeWith(v, r.Unknown)
}

// Line encodes the record as a line, as KeyRecord.Line does.
func (r *UserRecord) Line() ([]byte, error) {
	line, err := r.encode()
	if err != nil {
		return nil, err
	}
	var d UserDecoder
	if _, err := d.Decode(line); err != nil {
		return nil, err
	}
	if err := r.CheckAccess(); err != nil {
		return nil, err
	}
	return line, nil
}
