package filestore

import (
	"bytes"
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
	j := &KeyFile{hasher: cfg.Hasher, rand: cfg.Rand, now: cfg.Now}
	j.lines = journal.Lines{Writer: journal.Writer{Path: cfg.Path, FS: cfg.FS, StartOver: cfg.StartOver}, Header: keysHeader(cfg.Hasher).of()}
	if j.rand == nil {
		j.rand = rand.Reader
	}
	if j.now == nil {
		j.now = time.Now
	}
	return j
}

// record is a new key's record, without what follows from its secret.
func (j *KeyFile) record(p *store.KeyParams, now time.Time) (store.KeyRecord, error) {
	id, err := apikey.NewID(j.rand)
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
func (j *KeyFile) setSecret(r *store.KeyRecord, secret authz.Secret, prefix string) {
	if r.Format == apikey.FormatHex {
		prefix = ""
	}
	r.Prefix, r.Hint, r.Hash = prefix, apikey.Hint(secret.Reveal(), prefix), j.hasher.Digest(secret.Reveal())
}

// Create makes a key. The secret is only in what is returned.
func (j *KeyFile) Create(p store.KeyParams) (store.KeyRecord, authz.Secret, error) {
	if p.Format == "" {
		p.Format = apikey.FormatKeyward
	}
	if err := p.Check(); err != nil {
		return store.KeyRecord{}, authz.Secret{}, err
	}
	var r store.KeyRecord
	var secret authz.Secret
	err := j.lines.Write(nil, func(t *journal.LineTransaction) error {
		var err error
		// Each attempt has another one: no two lines may have the same secret.
		if secret, err = apikey.Generate(j.rand, p.Prefix, p.Format); err != nil {
			return err
		}
		if r, err = j.record(&p, j.now().UTC()); err != nil {
			return err
		}
		j.setSecret(&r, secret, p.Prefix)
		return appendRecord(t, &r)
	})
	if err != nil {
		return store.KeyRecord{}, authz.Secret{}, err
	}
	return r, secret, nil
}

// Revoke ends a key, its secrets in a grace included. Revoking a key that has
// ended changes nothing and is not an error.
func (j *KeyFile) Revoke(id string) (store.KeyRecord, error) {
	return j.change(id, func(r *store.KeyRecord, now time.Time) (bool, error) {
		if r.Ended() {
			return false, nil
		}
		r.Revoked = now
		return true, nil
	})
}

// Delete ends a key as Revoke does, hides it from List and Get, and lets the
// next Compact erase it.
func (j *KeyFile) Delete(id string) (store.KeyRecord, error) {
	return j.change(id, func(r *store.KeyRecord, now time.Time) (bool, error) {
		if !r.Deleted.IsZero() {
			return false, nil
		}
		r.Deleted = now
		return true, nil
	})
}

// Rotate gives a key a new secret. The old one stays valid for the grace, and
// earlier ones for what is left of theirs; without a grace, all of them end in
// the same step in which the new one begins. A key that was revoked is ErrRevoked.
func (j *KeyFile) Rotate(id string, grace time.Duration) (store.KeyRecord, authz.Secret, error) {
	if grace < 0 {
		return store.KeyRecord{}, authz.Secret{}, fmt.Errorf("%w: a grace before now", store.ErrInvalid)
	}
	var secret authz.Secret
	r, err := j.change(id, func(r *store.KeyRecord, now time.Time) (bool, error) {
		if r.Ended() {
			return false, store.ErrRevoked
		}
		format := r.Format
		if format == apikey.FormatRaw {
			format = apikey.FormatKeyward
		}
		var err error
		if secret, err = apikey.Generate(j.rand, r.Prefix, format); err != nil {
			return false, err
		}
		r.Previous = append(unexpired(r.Previous, now), store.PreviousSecret{Hash: r.Hash, Until: now.Add(grace)})
		if grace == 0 {
			end(r.Previous)
			r.Format = format // with a grace the key has secrets of both formats
		}
		j.setSecret(r, secret, r.Prefix)
		return true, nil
	})
	if err != nil {
		return store.KeyRecord{}, authz.Secret{}, err
	}
	return r, secret, nil
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

// change appends what edit makes of the key's record, if edit reports a change.
func (j *KeyFile) change(id string, edit func(r *store.KeyRecord, now time.Time) (bool, error)) (store.KeyRecord, error) {
	var r store.KeyRecord
	err := j.lines.Write(store.ErrNotFound, func(t *journal.LineTransaction) error {
		var err error
		if r, err = j.latest(id, t.Read); err != nil {
			return err
		}
		now := j.now().UTC()
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

// eachLine is Lines.Read, or LineTransaction.Read under the lock.
type eachLine func(visit func(line []byte, number int) error) error

// latest is what the last valid line about the key says.
func (j *KeyFile) latest(id string, each eachLine) (store.KeyRecord, error) {
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
