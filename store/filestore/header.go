package filestore

import (
	"errors"
	"fmt"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/journal"
	"keyward/store/jsonline"
)

// ErrPepper is a key file whose keys were hashed with another pepper.
var ErrPepper = errors.New("made with another pepper")

const formatVersion = 1

// The kinds of file.
const (
	kindKeys        = "keys"
	kindUsers       = "users"
	kindRevocations = "revocations"
)

// header is a file's first line: what the file is, and how its keys are hashed.
type header struct {
	Kind    string `json:"keyward"`
	Version int    `json:"version"`
	Hash    string `json:"hash,omitempty"`
	Pepper  string `json:"pepper,omitempty"`
}

func keysHeader(h *apikey.Hasher) header {
	return header{Kind: kindKeys, Version: formatVersion, Hash: h.Name(), Pepper: h.PepperID()}
}

func usersHeader() header { return header{Kind: kindUsers, Version: formatVersion} }

func revocationsHeader() header { return header{Kind: kindRevocations, Version: formatVersion} }

// of is what files with this first line begin with, for a journal.
func (h header) of() journal.Header {
	line, err := store.EncodeLine(h)
	if err != nil {
		panic(err) // strings and a number
	}
	return journal.Header{Line: line, Check: h.check}
}

// check returns why a file with this first line is not one that h would head.
func (h header) check(line []byte) error {
	got, err := readHeader(line)
	switch {
	case err != nil:
		return journal.ErrWrongFile
	case got.Kind != h.Kind || got.Version != h.Version:
		return journal.ErrWrongFile
	case got.Hash != h.Hash || got.Pepper != h.Pepper:
		return fmt.Errorf("%w: the file's hash is %s, ours is %s", ErrPepper, got.hashing(), h.hashing())
	}
	return nil
}

func (h header) hashing() string {
	if h.Pepper == "" {
		return h.Hash
	}
	return h.Hash + " under pepper " + h.Pepper
}

func readHeader(line []byte) (header, error) {
	var h header
	s := jsonline.NewScanner(line)
	seen := map[string]bool{}
	err := s.Object(func(name []byte) error {
		if seen[string(name)] {
			return jsonline.ErrTwice
		}
		seen[string(name)] = true
		var ok bool
		var text []byte
		switch string(name) {
		case "keyward":
			text, ok = s.ReadString()
			h.Kind = string(text)
		case "version":
			h.Version, ok = s.ReadNumber()
		case "hash":
			text, ok = s.ReadString()
			h.Hash = string(text)
			ok = ok && (h.Hash == apikey.HashSHA256 || h.Hash == apikey.HashHMACSHA256)
		case "pepper":
			text, ok = s.ReadString()
			h.Pepper = string(text)
			ok = ok && apikey.ValidPepperID(text)
		}
		return jsonline.ErrUnknownMember.Unless(ok)
	})
	if err == nil && !s.End() {
		err = jsonline.ErrSyntax
	}
	return h, err
}
