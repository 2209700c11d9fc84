package replica

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"keyward/store/jsonline"
)

// Kind is the kind of the records of a file, as the journal names it.
type Kind string

// The kinds.
const (
	Keys        Kind = "key"
	Users       Kind = "user"
	Projects    Kind = "project"
	Clients     Kind = "client"
	Revocations Kind = "revocation"
)

var (
	// ErrGap is a journal that was cut behind the line that is asked for.
	ErrGap = errors.New("the journal does not go back to the last line of the copies")
	// ErrSchema is a source whose schema this version cannot read.
	ErrSchema = errors.New("the schema of the source is missing, or is not one that this version reads")
)

// BusyError is a source that has no snapshot to give before Wait is over.
type BusyError struct{ Wait time.Duration }

// Error implements error.
func (e *BusyError) Error() string { return fmt.Sprintf("no snapshot is free for %v", e.Wait) }

// MaxLine bounds a line of a copy, in bytes. A source may return an empty one in place of
// one that is longer.
const MaxLine = jsonline.MaxLine

// Line is a line of the journal: a record as it is since the change Seq.
type Line struct {
	Seq  int64
	Kind Kind
	Text []byte // in the format of the files, without its newline
}

// digest identifies the line by all that it says.
func (l *Line) digest() string {
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%d %s ", l.Seq, l.Kind)
	_, _ = sum.Write(l.Text)
	return hex.EncodeToString(sum.Sum(nil))
}

// Head is what a source says of itself and of the end of its journal.
type Head struct {
	// Identity is that of the database. A dump that is restored has it too.
	Identity string
	// Epoch is a random name that changes when an operator accepts a restore, and never
	// otherwise.
	Epoch string
	// Last is the number of the journal's last line; zero if it never had one.
	Last int64
	// Beyond is the highest number of a line that is behind the number of the last
	// change, and so is not part of the journal; zero if there is none.
	Beyond int64
}

// Page is a stretch of the journal up to Last, and the head, from one consistent view.
type Page struct {
	Head
	At    *Line  // the line at which the page begins; nil if there is none
	Lines []Line // those that follow, by their numbers
}

// Source is a central journal. Numbers of lines grow in the order of the commits, with
// gaps. The last line is never cut from the journal. What is in the records and not in
// lines of the journal counts as cut. A source of other records than the Hasher of the
// copies hashes returns an error from every call.
type Source interface {
	// Read returns the line with the number at, and at most limit lines behind it. The
	// error is ErrGap if it was cut, or lines behind it, and ErrSchema as it says. A
	// source that may lack the latest changes, as a standby does, returns another error:
	// what it says is not counted as contact.
	Read(ctx context.Context, at int64, limit int) (Page, error)
	// Snapshot begins one consistent view of all records. The error may be a
	// [BusyError].
	Snapshot(ctx context.Context) (Snapshot, error)
	// Wake receives when there may be more to read. It is only a hint: it may be lost,
	// and it may be false.
	Wake() <-chan struct{}
	// Report records how far this replica is.
	Report(ctx context.Context, status Status) error
}

// Snapshot is one consistent view of all records. One goroutine uses it.
type Snapshot interface {
	// Head returns the head, and the last line of the journal, nil if it never had one.
	Head() (Head, *Line)
	// Each calls visit with the id and the line of each record of the kind, without its
	// newline, deleted ones too. Both are valid until visit returns. A revocation has no
	// id; of other records none is there twice.
	Each(ctx context.Context, kind Kind, visit func(id, line []byte) error) error
	Close() error
}
