package filestore

import (
	"context"
	"fmt"

	"keyward/apikey"
	"keyward/store"
	"keyward/store/audit"
	"keyward/store/journal"
)

// Import implements store.KeyWriter.
func (f *KeyFile) Import(ctx context.Context, keys []store.ImportedKey) ([]store.KeyRecord, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	if err := checkParams(keys); err != nil {
		return nil, err
	}
	var records []store.KeyRecord
	err := f.lines.Write(ctx, nil, func(t *journal.LineTransaction) error {
		if err := f.refuseKnown(t, keys); err != nil {
			return err
		}
		now := f.now().UTC()
		records = make([]store.KeyRecord, 0, len(keys))
		return t.AppendBatch(len(keys), func(i int) ([]byte, error) {
			key := &keys[i]
			r, err := f.maker.Imported(key, now)
			if err != nil {
				return nil, err
			}
			records = append(records, r)
			line, err := r.Line()
			if err != nil {
				return nil, fmt.Errorf("input line %d: %w: %w", key.Line, store.ErrInvalid, err)
			}
			return line, nil
		})
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

// checkParams returns why no key can be made of some of the parameters, which
// many keys share.
func checkParams(keys []store.ImportedKey) error {
	for i := range keys {
		p := keys[i].Params
		if i > 0 && p == keys[i-1].Params {
			continue
		}
		if err := p.Check(); err != nil {
			return fmt.Errorf("input line %d: %w", keys[i].Line, err)
		}
	}
	return nil
}

// inputLines returns on which line of the input each digest is; none may be on two.
func inputLines(all []store.ImportedKey) (map[apikey.Digest]int, error) {
	number := make(map[apikey.Digest]int, len(all))
	for _, key := range all {
		if first, twice := number[key.Hash]; twice {
			return nil, fmt.Errorf("input line %d: the key of line %d again: %w", key.Line, first, store.ErrDuplicate)
		}
		number[key.Hash] = key.Line
	}
	return number, nil
}

// refuseKnown returns ErrDuplicate if a digest is twice in the input, or is in
// the file.
func (f *KeyFile) refuseKnown(t *journal.LineTransaction, all []store.ImportedKey) error {
	number, err := inputLines(all)
	if err != nil {
		return err
	}
	first, owner, err := firstHeld(t.Read, number)
	if err == nil && owner != (apikey.ID{}) {
		err = fmt.Errorf("input line %d: key %s: %w", first, owner, store.ErrDuplicate)
	}
	return err
}

// refuseKnownImports returns a DuplicateKeyError if a key of another system is twice
// among those that are put, or is in the file. Secrets that Keyward made are random,
// and need no such comparison, which reads the file.
func refuseKnownImports(t *fileTx[store.KeyRecord]) error {
	number := map[apikey.Digest]int{}
	for i, e := range t.entries {
		if e.Action != audit.KeyImport {
			continue
		}
		r := t.puts[i]
		if first, twice := number[r.Hash]; twice {
			return &store.DuplicateKeyError{Put: i, Owner: t.puts[first].ID}
		}
		number[r.Hash] = i
	}
	if len(number) == 0 {
		return nil
	}
	first, owner, err := firstHeld(t.lines.Read, number)
	if err == nil && owner != (apikey.ID{}) {
		err = &store.DuplicateKeyError{Put: first, Owner: owner.String()}
	}
	return err
}

// firstHeld returns the lowest number of a digest that a key in the file has, and
// which key that is; the zero ID if there is none. The last line about a key says
// which digests it has.
func firstHeld(each eachLine, number map[apikey.Digest]int) (first int, owner apikey.ID, err error) {
	has := map[apikey.ID][]apikey.Digest{}
	var d store.KeyDecoder
	err = each(func(line []byte, _ int) error {
		r, err := d.Decode(line)
		if err != nil {
			return err
		}
		held := has[d.ID()]
		if !r.Unsupported { // which may lack the key's secrets
			held = held[:0]
		}
		if _, hit := number[r.Hash]; hit {
			held = append(held, r.Hash)
		}
		for _, p := range r.Previous {
			if _, hit := number[p.Hash]; hit {
				held = append(held, p.Hash)
			}
		}
		if len(held) > 0 {
			has[d.ID()] = held
		} else {
			delete(has, d.ID())
		}
		return nil
	})
	for id, held := range has {
		if n := number[held[0]]; owner == (apikey.ID{}) || n < first {
			first, owner = n, id
		}
	}
	return first, owner, err
}
