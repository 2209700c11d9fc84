package fileheader

import (
	"errors"
	"fmt"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/journal"
	"keyward/store/jsonline"
	"keyward/store/recordline"
)

// What may be read and not be changed.
var (
	ErrCopy   = errors.New("a copy of a database, which is what to change: name it by store.url, or a server by --server")
	ErrNoCopy = errors.New("not a copy of a database: records that are nowhere else would be lost")
)

// ErrPepper is a file of keys or clients whose secrets were hashed with another pepper.
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
	kindClients     = "clients"
	kindAudit       = "audit"
)

// Header is a file's first line: what the file is, and how its secrets are hashed.
type Header struct {
	Kind     string   `json:"keyward"`
	Versions [2]int64 `json:"versions"` // of the oldest reader that may read it, and of its writer
	Hash     string   `json:"hash,omitempty"`
	Pepper   string   `json:"pepper,omitempty"`
	CopyOf   string   `json:"copy_of,omitempty"` // the identity of the database that the file is a copy of
	Last     int64    `json:"last,omitempty"`    // the number of the last entry before the file, of an audit log

	unknown string // the members that this version does not know, as they were written
	newer   bool   // must names one of them
}

// Keys returns the header of a file of keys that the hasher hashes.
func Keys(h *apikey.Hasher) Header {
	return Header{Kind: kindKeys, Versions: ownVersions, Hash: h.Name(), Pepper: h.PepperID()}
}

// Users returns the header of a file of users.
func Users() Header { return Header{Kind: kindUsers, Versions: ownVersions} }

// Revocations returns the header of a file of revocations.
func Revocations() Header { return Header{Kind: kindRevocations, Versions: ownVersions} }

// Projects returns the header of a file of projects.
func Projects() Header { return Header{Kind: kindProjects, Versions: ownVersions} }

// Clients returns the header of a file of OAuth clients, whose secrets the hasher hashes.
func Clients(h *apikey.Hasher) Header {
	return Header{Kind: kindClients, Versions: ownVersions, Hash: h.Name(), Pepper: h.PepperID()}
}

// Audit returns the header of an audit log.
func Audit() Header { return Header{Kind: kindAudit, Versions: ownVersions} }

// AuditFrom returns the header of an audit log whose entries follow the one with the
// number last.
func AuditFrom(last int64) Header {
	h := Audit()
	h.Last = last
	return h
}

var ownVersions = [2]int64{readerVersion, readerVersion}

// Journal returns what files with this first line begin with, for a journal.
func (h Header) Journal() journal.Header {
	line, err := h.line()
	if err != nil {
		panic(err) // strings and numbers
	}
	return journal.Header{Line: line, Renew: h.Renew, Check: h.Check, MayWrite: h.MayWrite}
}

// Copy returns the header of a file of those records that is a copy of the database with
// that identity.
func (h Header) Copy(identity string) Header {
	h.CopyOf = identity
	return h
}

// MayWrite returns why a file with this first line is not to be changed by one who writes
// h: only what follows a database changes its copy, and nothing else.
func (h Header) MayWrite(first []byte) error {
	got, err := Read(first)
	switch {
	case err != nil:
		return err
	case got.CopyOf != "" && h.CopyOf == "":
		return ErrCopy
	case got.CopyOf == "" && h.CopyOf != "":
		return ErrNoCopy
	default:
		return nil
	}
}

func (h Header) line() ([]byte, error) {
	line, err := recordline.EncodeObject(h)
	return jsonline.Append(line, h.unknown), err
}

// Renew returns the header of a file that replaces one with that first line: its
// lines may be those of a newer version, and so may its other members.
func (h Header) Renew(first []byte) ([]byte, error) {
	old, err := Read(first)
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

// Check returns why a file with this first line is not one that h would head.
func (h Header) Check(line []byte) error {
	got, err := Read(line)
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
func (h Header) hashKnown() bool {
	return (h.Hash == "" || h.Hash == apikey.HashSHA256 || h.Hash == apikey.HashHMACSHA256) &&
		(h.Pepper == "" || apikey.ValidPepperID([]byte(h.Pepper)))
}

func (h Header) hashing() string {
	if h.Pepper == "" {
		return h.Hash
	}
	return h.Hash + " under pepper " + h.Pepper
}

// headerReader reads the members of a header.
type headerReader struct {
	Header
	version int64 // of a file of firstVersion; zero: it has versions
	seen    map[string]bool
	others  jsonline.Unknown
}

// Read reads a file's first line.
func Read(line []byte) (Header, error) {
	r := headerReader{seen: map[string]bool{}}
	s := jsonline.NewScanner(line)
	err := s.Object(func(name []byte) error { return r.member(&s, name) })
	switch {
	case err != nil:
		return Header{}, err
	case !s.End() || r.seen["version"] == r.seen["versions"]:
		return Header{}, jsonline.ErrSyntax
	case r.seen["version"]:
		if r.version != firstVersion {
			return Header{}, jsonline.ErrSyntax
		}
		r.Versions = [2]int64{firstVersion, firstVersion}
	case r.Versions[0] < firstVersion || r.Versions[1] < r.Versions[0]:
		return Header{}, jsonline.ErrSyntax
	}
	r.unknown = string(r.others.Raw())
	return r.Header, nil
}

func knownInHeader(name []byte) bool {
	switch string(name) {
	case "keyward", "version", "versions", "hash", "pepper", "copy_of", "last", "must":
		return true
	default:
		return false
	}
}

func (r *headerReader) member(s *jsonline.Scanner, name []byte) error {
	if !knownInHeader(name) {
		return r.others.Read(s, name, knownInHeader)
	}
	if r.seen[string(name)] {
		return jsonline.ErrTwice
	}
	r.seen[string(name)] = true
	switch string(name) {
	case "keyward":
		return s.ReadTextString(&r.Kind)
	case "version":
		var ok bool
		r.version, ok = s.ReadInteger()
		return jsonline.ErrType.Unless(ok)
	case "versions":
		return r.readVersions(s)
	case "must":
		return r.readMust(s)
	case "last":
		var ok bool
		r.Last, ok = s.ReadInteger()
		return jsonline.ErrType.Unless(ok && r.Last > 0)
	case "copy_of":
		return s.ReadTextString(&r.CopyOf)
	case "hash":
		return s.ReadTextString(&r.Hash)
	default:
		return s.ReadTextString(&r.Pepper)
	}
}

func (r *headerReader) readVersions(s *jsonline.Scanner) error {
	n := 0
	err := s.Array(func() error {
		if n == len(r.Versions) {
			return jsonline.ErrList
		}
		var ok bool
		r.Versions[n], ok = s.ReadInteger()
		n++
		return jsonline.ErrType.Unless(ok)
	})
	if err == nil && n != len(r.Versions) {
		err = jsonline.ErrList
	}
	return err
}

func (r *headerReader) readMust(s *jsonline.Scanner) error {
	ahead := *s
	var names [][]byte
	if err := ahead.ReadTexts(&names); err != nil {
		return err
	}
	for _, name := range names {
		r.newer = r.newer || !knownInHeader(name)
	}
	return r.others.Read(s, []byte("must"), knownInHeader)
}
