package filestore

import (
	"errors"
	"fmt"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/journal"
	"keyward/store/jsonline"
	"keyward/store/recordline"
)

// ErrPepper is a key file whose keys were hashed with another pepper.
var ErrPepper = errors.New("made with another pepper")

// readerVersion is the version of this reader of files. A file says the oldest
// version of a reader that may read it; files of version 1 say their version alone.
const (
	readerVersion = 2
	firstVersion  = 1
)

// The kinds of file.
const (
	kindKeys        = "keys"
	kindUsers       = "users"
	kindRevocations = "revocations"
	kindProjects    = "projects"
	kindAudit       = "audit"
)

// header is a file's first line: what the file is, and how its secrets are hashed.
type header struct {
	Kind     string   `json:"keyward"`
	Versions [2]int64 `json:"versions"` // of the oldest reader that may read it, and of its writer
	Hash     string   `json:"hash,omitempty"`
	Pepper   string   `json:"pepper,omitempty"`
	Last     int64    `json:"last,omitempty"` // the number of the last entry before the file, of an audit log

	unknown string // the members that this version does not know, as they were written
	newer   bool   // must names one of them
}

func keysHeader(h *apikey.Hasher) header {
	return header{Kind: kindKeys, Versions: ownVersions, Hash: h.Name(), Pepper: h.PepperID()}
}

func usersHeader() header { return header{Kind: kindUsers, Versions: ownVersions} }

func revocationsHeader() header { return header{Kind: kindRevocations, Versions: ownVersions} }

func projectsHeader() header { return header{Kind: kindProjects, Versions: ownVersions} }

func auditHeader() header { return header{Kind: kindAudit, Versions: ownVersions} }

var ownVersions = [2]int64{readerVersion, readerVersion}

// of is what files with this first line begin with, for a journal.
func (h header) of() journal.Header {
	line, err := h.line()
	if err != nil {
		panic(err) // strings and numbers
	}
	return journal.Header{Line: line, Renew: h.renew, Check: h.check}
}

func (h header) line() ([]byte, error) {
	line, err := recordline.EncodeObject(h)
	return jsonline.Append(line, h.unknown), err
}

// renew returns the header of a file that replaces one with that first line: its
// lines may be those of a newer version, and so may its other members.
func (h header) renew(first []byte) ([]byte, error) {
	old, err := readHeader(first)
	if err != nil {
		return nil, err
	}
	h.Versions[1] = max(h.Versions[1], old.Versions[1])
	h.unknown = old.unknown
	if h.Last == 0 {
		h.Last = old.Last
	}
	return h.line()
}

// check returns why a file with this first line is not one that h would head.
func (h header) check(line []byte) error {
	got, err := readHeader(line)
	switch {
	case err != nil || got.Kind != h.Kind:
		return journal.ErrWrongFile
	case got.newer:
		return fmt.Errorf("%w: the header has a member that a reader must know, and this one does not", store.ErrUnsupported)
	case got.Versions[0] > readerVersion:
		return fmt.Errorf("%w: a reader of version %d can read the file, this one is of version %d", store.ErrUnsupported, got.Versions[0], readerVersion)
	case !got.hashKnown():
		return journal.ErrWrongFile
	case got.Hash != h.Hash || got.Pepper != h.Pepper:
		return fmt.Errorf("%w: the file's hash is %s, ours is %s", ErrPepper, got.hashing(), h.hashing())
	}
	return nil
}

// hashKnown reports whether the header says how keys are hashed in a way that this
// version knows, if it says so at all.
func (h header) hashKnown() bool {
	return (h.Hash == "" || h.Hash == apikey.HashSHA256 || h.Hash == apikey.HashHMACSHA256) &&
		(h.Pepper == "" || apikey.ValidPepperID([]byte(h.Pepper)))
}

func (h header) hashing() string {
	if h.Pepper == "" {
		return h.Hash
	}
	return h.Hash + " under pepper " + h.Pepper
}
