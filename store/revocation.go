package store

import (
	"time"
	"unicode/utf8"

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
}

// RevocationDecoder decodes the lines of revocations.
type RevocationDecoder struct{ record Revocation }

// Decode decodes a line and checks all that stands in it. The record is valid
// until the next one is decoded. The error is a jsonline.Error.
func (d *RevocationDecoder) Decode(line []byte) (*Revocation, error) {
	if !utf8.Valid(line) {
		return nil, jsonline.ErrUTF8
	}
	d.record = Revocation{}
	r := &d.record
	seen := map[string]bool{}
	s := jsonline.NewScanner(line)
	err := s.Object(func(name []byte) error {
		if seen[string(name)] {
			return jsonline.ErrTwice
		}
		seen[string(name)] = true
		switch string(name) {
		case "jti":
			return s.ReadTextString(&r.TokenID)
		case "subject":
			return s.ReadTextString(&r.Subject)
		case "issued_before":
			return s.ReadTime(&r.IssuedBefore)
		case "at":
			return s.ReadTime(&r.At)
		default:
			return jsonline.ErrUnknownMember
		}
	})
	switch {
	case err != nil:
		return nil, err
	case !s.End():
		return nil, jsonline.ErrSyntax
	case r.At.IsZero():
		return nil, errNoTime
	// An empty name would be taken for one that is not there, and end all tokens.
	case seen["jti"] && r.TokenID == "" || seen["subject"] && r.Subject == "":
		return nil, errRevocation
	case seen["jti"] == seen["issued_before"] || seen["jti"] && seen["subject"]:
		return nil, errRevocation
	}
	return r, nil
}

// Line encodes the revocation as a line, as KeyRecord.Line does.
func (r *Revocation) Line() ([]byte, error) {
	line, err := EncodeLine(r)
	if err != nil {
		return nil, err
	}
	var d RevocationDecoder
	if _, err := d.Decode(line); err != nil {
		return nil, err
	}
	return line, nil
}
