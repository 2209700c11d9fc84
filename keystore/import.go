package keystore

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
)

// maxKey bounds an imported key.
const maxKey = 4096

// imported is one line of an import's input.
type imported struct {
	number       int // of the input line
	digest       Digest
	format       Format
	prefix, hint string
}

// Import takes over keys that others made, one a line, all with the same
// parameters, in one durable step: either all are there afterwards or none. A
// key twice in the input, or in the file already, is ErrDuplicate.
func (j *Journal) Import(in io.Reader, p Params) ([]Record, error) {
	return j.importEach(in, p, func(line []byte) (imported, error) {
		if len(line) > maxKey {
			return imported{}, fmt.Errorf("%w: a key of more than %d bytes", ErrInvalid, maxKey)
		}
		for _, c := range line {
			if c <= 0x20 || c >= 0x7f {
				return imported{}, fmt.Errorf("%w: a key is visible ASCII", ErrInvalid)
			}
		}
		key := string(line)
		one := imported{digest: j.hasher.Digest(key), format: formatOf(key, p.Prefix)}
		if one.format != FormatHex && strings.HasPrefix(key, p.Prefix) {
			one.prefix = p.Prefix
		}
		one.hint = Hint(key, one.prefix)
		return one, nil
	})
}

// ImportHashed is Import for lines of sha256:HEX or hmac-sha256:HEX; the hash
// must be this file's, made under its pepper.
func (j *Journal) ImportHashed(in io.Reader, p Params) ([]Record, error) {
	return j.importEach(in, p, func(line []byte) (imported, error) {
		name, digits, found := bytes.Cut(line, []byte(":"))
		if !found || string(name) != hashPlain && string(name) != hashPeppered {
			return imported{}, fmt.Errorf("%w: a hashed key is sha256:HEX or hmac-sha256:HEX", ErrInvalid)
		}
		if string(name) != j.hasher.Name() {
			return imported{}, fmt.Errorf("%w: this file's keys are hashed with %s", ErrInvalid, j.hasher.Name())
		}
		one := imported{format: FormatRaw, prefix: p.Prefix, hint: p.Prefix}
		if !parseDigest(&one.digest, bytes.ToLower(digits)) {
			return imported{}, fmt.Errorf("%w: %w", ErrInvalid, errHash)
		}
		return one, nil
	})
}

func (j *Journal) importEach(in io.Reader, p Params, read func(line []byte) (imported, error)) ([]Record, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	all, err := readImport(in, read)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	var records []Record
	err = j.store.write(true, func(t *turn) error {
		if err := j.refuseKnown(t, all); err != nil {
			return err
		}
		now := j.now().UTC()
		records = make([]Record, 0, len(all))
		return t.appendLines(len(all), func(i int) ([]byte, error) {
			one := all[i]
			r, err := j.record(&p, now)
			if err != nil {
				return nil, err
			}
			r.Prefix, r.Hint, r.Format, r.Hash = one.prefix, one.hint, one.format, one.digest
			records = append(records, r)
			line, err := r.line()
			if err != nil {
				return nil, fmt.Errorf("input line %d: %w: %w", one.number, ErrInvalid, err)
			}
			return line, nil
		})
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

// readImport reads the input; empty lines count but are no keys.
func readImport(in io.Reader, read func(line []byte) (imported, error)) ([]imported, error) {
	var all []imported
	scan := bufio.NewScanner(withoutMark(in))
	scan.Buffer(nil, 1<<20)
	for number := 1; scan.Scan(); number++ {
		if len(scan.Bytes()) == 0 {
			continue
		}
		one, err := read(scan.Bytes())
		if err != nil {
			return nil, fmt.Errorf("input line %d: %w", number, err)
		}
		one.number = number
		all = append(all, one)
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	return all, nil
}

// withoutMark reads in without the byte order mark that some programs put in
// front of UTF-8, which would else be part of the first line.
func withoutMark(in io.Reader) io.Reader {
	buffered := bufio.NewReader(in)
	if first, _ := buffered.Peek(len(byteOrderMark)); string(first) == byteOrderMark {
		_, _ = buffered.Discard(len(byteOrderMark))
	}
	return buffered
}

const byteOrderMark = "\ufeff"

// inputLines says on which line of the input each digest stands; none may stand on two.
func inputLines(all []imported) (map[Digest]int, error) {
	number := make(map[Digest]int, len(all))
	for _, one := range all {
		if first, twice := number[one.digest]; twice {
			return nil, fmt.Errorf("input line %d: the key of line %d again: %w", one.number, first, ErrDuplicate)
		}
		number[one.digest] = one.number
	}
	return number, nil
}

// refuseKnown looks for the digests in one another and in the file, where the
// last line about a key says which digests it has.
func (j *Journal) refuseKnown(t *turn, all []imported) error {
	number, err := inputLines(all)
	if err != nil {
		return err
	}
	has := map[keyID][]Digest{}
	var k keyLine
	err = t.each(func(line []byte, _ int) error {
		if err := k.read(line); err != nil {
			return err
		}
		held := has[k.id][:0]
		if _, hit := number[k.hash]; hit {
			held = append(held, k.hash)
		}
		for _, p := range k.previous {
			if _, hit := number[p.Hash]; hit {
				held = append(held, p.Hash)
			}
		}
		if len(held) > 0 {
			has[k.id] = held
		} else {
			delete(has, k.id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	first, owner := 0, keyID{}
	for id, held := range has {
		if n := number[held[0]]; first == 0 || n < first {
			first, owner = n, id
		}
	}
	if first > 0 {
		return fmt.Errorf("input line %d: key %s%s: %w", first, idPrefix, owner[:], ErrDuplicate)
	}
	return nil
}
