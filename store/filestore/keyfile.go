package filestore

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store"
	"keyward/store/journal"
)

// KeyFileConfig is which key file a KeyFile writes, and with what.
type KeyFileConfig struct {
	Path      string
	Hasher    *apikey.Hasher
	StartOver bool             // begin a new file in place of a damaged one
	FS        journal.FS       // nil: the operating system's
	Rand      io.Reader        // nil: crypto/rand.Reader
	Now       func() time.Time // nil: time.Now
}

// KeyFile writes a key file. Every method is one durable step: if it returns
// nil, what it did survives a power cut; if it returns an error, the file says
// what it said before. Any number of processes may write one file.
//
// Every method may return ErrPepper or journal.ErrWrongFile for a file that must not be
// written with this Hasher or by this program, journal.ErrDamaged for one that has lost
// its content, and journal.ErrReplaced if other programs keep replacing the file.
type KeyFile struct {
	lines journal.Lines
	maker store.KeyMaker
	now   func() time.Time
}

// NewKeyFile touches nothing; the file is made by the first Create or Import.
func NewKeyFile(cfg KeyFileConfig) *KeyFile {
	f := &KeyFile{maker: store.KeyMaker{Hasher: cfg.Hasher, Rand: cfg.Rand}, now: cfg.Now}
	f.lines = journal.Lines{Writer: journal.Writer{Path: cfg.Path, FS: cfg.FS, StartOver: cfg.StartOver}, Header: keysHeader(cfg.Hasher).of()}
	if f.maker.Rand == nil {
		f.maker.Rand = rand.Reader
	}
	if f.now == nil {
		f.now = time.Now
	}
	return f
}

// Create implements store.KeyWriter.
func (f *KeyFile) Create(ctx context.Context, p store.KeyParams) (store.KeyRecord, authz.Secret, error) {
	if err := p.Check(); err != nil {
		return store.KeyRecord{}, authz.Secret{}, err
	}
	var r store.KeyRecord
	var secret authz.Secret
	err := f.lines.Write(ctx, nil, func(t *journal.LineTransaction) error {
		var err error
		// Each attempt has another one: no two lines may have the same secret.
		if r, secret, err = f.maker.New(&p, f.now().UTC()); err != nil {
			return err
		}
		return appendKeys(t, []store.KeyRecord{r})
	})
	if err != nil {
		return store.KeyRecord{}, authz.Secret{}, err
	}
	return r, secret, nil
}

// Revoke implements store.KeyWriter.
func (f *KeyFile) Revoke(ctx context.Context, id string, ifMatch store.Version) (store.KeyRecord, error) {
	return f.change(ctx, id, ifMatch, func(r *store.KeyRecord, now time.Time) (bool, error) { return r.Revoke(now), nil })
}

// Delete implements store.KeyWriter. The next Compact erases the key.
func (f *KeyFile) Delete(ctx context.Context, id string, ifMatch store.Version) (store.KeyRecord, error) {
	return f.change(ctx, id, ifMatch, func(r *store.KeyRecord, now time.Time) (bool, error) { return r.Delete(now), nil })
}

// Rotate implements store.KeyWriter.
func (f *KeyFile) Rotate(ctx context.Context, id string, ifMatch store.Version, grace time.Duration) (store.KeyRecord, authz.Secret, error) {
	var secret authz.Secret
	r, err := f.change(ctx, id, ifMatch, func(r *store.KeyRecord, now time.Time) (changed bool, err error) {
		secret, err = f.maker.Rotate(r, now, grace)
		return true, err
	})
	if err != nil {
		return store.KeyRecord{}, authz.Secret{}, err
	}
	return r, secret, nil
}

// change appends what edit makes of the key's record, if that has the version,
// and edit reports a change.
func (f *KeyFile) change(ctx context.Context, id string, ifMatch store.Version, edit func(r *store.KeyRecord, now time.Time) (bool, error)) (store.KeyRecord, error) {
	var r store.KeyRecord
	err := f.lines.Write(ctx, store.ErrNotFound, func(t *journal.LineTransaction) error {
		var err error
		if r, err = f.latest(id, t.Read); err != nil {
			return err
		}
		if err := ifMatch.Match(&r); err != nil {
			return fmt.Errorf("key %s: %w", r.ID, err)
		}
		changed, err := edit(&r, f.now().UTC())
		if err != nil {
			return fmt.Errorf("key %s: %w", r.ID, err)
		}
		if !changed {
			return nil
		}
		return appendKeys(t, []store.KeyRecord{r})
	})
	if err != nil {
		return store.KeyRecord{}, err
	}
	return r, nil
}

// eachLine reads a file's lines: LineTransaction.Read under the lock, or what
// unlocked returns.
type eachLine func(visit func(line []byte, number int) error) error

// unlocked is Lines.Read with a context.
func unlocked(ctx context.Context, lines *journal.Lines) eachLine {
	return func(visit func(line []byte, number int) error) error { return lines.Read(ctx, visit) }
}

// latest is what the last valid line about the key says.
func (f *KeyFile) latest(id string, each eachLine) (store.KeyRecord, error) {
	wanted, ok := apikey.ParseID([]byte(id))
	if !ok {
		return store.KeyRecord{}, fmt.Errorf("%w: a key's id is k_ and 12 characters", store.ErrNotFound)
	}
	var d store.KeyDecoder
	var last store.KeyRecord
	found, quoted := false, []byte(`"`+id+`"`)
	err := each(func(line []byte, _ int) error {
		// An id has one spelling, so most lines need no more than this.
		if !bytes.Contains(line, quoted) {
			return nil
		}
		// A line that cannot be read is skipped, as servers do: it must not keep
		// anyone from revoking a key.
		if r, err := d.Decode(line); err == nil && d.ID() == wanted && r.AccessValid() {
			last, found = r.Clone(), true
		}
		return nil
	})
	if err != nil {
		return store.KeyRecord{}, err
	}
	if !found {
		return store.KeyRecord{}, fmt.Errorf("key %s: %w", id, store.ErrNotFound)
	}
	return last, nil
}

func appendKeys(t *journal.LineTransaction, records []store.KeyRecord) error {
	return appendLines(t, len(records), func(i int) ([]byte, error) { return records[i].Line() })
}

// appendLines appends the lines of n records. What cannot be a line is ErrInvalid.
func appendLines(t *journal.LineTransaction, n int, line func(i int) ([]byte, error)) error {
	return t.AppendBatch(n, func(i int) ([]byte, error) {
		text, err := line(i)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", store.ErrInvalid, err)
		}
		return text, nil
	})
}
