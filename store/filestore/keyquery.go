package filestore

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store"
)

// Get returns what the file says about a key. A deleted one is ErrNotFound.
func (j *KeyFile) Get(id string) (store.KeyRecord, error) {
	r, err := j.latest(id, j.lines.Read)
	if err == nil && !r.Deleted.IsZero() {
		err = fmt.Errorf("key %s: %w", id, store.ErrNotFound)
	}
	if err != nil {
		return store.KeyRecord{}, err
	}
	return r, nil
}

// List returns what the file says about all keys but the deleted ones, in the
// order in which they were made. A missing file has no keys.
func (j *KeyFile) List() ([]store.KeyRecord, error) {
	var all []store.KeyRecord
	at := map[apikey.ID]int{}
	var d store.KeyDecoder
	err := j.lines.Read(func(line []byte, _ int) error {
		r, err := d.Decode(line)
		if err != nil {
			return err
		}
		if i, known := at[d.ID()]; known {
			all[i] = r.Clone()
			return nil
		}
		at[d.ID()] = len(all)
		all = append(all, r.Clone())
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

// LatestKeys returns when the latest key of each of the users was made. A line
// that cannot be read is skipped, as servers do.
func (j *KeyFile) LatestKeys(users []string) (map[string]time.Time, error) {
	made := make(map[string]time.Time, len(users))
	for _, name := range users {
		made[name] = time.Time{}
	}
	var d store.KeyDecoder
	err := j.lines.Read(func(line []byte, _ int) error {
		r, err := d.Decode(line)
		if err != nil {
			return nil
		}
		if last, wanted := made[r.User]; wanted && r.Created.After(last) {
			made[strings.Clone(r.User)] = r.Created
		}
		return nil
	})
	return made, err
}

// FindBySecret returns the record of the key whose secret this is. A secret of
// no key is ErrNotFound. One that was rotated away and whose grace is over is
// ErrRevoked, with the record. Whether the key itself was revoked or has expired
// the record says.
func (j *KeyFile) FindBySecret(secret authz.Secret) (store.KeyRecord, error) {
	digest := j.hasher.Digest(secret.Reveal())
	text := []byte(`"` + hex.EncodeToString(digest[:]) + `"`)
	var d store.KeyDecoder
	var ids []apikey.ID
	err := j.lines.Read(func(line []byte, _ int) error {
		if !bytes.Contains(line, text) {
			return nil
		}
		if _, err := d.Decode(line); err != nil {
			return err
		}
		ids = append(ids, d.ID())
		return nil
	})
	if err != nil {
		return store.KeyRecord{}, err
	}
	for i := len(ids) - 1; i >= 0; i-- {
		r, err := j.Get(ids[i].String())
		if err != nil {
			return store.KeyRecord{}, err
		}
		if r.Hash == digest {
			return r, nil
		}
		for _, p := range r.Previous {
			if p.Hash != digest {
				continue
			}
			if !p.Until.After(j.now()) {
				return r, fmt.Errorf("key %s: this secret was rotated away: %w", r.ID, store.ErrRevoked)
			}
			return r, nil
		}
	}
	return store.KeyRecord{}, fmt.Errorf("key: %w", store.ErrNotFound)
}
