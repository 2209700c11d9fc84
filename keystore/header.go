package keystore

import (
	"errors"
	"fmt"
	"keyward/apikey"
)

// Why a whole file is refused; each is matched by errors.Is.
var (
	ErrForeign = errors.New("not a file of ours, or of a version we do not know")
	ErrPepper  = errors.New("made with another pepper")
)

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

// check tells why a file with this first line is not one that h would head.
func (h header) check(line []byte) error {
	got, err := readHeader(line)
	switch {
	case err != nil:
		return ErrForeign
	case got.Kind != h.Kind || got.Version != h.Version:
		return ErrForeign
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
	s := scanner{text: line}
	seen := map[string]bool{}
	err := s.object(func(name []byte) error {
		if seen[string(name)] {
			return errTwice
		}
		seen[string(name)] = true
		var ok bool
		var text []byte
		switch string(name) {
		case "keyward":
			text, ok = s.str()
			h.Kind = string(text)
		case "version":
			h.Version, ok = s.number()
		case "hash":
			text, ok = s.str()
			h.Hash = string(text)
			ok = ok && (h.Hash == apikey.HashSHA256 || h.Hash == apikey.HashHMACSHA256)
		case "pepper":
			text, ok = s.str()
			h.Pepper = string(text)
			ok = ok && apikey.ValidPepperID(text)
		}
		return unless(ok, errMember)
	})
	if err == nil && !s.end() {
		err = errSyntax
	}
	return h, err
}
