package store

import (
	"fmt"
	"time"

	"keyward/chars"
	"keyward/store/audit"
	"keyward/store/jsonline"
	"keyward/store/recordline"
)

const errRevocation jsonline.Error = "not one of: a jti, a sid, a subject with issued_before, issued_before alone"

// Revocation revokes tokens before they expire: one token by its id, those of one
// session, or one subject's tokens, or without a subject all tokens, by when they were
// issued.
type Revocation struct {
	TokenID      string    `json:"jti,omitempty"`
	SessionID    string    `json:"sid,omitempty"` // the sid of the tokens that came of one login or grant
	Subject      string    `json:"subject,omitempty"`
	IssuedBefore time.Time `json:"issued_before,omitzero"`

	// Until is when all tokens that it revokes have expired: it is left out from then
	// on. Zero: it stays.
	Until time.Time `json:"until,omitzero"`

	At     time.Time `json:"at"`
	By     string    `json:"by,omitempty"` // as in Act
	Via    audit.Via `json:"via,omitempty"`
	Reason string    `json:"reason,omitempty"` // in that user's words

	// Seq and Unknown are as in KeyRecord.
	Seq     int64  `json:"seq,omitempty"`
	Unknown string `json:"-"`

	// Unsupported is a revocation that a newer version wrote, and that this one does
	// not understand: its TokenID and SessionID are revoked, and its Subject, before
	// IssuedBefore or, without a time, at all times. IssuedBefore alone revokes every
	// token before it. If it has none of them, this version does not know which tokens
	// it revokes, and can accept none. It stays, whatever Until says.
	Unsupported bool `json:"-"`
}

// UntilMargin is how long after Until a revocation counts. It is more than the leeway
// with which a token may be accepted after it has expired, and than what the clocks of
// two machines may differ by.
const UntilMargin = 15 * time.Minute

const claimText = "1 to 255 bytes of UTF-8 without spaces at the ends, control and format characters"

// RevocationOfToken returns that of the token with that id. An id with which no token is
// accepted is ErrInvalid: nothing would be revoked.
func RevocationOfToken(jti string) (Revocation, error) {
	if !chars.IsClaim(jti) {
		return Revocation{}, fmt.Errorf("%w: a token's id is %s", ErrInvalid, claimText)
	}
	return Revocation{TokenID: jti}, nil
}

// RevocationOfSession returns that of the tokens of the session with that id, their sid.
func RevocationOfSession(sid string) (Revocation, error) {
	if !chars.IsClaim(sid) {
		return Revocation{}, fmt.Errorf("%w: a session's id is %s", ErrInvalid, claimText)
	}
	return Revocation{SessionID: sid}, nil
}

// RevocationOfSubject returns that of the subject's tokens that were issued before that
// time. A subject with which no token is accepted is ErrInvalid; "" is not all of them.
func RevocationOfSubject(subject string, before time.Time) (Revocation, error) {
	if !chars.IsClaim(subject) {
		return Revocation{}, fmt.Errorf("%w: a subject is %s", ErrInvalid, claimText)
	}
	r, err := RevocationOfAll(before)
	r.Subject = subject
	return r, err
}

// RevocationOfAll returns that of all tokens that were issued before that time.
func RevocationOfAll(before time.Time) (Revocation, error) {
	if before = before.UTC(); before.Year() < 1971 || before.Year() > 9999 {
		return Revocation{}, fmt.Errorf("%w: the time before which tokens were issued must be in the years 1971 to 9999", ErrInvalid)
	}
	return Revocation{IssuedBefore: before}, nil
}

// Position returns where the revocation is in a list. It has no id, so that what it
// revokes takes the place of one.
func (r *Revocation) Position() Position {
	return Position{Made: r.At, ID: fmt.Sprintf("%q %q %q %d", r.TokenID, r.SessionID, r.Subject, r.IssuedBefore.UnixNano())}
}

// Ends returns the time from which the revocation is left out; zero if it stays. One whose
// Until is before it was made, or before the tokens that it names were issued, was made
// by mistake, and stays.
func (r *Revocation) Ends() time.Time {
	if r.Unsupported || r.Until.IsZero() || r.Until.Before(r.At) || r.Until.Before(r.IssuedBefore) {
		return time.Time{}
	}
	return r.Until.Add(UntilMargin)
}

// Over reports whether the revocation is left out.
func (r *Revocation) Over(now time.Time) bool {
	end := r.Ends()
	return !end.IsZero() && !now.Before(end)
}

// revocationKind is what a revocation's line has. One that is not supported is written
// again as it was.
var revocationKind = recordline.Kind[Revocation]{
	Fields: []recordline.Field[Revocation]{
		recordline.Text("jti", func(r *Revocation) *string { return &r.TokenID }),
		recordline.Text("sid", func(r *Revocation) *string { return &r.SessionID }),
		recordline.Text("subject", func(r *Revocation) *string { return &r.Subject }),
		recordline.Time("issued_before", func(r *Revocation) *time.Time { return &r.IssuedBefore }),
		recordline.Time("until", func(r *Revocation) *time.Time { return &r.Until }),
		recordline.Time("at", func(r *Revocation) *time.Time { return &r.At }),
		recordline.Text("by", func(r *Revocation) *string { return &r.By }),
		recordline.Text("via", func(r *Revocation) *string { return (*string)(&r.Via) }),
		recordline.Text("reason", func(r *Revocation) *string { return &r.Reason }),
		recordline.Integer("seq", func(r *Revocation) *int64 { return &r.Seq }),
	},
	Complete: completeRevocation,
	About:    func(*Revocation) bool { return true },
	Open:     true,
	Keep:     func(r *Revocation, unknown string, unsupported bool) { r.Unknown, r.Unsupported = unknown, unsupported },
}

// completeRevocation refuses a line that has not the form of one of the revocations
// that this version knows. An empty name would be taken for one that is not there, and
// end all tokens.
func completeRevocation(r *Revocation, has func(name string) bool) error {
	names := 0
	for _, of := range []struct{ name, text string }{{"jti", r.TokenID}, {"sid", r.SessionID}, {"subject", r.Subject}} {
		if has(of.name) {
			names++
		}
		if has(of.name) && of.text == "" {
			return errRevocation
		}
	}
	byTime := has("issued_before")
	switch {
	case r.At.IsZero():
		return errNoTime
	case names > 1, names == 0 && !byTime, names == 1 && byTime != has("subject"):
		return errRevocation
	}
	return nil
}

// RevocationDecoder decodes the lines of revocations.
type RevocationDecoder struct {
	lines recordline.Decoder[Revocation]
}

// Decode decodes a line and checks all that stands in it. The record is valid
// until the next one is decoded. The error is a jsonline.Error.
func (d *RevocationDecoder) Decode(line []byte) (*Revocation, error) {
	return d.lines.Decode(&revocationKind, line)
}

// Line encodes the revocation as a line, as KeyRecord.Line does. One that is not
// supported consists of what its line had.
func (r *Revocation) Line() ([]byte, error) {
	var v any = r
	if r.Unsupported {
		v = struct{}{}
	}
	line, err := recordline.Encode(v, r.Unknown)
	if err != nil {
		return nil, err
	}
	var d RevocationDecoder
	if _, err := d.Decode(line); err != nil {
		return nil, err
	}
	return line, nil
}
