package store

import (
	"time"

	"keyward/apikey"
	"keyward/store/recordline"
)

// keyEnd is what a record that is not supported is written with, beside what its
// line had: the members that keyEndMembers names.
type keyEnd struct {
	ID      string    `json:"id"`
	Revoked time.Time `json:"revoked,omitzero"`
	Deleted time.Time `json:"deleted,omitzero"`
	Ending  *Act      `json:"ending,omitempty"`
	At      time.Time `json:"at,omitzero"`
	Seq     int64     `json:"seq,omitempty"`
}

// encode encodes the record as a line, with the unknown members that it was read with.
func (r *KeyRecord) encode() ([]byte, error) {
	if r.Unsupported {
		return recordline.Encode(&keyEnd{r.ID, r.Revoked, r.Deleted, r.Ending, r.At, r.Seq}, r.Unknown)
	}
	c := *r
	c.Must = append(r.restrictions(), r.Must...)
	return recordline.Encode(&c, r.Unknown)
}

// restrictions returns the names of the members by which the key is restricted.
func (r *KeyRecord) restrictions() []string {
	var names []string
	if !r.NotBefore.IsZero() {
		names = append(names, "not_before")
	}
	if r.Paused != nil {
		names = append(names, "paused")
	}
	if len(r.CIDRs) > 0 {
		names = append(names, "cidrs")
	}
	return names
}

// Line encodes the record as a line, newline included. The line is decoded
// again: nothing is ever written that a reader would refuse.
func (r *KeyRecord) Line() ([]byte, error) {
	line, err := r.encode()
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

// decodeUnsupported reads what can be read of a line whose must names a member that
// is not known, and reports whether it is one, and about a key.
func (d *KeyDecoder) decodeUnsupported(line []byte) bool {
	d.reset()
	ok := d.members.ReadOutline(line, recordline.Outline{
		BitOf: keyMember, Written: keyEndMembers, Required: recordline.Left | memberID, Read: d.member, Clear: d.clear,
	})
	d.record.Unsupported, d.record.Unknown = true, stringOf(d.members.Unknown())
	return ok && d.members.Unsupported && d.members.Seen&memberID != 0
}

// clear resets a member whose value cannot be read.
func (d *KeyDecoder) clear(bit uint32) {
	r := &d.record
	switch bit {
	case recordline.Seq:
		r.Seq = 0
	case memberPaths:
		r.Paths = nil
	case memberScopes:
		r.Scopes = nil
	case memberFormat:
		r.Format = ""
	case memberHash:
		r.Hash = apikey.Digest{}
	case memberPrevious:
		r.Previous = r.Previous[:0]
	case memberPaused:
		r.Paused = nil
	case memberCIDRs:
		r.CIDRs = nil
	case memberEnding:
		r.Ending = nil
	case memberCreated, memberExpires, memberRevoked, memberDeleted, memberRotated, memberNotBefore, recordline.At:
		*d.timeOf(bit) = time.Time{}
	default:
		*d.textOf(bit) = ""
	}
}
