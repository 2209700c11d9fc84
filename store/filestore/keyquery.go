package filestore

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store"
)

// Get implements store.Reader.
func (f *KeyFile) Get(ctx context.Context, id string) (store.KeyRecord, error) {
	return f.get(id, unlocked(ctx, &f.lines))
}

// get is what the last valid line about a key says that was not deleted.
func (f *KeyFile) get(id string, in reading) (store.KeyRecord, error) {
	r, err := f.latest(id, in)
	if err == nil && !r.Deleted.IsZero() {
		err = fmt.Errorf("key %s: %w", id, store.ErrNotFound)
	}
	if err != nil {
		return store.KeyRecord{}, err
	}
	return r, nil
}

// Deleted returns the record of a key that was deleted, until a compaction erases it.
// Any other key is ErrNotFound.
func (f *KeyFile) Deleted(ctx context.Context, id string) (store.KeyRecord, error) {
	r, err := f.latest(id, unlocked(ctx, &f.lines))
	if err == nil && r.Deleted.IsZero() {
		err = fmt.Errorf("key %s: %w", id, store.ErrNotFound)
	}
	if err != nil {
		return store.KeyRecord{}, err
	}
	return r, nil
}

// List implements store.Lister. A missing file has no keys. A line that cannot be
// read is an error.
func (f *KeyFile) List(ctx context.Context, filter store.KeyFilter, page store.Page) ([]store.KeyRecord, store.Cursor, error) {
	if f.catalog != nil {
		return f.catalog.list(ctx, filter, page)
	}
	all, err := allKeys(unlocked(ctx, &f.lines).each)
	if err != nil {
		return nil, "", err
	}
	made := func(r *store.KeyRecord) store.Position { return store.Position{Made: r.Created, ID: r.ID} }
	return store.Paginate(all, made, func(r *store.KeyRecord) bool { return r.Deleted.IsZero() && filter.Match(r) }, page)
}

// each calls visit for each key that was not deleted.
func (f *KeyFile) each(in reading, visit func(*store.KeyRecord) error) error {
	if f.catalog != nil {
		return f.catalog.each(in, visit)
	}
	all, err := allKeys(in.each)
	for i := 0; err == nil && i < len(all); i++ {
		if all[i].Deleted.IsZero() {
			err = visit(&all[i])
		}
	}
	return err
}

// allKeys returns the latest record of each key, of those that were deleted too. A
// line that cannot be read is an error.
func allKeys(each eachLine) ([]store.KeyRecord, error) {
	var all []store.KeyRecord
	at := map[apikey.ID]int{}
	var d store.KeyDecoder
	err := each(func(line []byte, _ int) error {
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
	return all, err
}

// LatestKeys returns when the latest key of each of the users was made. A line
// that cannot be read is skipped, as servers do.
func (f *KeyFile) LatestKeys(ctx context.Context, users []string) (map[string]time.Time, error) {
	if f.catalog != nil {
		return f.catalog.latestKeys(ctx, users)
	}
	made := make(map[string]time.Time, len(users))
	for _, name := range users {
		made[name] = time.Time{}
	}
	var d store.KeyDecoder
	err := f.lines.Read(ctx, func(line []byte, _ int) error {
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

// FindBySecret implements store.KeyReader.
func (f *KeyFile) FindBySecret(ctx context.Context, secret authz.Secret) (store.KeyRecord, error) {
	digest := f.hasher.Digest(secret.Reveal())
	ids, err := f.holders(ctx, digest)
	if err != nil {
		return store.KeyRecord{}, err
	}
	for i := len(ids) - 1; i >= 0; i-- {
		r, err := f.Get(ctx, ids[i].String())
		if err != nil {
			return store.KeyRecord{}, err
		}
		// The secrets of a record that is not supported may be missing. All that the
		// key ever had are denied.
		if r.Hash == digest || r.Unsupported {
			return r, nil
		}
		for _, p := range r.Previous {
			if p.Hash != digest {
				continue
			}
			if !p.Until.After(f.now()) {
				return r, fmt.Errorf("key %s: this secret was rotated away: %w", r.ID, store.ErrRevoked)
			}
			return r, nil
		}
	}
	return store.KeyRecord{}, fmt.Errorf("key: %w", store.ErrNotFound)
}

// holders are the keys that have, or had, the secret with that digest, in the order
// of their lines.
func (f *KeyFile) holders(ctx context.Context, digest apikey.Digest) ([]apikey.ID, error) {
	if f.catalog != nil && f.catalog.idOf != nil {
		return f.catalog.holders(digest), nil
	}
	text := []byte(`"` + hex.EncodeToString(digest[:]) + `"`)
	var d store.KeyDecoder
	var ids []apikey.ID
	err := f.lines.Read(ctx, func(line []byte, _ int) error {
		if !bytes.Contains(line, text) {
			return nil
		}
		if _, err := d.Decode(line); err != nil {
			return err
		}
		ids = append(ids, d.ID())
		return nil
	})
	return ids, err
}
