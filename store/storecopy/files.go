package storecopy

import (
	"context"
	"errors"
	"fmt"

	"keyward/apikey"
	"keyward/store/filestore"
	"keyward/store/filestore/fileheader"
	"keyward/store/journal"
	"keyward/store/journal/filesystem"
)

// Files are the paths of the files of a configuration; "" is one that it does not name.
type Files struct {
	Keys, Users, Projects, Clients, Revocations, Audit string
	// Usage is the usage file. It is not locked: uses that are recorded during a copy may
	// be missing in it.
	Usage string

	Hasher *apikey.Hasher // of keys and OAuth clients
	FS     filesystem.FS  // nil: the operating system's
	// Changes is where changes are kept of what is not in the files, by its kind; see
	// [filestore.AuditFile.Watch].
	Changes map[string]filestore.ChangeStore
}

// Copied is how much was copied.
type Copied struct {
	Keys        int `json:"keys"`
	Users       int `json:"users"`
	Projects    int `json:"projects"`
	Clients     int `json:"clients"`
	Revocations int `json:"revocations"`
	Audit       int `json:"audit"` // entries of the audit log
	Usage       int `json:"usage"` // keys of which the use is recorded
}

var (
	// ErrCopy is a file that is a local copy of a database. As a source it would lack what
	// no check reads.
	ErrCopy = errors.New("a local copy of a database, from and to which nothing is copied: name the database by store.url")
	// errInterrupted is a copy during which a file was replaced.
	errInterrupted = errors.New("another program replaced the file while the store was copied")
)

// kindFile is the file of the records of a kind, or the audit log.
type kindFile struct {
	kind   string // as in the database; "" is the audit log
	plural string // as in the configuration
	header fileheader.Header
	copied func(*Copied) *int
	lines  journal.Lines
	t      *journal.LineTransaction // while the file is locked
}

// records are the files with records, in the order in which they are put in their places:
// what restricts others comes before what it restricts.
func (f *Files) records() []*kindFile {
	return []*kindFile{
		f.file("revocation", "revocations", f.Revocations, fileheader.Revocations(), func(c *Copied) *int { return &c.Revocations }),
		f.file("project", "projects", f.Projects, fileheader.Projects(), func(c *Copied) *int { return &c.Projects }),
		f.file("client", "clients", f.Clients, fileheader.Clients(f.Hasher), func(c *Copied) *int { return &c.Clients }),
		f.file("user", "users", f.Users, fileheader.Users(), func(c *Copied) *int { return &c.Users }),
		f.file("key", "keys", f.Keys, fileheader.Keys(f.Hasher), func(c *Copied) *int { return &c.Keys }),
	}
}

func (f *Files) file(kind, plural, path string, header fileheader.Header, copied func(*Copied) *int) *kindFile {
	lines := journal.Lines{Writer: journal.Writer{Path: path, FS: f.files()}, Header: header.Journal()}
	return &kindFile{kind: kind, plural: plural, header: header, copied: copied, lines: lines}
}

func (f *Files) files() filesystem.FS {
	if f.FS == nil {
		return filesystem.OS()
	}
	return f.FS
}

// named returns the files that the configuration names.
func named(files []*kindFile) []*kindFile {
	var all []*kindFile
	for _, file := range files {
		if file.lines.Path != "" {
			all = append(all, file)
		}
	}
	return all
}

// lockAll calls do while no other program writes the files.
func lockAll(ctx context.Context, files []*kindFile, do func() error) error {
	if len(files) == 0 {
		return do()
	}
	file, begun := files[0], false
	err := file.lines.Write(ctx, nil, func(t *journal.LineTransaction) error {
		if begun {
			return fmt.Errorf("%s: %w", file.lines.Path, errInterrupted)
		}
		begun, file.t = true, t
		return lockAll(ctx, files[1:], do)
	})
	if errors.Is(err, fileheader.ErrCopy) {
		err = fmt.Errorf("%s is %w", file.lines.Path, ErrCopy)
	}
	return err
}

// each calls visit for each line of the file, which is locked.
func (f *kindFile) each(visit func(line []byte) error) error {
	return f.t.Read(func(line []byte, _ int) error { return visit(journal.Unbatched(line)) })
}
