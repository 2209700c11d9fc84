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
	lines  journal.Lines
	hasher *apikey.Hasher
	rand   io.Reader
	now    func() time.Time
}

// NewKeyFile touches nothing; the file is made by the first Create or Import.
func NewKeyFile(cfg KeyFileConfig) *KeyFile {
	f := &KeyFile{hasher: cfg.Hasher, rand: cfg.Rand, now: cfg.Now}
	f.lines = journal.Lines{Writer: journal.Writer{Path: cfg.Path, FS: cfg.FS, StartOver: cfg.StartOver}, Header: keysHeader(cfg.Hasher).of()}
	if f.rand == nil {
		f.rand = rand.Reader
	}
	if f.now == nil {
		f.now = time.Now
	}
	return f
}

// newRecord is a new key's record, without what follows from its secret.
func (f *KeyFile) newRecord(p *store.KeyParams, now time.Time) (store.KeyRecord, error) {
	id, err := apikey.NewID(f.rand)
	if err != nil {
		return store.KeyRecord{}, err
	}
	r := store.KeyRecord{
		ID: id.String(), Name: p.Name, User: p.User, Project: p.Project, Paths: p.Paths, Scopes: p.Scopes,
		Rate: p.Rate, Format: p.Format, Created: now, Expires: p.Expires, At: now,
	}
	if !r.Expires.IsZero() {
		r.Expires = r.Expires.UTC()
	}
	return r.Clone(), nil
}

// setSecret makes secret the record's.
func (f *KeyFile) setSecret(r *store.KeyRecord, secret authz.Secret, prefix string) {
	if r.Format == apikey.FormatHex {
		prefix = ""
	}
	r.Prefix, r.Hint, r.Hash = prefix, apikey.Hint(secret.Reveal(), prefix), f.hasher.Digest(secret.Reveal())
}

// Create implements store.KeyWriter.
func (f *KeyFile) Create(ctx context.Context, p store.KeyParams) (store.KeyRecord, authz.Secret, error) {
	if p.Format == "" {
		p.Format = apikey.FormatKeyward
	}
	if err := p.Check(); err != nil {
		return store.KeyRecord{}, authz.Secret{}, err
	}
	var r store.KeyRecord
	var secret authz.Secret
	err := f.lines.Write(ctx, nil, func(t *journal.LineTransaction) error {
		var err error
		// Each attempt has another one: no two lines may have the same secret.
		if secret, err = apikey.Generate(f.rand, p.Prefix, p.Format); err != nil {
			return err
		}
		if r, err = f.newRecord(&p, f.now().UTC()); err != nil {
			return err
		}
		f.setSecret(&r, secret, p.Prefix)
		return appendRecord(t, &r)
	})
	if err != nil {
		return store.KeyRecord{}, authz.Secret{}, err
	}
	return r, secret, nil
}

// Revoke implements store.KeyWriter.
func (f *KeyFile) Revoke(ctx context.Context, id string, ifMatch store.Version) (store.KeyRecord, error) {
	return f.change(ctx, id, ifMatch, func(r *store.KeyRecord, now time.Time) (bool, error) {
		if r.Ended() {
			return false, nil
		}
		r.Revoked = now
		return true, nil
	})
}

// Delete implements store.KeyWriter. The next Compact erases the key.
func (f *KeyFile) Delete(ctx context.Context, id string, ifMatch store.Version) (store.KeyRecord, error) {
	return f.change(ctx, id, ifMatch, func(r *store.KeyRecord, now time.Time) (bool, error) {
		if !r.Deleted.IsZero() {
			return false, nil
		}
		r.Deleted = now
		return true, nil
	})
}

// Rotate implements store.KeyWriter.
func (f *KeyFile) Rotate(ctx context.Context, id string, ifMatch store.Version, grace time.Duration) (store.KeyRecord, authz.Secret, error) {
	if grace < 0 {
		return store.KeyRecord{}, authz.Secret{}, fmt.Errorf("%w: a grace before now", store.ErrInvalid)
	}
	var secret authz.Secret
	r, err := f.change(ctx, id, ifMatch, func(r *store.KeyRecord, now time.Time) (changed bool, err error) {
		switch {
		case r.Ended():
			return false, store.ErrRevoked
		case r.Unsupported:
			return false, store.ErrUnsupported
		}
		secret, err = f.rotate(r, now, grace)
		return true, err
	})
	if err != nil {
		return store.KeyRecord{}, authz.Secret{}, err
	}
	return r, secret, nil
}

// rotate gives the record a new secret.
func (f *KeyFile) rotate(r *store.KeyRecord, now time.Time, grace time.Duration) (authz.Secret, error) {
	format := r.Format
	if format == apikey.FormatRaw {
		format = apikey.FormatKeyward
	}
	secret, err := apikey.Generate(f.rand, r.Prefix, format)
	if err != nil {
		return authz.Secret{}, err
	}
	r.Previous = append(unexpired(r.Previous, now), store.PreviousSecret{Hash: r.Hash, Until: now.Add(grace)})
	if grace == 0 {
		end(r.Previous)
		r.Format = format // with a grace the key has secrets of both formats
	}
	f.setSecret(r, secret, r.Prefix)
	return secret, nil
}

// unexpired are the previous secrets whose grace is not over.
func unexpired(all []store.PreviousSecret, now time.Time) []store.PreviousSecret {
	var kept []store.PreviousSecret
	for _, p := range all {
		if p.Until.After(now) {
			kept = append(kept, p)
		}
	}
	return kept
}

// end ends all of the previous secrets, independent of any clock.
func end(all []store.PreviousSecret) {
	for i := range all {
		all[i].Until = time.Time{}
	}
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
		now := f.now().UTC()
		changed, err := edit(&r, now)
		if err != nil {
			return fmt.Errorf("key %s: %w", r.ID, err)
		}
		if !changed {
			return nil
		}
		r.At = now
		return appendRecord(t, &r)
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

func appendRecord(t *journal.LineTransaction, r *store.KeyRecord) error {
	line, err := r.Line()
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	return t.AppendBatch(1, func(int) ([]byte, error) { return line, nil })
}
