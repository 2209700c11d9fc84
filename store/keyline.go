package store

import (
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"
	"unsafe"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store/jsonline"
	"keyward/store/recordline"
)

const (
	errNoID      jsonline.Error = "no id, or not k_ and 12 characters of 0-9A-Za-z"
	errNoHash    jsonline.Error = "no hash, or not 64 lower-case hexadecimal digits"
	errNoTime    jsonline.Error = "no created or no at"
	errAccess    jsonline.Error = "an invalid path or scope"
	errNoFormat  jsonline.Error = "an unknown key format"
	errBadPrefix jsonline.Error = "an invalid prefix"
	errNoSince   jsonline.Error = "paused without since"
	errNetwork   jsonline.Error = "no networks, or more than 32, or one that is not in its canonical form"
)

// Bounds of a key's texts and lists.
const (
	MaxDescription = 1024 // bytes
	MaxCIDRs       = 32
)

const maxHint = apikey.MaxPrefix + apikey.HintLen

// KeyDecoder decodes the lines of keys. It uses its memory again for each line,
// so that a million lines are read without a million allocations.
type KeyDecoder struct {
	record  KeyRecord
	id      apikey.ID
	left    int64 // lines of the same batch that are still to come
	members recordline.Members

	texts         [][]byte
	paths, scopes []string
	networks      []netip.Prefix
}

// Decode decodes a line and checks its form. The record is valid until the line
// changes or the next one is decoded, and [KeyRecord.Clone] makes one to keep: its
// texts are those of the line. The error is a jsonline.Error.
func (d *KeyDecoder) Decode(line []byte) (*KeyRecord, error) {
	if !utf8.Valid(line) {
		return nil, jsonline.ErrUTF8
	}
	err := d.decode(line)
	if err != nil || d.members.Unsupported {
		if d.decodeUnsupported(line) {
			return &d.record, nil
		}
		if err == nil {
			err = errNoID
		}
		return nil, err
	}
	if raw := d.members.Unknown(); len(raw) > 0 {
		d.record.Unknown = stringOf(raw)
	}
	return &d.record, nil
}

func (d *KeyDecoder) reset() {
	d.record, d.id, d.left = KeyRecord{Previous: d.record.Previous[:0]}, apikey.ID{}, 0
	d.members.Reset()
}

func (d *KeyDecoder) decode(line []byte) error {
	d.reset()
	err := d.members.ReadLine(line, keyMember, d.member)
	switch {
	case err != nil:
		return err
	case d.members.Unsupported:
		return nil
	}
	return d.complete()
}

// ID returns the id of the key that the last line is about.
func (d *KeyDecoder) ID() apikey.ID { return d.id }

// InBatch reports whether the last line says how much of its batch is to come.
func (d *KeyDecoder) InBatch() bool { return d.left > 0 }

func (d *KeyDecoder) member(s *jsonline.Scanner, m uint32) error {
	switch m {
	case recordline.Left:
		return recordline.ReadInteger(s, &d.left)
	case recordline.Seq:
		return recordline.ReadInteger(s, &d.record.Seq)
	case recordline.Must:
		return d.readRequired(s)
	case memberID:
		return d.readID(s)
	case memberPaths:
		var err error
		d.paths, err = d.readTexts(s, d.paths)
		d.record.Paths = d.paths
		return err
	case memberScopes:
		var err error
		d.scopes, err = d.readTexts(s, d.scopes)
		d.record.Scopes = &d.scopes
		return err
	case memberFormat:
		return d.readFormat(s)
	case memberHash:
		return readDigest(s, &d.record.Hash)
	case memberPrevious:
		return d.readPrevious(s)
	case memberPaused, memberCIDRs, memberDescription, memberEnding:
		return d.optionalMember(s, m)
	case memberCreated, memberExpires, memberRevoked, memberDeleted, memberRotated, memberNotBefore, recordline.At:
		return s.ReadTime(d.timeOf(m))
	default:
		return readText(s, d.textOf(m))
	}
}

// optionalMember reads a member that few keys have.
func (d *KeyDecoder) optionalMember(s *jsonline.Scanner, m uint32) (err error) {
	switch m {
	case memberPaused:
		d.record.Paused, err = readPause(s)
	case memberCIDRs:
		err = d.readNetworks(s)
	case memberEnding:
		d.record.Ending, err = readEnding(s)
	default:
		var text []byte
		err = s.ReadTextWithin(&text, MaxDescription)
		d.record.Description = stringOf(text)
	}
	return err
}

func (d *KeyDecoder) textOf(m uint32) *string {
	switch m {
	case memberName:
		return &d.record.Name
	case memberUser:
		return &d.record.User
	case memberProject:
		return &d.record.Project
	case memberRate:
		return &d.record.Rate
	case memberPrefix:
		return &d.record.Prefix
	case memberOwner:
		return &d.record.Owner
	case memberCreatedBy:
		return &d.record.CreatedBy
	default:
		return &d.record.Hint
	}
}

func (d *KeyDecoder) timeOf(m uint32) *time.Time {
	switch m {
	case memberCreated:
		return &d.record.Created
	case memberExpires:
		return &d.record.Expires
	case memberRevoked:
		return &d.record.Revoked
	case memberDeleted:
		return &d.record.Deleted
	case memberRotated:
		return &d.record.Rotated
	case memberNotBefore:
		return &d.record.NotBefore
	default:
		return &d.record.At
	}
}

// stringOf returns the text as a string that shares its memory, and is valid
// until that changes. A million keys have six million texts, of which the
// index keeps no string: to copy them would be what reading the file costs.
func stringOf(text []byte) string { return unsafe.String(unsafe.SliceData(text), len(text)) }

// readText reads a text that is valid as long as the line.
func readText(s *jsonline.Scanner, into *string) error {
	var text []byte
	err := s.ReadText(&text)
	*into = stringOf(text)
	return err
}

// readTexts reads a list into the capacity of into.
func (d *KeyDecoder) readTexts(s *jsonline.Scanner, into []string) ([]string, error) {
	err := s.ReadTexts(&d.texts)
	into = into[:0]
	for _, text := range d.texts {
		into = append(into, stringOf(text))
	}
	return into, err
}

// readRequired reads must. The names are the record's if all of them are known.
func (d *KeyDecoder) readRequired(s *jsonline.Scanner) error {
	start := *s
	names, err := d.readTexts(s, nil)
	if err != nil {
		return err
	}
	for _, name := range names {
		if keyMember([]byte(name)) == 0 {
			*s = start
			return d.members.ReadMust(s, keyMember)
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return keyMember([]byte(name))&keyRestrictions != 0 })
	if len(names) > 0 {
		d.record.Must = names
	}
	return nil
}

// readNetworks reads networks, each in its canonical form.
func (d *KeyDecoder) readNetworks(s *jsonline.Scanner) error {
	texts, err := d.readTexts(s, nil)
	if err != nil {
		return err
	}
	d.networks = d.networks[:0]
	for _, text := range texts {
		network, err := authz.ParseNetwork(text)
		if err != nil || network.String() != text {
			return errNetwork
		}
		d.networks = append(d.networks, network)
	}
	d.record.CIDRs = d.networks
	return errNetwork.Unless(0 < len(texts) && len(texts) <= MaxCIDRs)
}

func (d *KeyDecoder) readID(s *jsonline.Scanner) error {
	text, ok := s.ReadString()
	if ok {
		d.id, ok = apikey.ParseID(text)
		ok = ok && s.Unescaped(text)
		d.record.ID = stringOf(text)
	}
	return errNoID.Unless(ok)
}

func readDigest(s *jsonline.Scanner, into *apikey.Digest) error {
	text, ok := s.ReadString()
	return errNoHash.Unless(ok && apikey.ParseDigest(into, text) && s.Unescaped(text))
}

func (d *KeyDecoder) readFormat(s *jsonline.Scanner) error {
	text, ok := s.ReadString()
	if !ok {
		return jsonline.ErrType
	}
	for _, f := range [...]apikey.Format{apikey.FormatKeyward, apikey.FormatHex, apikey.FormatRaw} {
		if string(text) == string(f) {
			d.record.Format = f
			return nil
		}
	}
	return errNoFormat
}

// complete checks what no member alone shows.
func (d *KeyDecoder) complete() error {
	r := &d.record
	switch {
	case d.members.Seen&memberID == 0:
		return errNoID
	case d.members.Seen&memberHash == 0:
		return errNoHash
	case d.members.Seen&memberFormat == 0:
		return errNoFormat
	case d.members.Seen&memberCreated == 0 || d.members.Seen&recordline.At == 0:
		return errNoTime
	case d.members.Seen&memberPaths != 0 && len(r.Paths) == 0:
		return jsonline.ErrList
	case len(r.Hint) > maxHint || len(r.Rate) > apikey.MaxPrefix:
		return jsonline.ErrText
	case apikey.ValidatePrefix(r.Prefix) != nil:
		return errBadPrefix
	}
	return nil
}
