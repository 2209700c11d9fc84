package store

import (
	"time"

	"keyward/store/jsonline"
	"keyward/store/recordline"
)

// The objects within a key's line: previous secrets, a pause, an ending. Each keeps
// the members that this version does not know, as the line does.

// previousSecret has the members of a PreviousSecret that this version knows.
type previousSecret PreviousSecret

// MarshalJSON adds the unknown members that the secret was read with.
func (p PreviousSecret) MarshalJSON() ([]byte, error) {
	return recordline.Encode(previousSecret(p), p.Unknown)
}

func (d *KeyDecoder) readPrevious(s *jsonline.Scanner) error {
	return s.Array(func() error {
		if len(d.record.Previous) == maxPrevious {
			return jsonline.ErrList
		}
		p, err := readPreviousSecret(s)
		d.record.Previous = append(d.record.Previous, p)
		return err
	})
}

// The members of a previous secret.
const (
	memberPreviousHash = 1 << iota
	memberPreviousUntil
)

func previousMember(name []byte) uint32 {
	switch string(name) {
	case "hash":
		return memberPreviousHash
	case "until":
		return memberPreviousUntil
	default:
		return 0
	}
}

func readPreviousSecret(s *jsonline.Scanner) (p PreviousSecret, err error) {
	var m recordline.Members
	err = m.ReadObject(s, previousMember, func(s *jsonline.Scanner, bit uint32) error {
		if bit == memberPreviousHash {
			return readDigest(s, &p.Hash)
		}
		return s.ReadTime(&p.Until)
	})
	if err == nil && m.Seen&memberPreviousHash == 0 {
		err = errNoHash
	}
	p.Unknown = string(m.Unknown())
	return p, err
}

// MarshalJSON adds the unknown members that the act was read with.
func (a Act) MarshalJSON() ([]byte, error) {
	type known Act
	return recordline.Encode(known(a), a.Unknown)
}

// MarshalJSON adds the unknown members that the pause was read with.
func (p Pause) MarshalJSON() ([]byte, error) {
	type act Act
	return recordline.Encode(struct {
		Since time.Time `json:"since"`
		act
	}{p.Since, act(p.Act)}, p.Unknown)
}

// The members of an act and of a pause.
const (
	memberSince = 1 << iota
	memberBy
	memberVia
	memberReason
)

// Shown returns the act without what this version does not know of it.
func (a *Act) Shown() *Act {
	if a == nil {
		return nil
	}
	return &Act{By: a.By, Via: a.Via, Reason: a.Reason}
}

func actMember(name []byte) uint32 {
	switch string(name) {
	case "by":
		return memberBy
	case "via":
		return memberVia
	case "reason":
		return memberReason
	default:
		return 0
	}
}

func pauseMember(name []byte) uint32 {
	if string(name) == "since" {
		return memberSince
	}
	return actMember(name)
}

// readAct reads an act as its members, of which the one that only a pause has goes
// to since.
func readAct(s *jsonline.Scanner, bitOf func(name []byte) uint32, act *Act, since *time.Time) error {
	var m recordline.Members
	err := m.ReadObject(s, bitOf, func(s *jsonline.Scanner, bit uint32) error {
		switch bit {
		case memberSince:
			return s.ReadTime(since)
		case memberBy:
			return readText(s, &act.By)
		case memberVia:
			return readText(s, (*string)(&act.Via))
		default:
			return readText(s, &act.Reason)
		}
	})
	act.Unknown = string(m.Unknown())
	return err
}

func readEnding(s *jsonline.Scanner) (*Act, error) {
	var a Act
	err := readAct(s, actMember, &a, nil)
	return &a, err
}

// readOwnEnding is readEnding into memory that the line does not share.
func readOwnEnding(s *jsonline.Scanner, into **Act) error {
	a, err := readEnding(s)
	*into = a.clone()
	return err
}

func readPause(s *jsonline.Scanner) (*Pause, error) {
	var p Pause
	err := readAct(s, pauseMember, &p.Act, &p.Since)
	if err == nil && p.Since.IsZero() {
		err = errNoSince
	}
	return &p, err
}
