package filestore

import (
	"keyward/apikey"
	"keyward/store"
	"keyward/store/audit"
)

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
