package keystore

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store/journal"
)

// Get is what the file says about a key. A deleted one is ErrNotFound.
func (j *Journal) Get(id string) (Record, error) {
	r, err := j.latest(id, j.store.Read)
	if err == nil && !r.Deleted.IsZero() {
		err = fmt.Errorf("key %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return Record{}, err
	}
	return r, nil
}

// List is what the file says about all keys but the deleted ones, in the
// order in which they were made. No file is no keys.
func (j *Journal) List() ([]Record, error) {
	var all []Record
	at := map[apikey.ID]int{}
	var k keyLine
	err := j.store.Read(func(line []byte, _ int) error {
		if err := k.read(line); err != nil {
			return err
		}
		if i, known := at[k.id]; known {
			all[i] = k.record()
			return nil
		}
		at[k.id] = len(all)
		all = append(all, k.record())
		return nil
	})
	if err != nil {
		return nil, err
	}
	kept := all[:0]
	for _, r := range all {
		if r.Deleted.IsZero() {
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// LatestKeys says when the latest key of each of the users was made. A line
// that cannot be read is stepped over, as servers do.
func (j *Journal) LatestKeys(users []string) (map[string]time.Time, error) {
	made := make(map[string]time.Time, len(users))
	for _, name := range users {
		made[name] = time.Time{}
	}
	var k keyLine
	err := j.store.Read(func(line []byte, _ int) error {
		if k.read(line) != nil {
			return nil
		}
		if last, wanted := made[string(k.user)]; wanted && k.created.After(last) {
			made[string(k.user)] = k.created
		}
		return nil
	})
	return made, err
}

// FindBySecret is the record of the key whose secret this is. A secret that
// is nobody's is ErrNotFound. One that was rotated away and whose grace is over
// is ErrRevoked, with the record; whether the key itself was revoked or has
// expired the record says.
func (j *Journal) FindBySecret(secret authz.Secret) (Record, error) {
	digest := j.hasher.Digest(secret.Reveal())
	text := []byte(`"` + hex.EncodeToString(digest[:]) + `"`)
	var k keyLine
	var ids []apikey.ID
	err := j.store.Read(func(line []byte, _ int) error {
		if !bytes.Contains(line, text) {
			return nil
		}
		if err := k.read(line); err != nil {
			return err
		}
		ids = append(ids, k.id)
		return nil
	})
	if err != nil {
		return Record{}, err
	}
	for i := len(ids) - 1; i >= 0; i-- {
		r, err := j.Get(ids[i].String())
		if err != nil {
			return Record{}, err
		}
		if r.Hash == digest {
			return r, nil
		}
		for _, p := range r.Previous {
			if p.Hash != digest {
				continue
			}
			if !p.Until.After(j.now()) {
				return r, fmt.Errorf("key %s: this secret was rotated away: %w", r.ID, ErrRevoked)
			}
			return r, nil
		}
	}
	return Record{}, fmt.Errorf("key: %w", ErrNotFound)
}

// Compact rewrites the file with one line a key, without the deleted keys and
// without secrets whose grace is over. It returns how many lines are gone. A
// file with a line that cannot be read is left as it is.
func (j *Journal) Compact() (gone int, err error) {
	err = j.store.Write(ErrNotFound, func(t *journal.LineTransaction) error {
		last := map[apikey.ID]int{} // the number of the latest line
		var k keyLine
		before, after := 0, 0
		err := t.Read(func(line []byte, number int) error {
			before++
			if err := k.read(line); err != nil {
				return err
			}
			last[k.id] = number
			return nil
		})
		if err != nil {
			return err
		}
		if t.File() == nil {
			return nil
		}
		err = t.Rewrite(func(w io.Writer) error {
			return t.Read(func(line []byte, number int) error {
				if err := k.read(line); err != nil {
					return err
				}
				if last[k.id] != number || !k.deleted.IsZero() {
					return nil
				}
				after++
				return j.writeCompacted(w, &k, line)
			})
		})
		gone = before - after
		return err
	})
	if err != nil {
		return 0, err
	}
	return gone, nil
}

// writeCompacted writes the line as it is where there is nothing to leave out.
func (j *Journal) writeCompacted(w io.Writer, k *keyLine, line []byte) error {
	if len(k.previous) == 0 && k.left == 0 {
		_, err := w.Write(append(line[:len(line):len(line)], '\n'))
		return err
	}
	r := k.record()
	r.Previous = living(r.Previous, j.now())
	text, err := r.line()
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}
