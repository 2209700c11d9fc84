package store

import (
	"fmt"
	"time"
	"unicode/utf8"

	"keyward/chars"
	"keyward/store/jsonline"
)

const errRevocation jsonline.Error = "not one of: a jti, a subject with issued_before, issued_before alone"

// Revocation revokes tokens before they expire: one token by its id, or one
// subject's tokens, or without a subject all tokens, by when they were issued.
type Revocation struct {
	TokenID      string    `json:"jti,omitempty"`
	Subject      string    `json:"subject,omitempty"`
	IssuedBefore time.Time `json:"issued_before,omitzero"`
	At           time.Time `json:"at"`

	// Seq and Unknown are as in KeyRecord.
	Seq     int64  `json:"seq,omitempty"`
	Unknown string `json:"-"`

	// Unsupported is a revocation that a newer version wrote, and that this one does
	// not understand: its TokenID is revoked, and its Subject, before IssuedBefore or,
	// without a time, at all times. IssuedBefore alone revokes every token before it.
	// If it has none of them, this version does not know which tokens it revokes, and
	// can accept none.
	Unsupported bool `json:"-"`
}

const claimText = "1 to 255 bytes of UTF-8 without spaces at the ends, control and format characters"

// RevocationOfToken is that of the token with that id. An id with which no token is
// accepted is ErrInvalid: nothing would be revoked.
func RevocationOfToken(jti string) (Revocation, error) {
	if !chars.IsClaim(jti) {
		return Revocation{}, fmt.Errorf("%w: a token's id is %s", ErrInvalid, claimText)
	}
	return Revocation{TokenID: jti}, nil
}

// RevocationOfSubject is that of the subject's tokens that were issued before that
// time. A subject with which no token is accepted is ErrInvalid; "" is not all of them.
func RevocationOfSubject(subject string, before time.Time) (Revocation, error) {
	if !chars.IsClaim(subject) {
		return Revocation{}, fmt.Errorf("%w: a subject is %s", ErrInvalid, claimText)
	}
	r, err := RevocationOfAll(before)
	r.Subject = subject
	return r, err
}

// RevocationOfAll is that of all tokens that were issued before that time.
func RevocationOfAll(before time.Time) (Revocation, error) {
	if before = before.UTC(); before.Year() < 1971 || before.Year() > 9999 {
		return Revocation{}, fmt.Errorf("%w: the time before which tokens were issued must be in the years 1971 to 9999", ErrInvalid)
	}
	return Revocation{IssuedBefore: before}, nil
}

// The members of a revocation's line, one bit for each, but those that each line
// may have.
const (
	memberTokenID = firstMember << iota
	memberSubject
	memberIssuedBefore
)

func revocationMember(name []byte) uint32 {
	switch string(name) {
	case "jti":
		return memberTokenID
	case "subject":
		return memberSubject
	case "issued_before":
		return memberIssuedBefore
	default:
		return commonMember(name)
	}
}

// RevocationDecoder decodes the lines of revocations.
type RevocationDecoder struct {
	record Revocation
	members
}

// Decode decodes a line and checks all that stands in it. The record is valid
// until the next one is decoded. The error is a jsonline.Error.
func (d *RevocationDecoder) Decode(line []byte) (*Revocation, error) {
	if !utf8.Valid(line) {
		return nil, jsonline.ErrUTF8
	}
	err := d.decode(line)
	if err != nil || d.unsupported {
		if d.decodeUnsupported(line) {
			return &d.record, nil
		}
		return nil, err
	}
	d.record.Unknown = string(d.unknown.Raw())
	return &d.record, nil
}

func (d *RevocationDecoder) reset() {
	d.record = Revocation{}
	d.members.reset()
}

func (d *RevocationDecoder) decode(line []byte) error {
	d.reset()
	err := d.readAll(line, revocationMember, d.member)
	switch {
	case err != nil:
		return err
	case d.unsupported:
		return nil
	case d.record.At.IsZero():
		return errNoTime
	}
	return errRevocation.Unless(d.known())
}

// known reports whether the line has the form of one of the revocations that this
// version knows. An empty name would be taken for one that is not there, and end all
// tokens.
func (d *RevocationDecoder) known() bool {
	r := &d.record
	has := func(bit uint32) bool { return d.seen&bit != 0 }
	switch {
	case has(memberTokenID) && r.TokenID == "" || has(memberSubject) && r.Subject == "":
		return false
	case has(memberTokenID):
		return !has(memberSubject) && !has(memberIssuedBefore)
	}
	return has(memberIssuedBefore)
}

func (d *RevocationDecoder) member(s *jsonline.Scanner, bit uint32) error {
	switch bit {
	case memberLeft:
		return readInteger(s, new(int64))
	case memberSeq:
		return readInteger(s, &d.record.Seq)
	case memberMust:
		return d.readMust(s, revocationMember)
	case memberTokenID:
		return s.ReadTextString(&d.record.TokenID)
	case memberSubject:
		return s.ReadTextString(&d.record.Subject)
	case memberIssuedBefore:
		return s.ReadTime(&d.record.IssuedBefore)
	default:
		return s.ReadTime(&d.record.At)
	}
}

// decodeUnsupported is to revocations what that of a KeyDecoder is to keys. A line
// that is not one of the known revocations, and has unknown members, is of an unknown
// kind.
func (d *RevocationDecoder) decodeUnsupported(line []byte) bool {
	d.reset()
	ok := d.readOutline(line, outline{bitOf: revocationMember, written: memberLeft, required: memberLeft, read: d.member, clear: d.clear})
	d.record.Unsupported, d.record.Unknown = true, string(d.unknown.Raw())
	return ok && (d.unsupported || d.ignored)
}

// clear is for a member whose value cannot be read.
func (d *RevocationDecoder) clear(bit uint32) {
	r := &d.record
	switch bit {
	case memberSeq:
		r.Seq = 0
	case memberTokenID:
		r.TokenID = ""
	case memberSubject:
		r.Subject = ""
	case memberIssuedBefore:
		r.IssuedBefore = time.Time{}
	default:
		r.At = time.Time{}
	}
}

// Line encodes the revocation as a line, as KeyRecord.Line does. One that is not
// supported consists of what its line had.
func (r *Revocation) Line() ([]byte, error) {
	var v any = r
	if r.Unsupported {
		v = struct{}{}
	}
	line, err := encodeWith(v, r.Unknown)
	if err != nil {
		return nil, err
	}
	var d RevocationDecoder
	if _, err := d.Decode(line); err != nil {
		return nil, err
	}
	return line, nil
}
