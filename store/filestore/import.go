package filestore

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/store"
	"keyward/store/journal"
)

// ImportFormat is what an import's input is. The zero Import is one key per line.
type ImportFormat struct {
	Hashed  bool // in place of keys there is sha256:HEX or hmac-sha256:HEX; the hash must be this file's, made under its pepper
	InBasic bool // keys may be in Basic credentials too: see authz.CheckKey
	// Columns are those of a table in CSV that has a header row; nil: one key per line.
	Columns []Column
	// Expires reads a time of a table; nil: RFC 3339.
	Expires func(text string) (time.Time, error)
}

// importEntry is one key of an import's input.
type importEntry struct {
	number       int // of the input line
	digest       apikey.Digest
	format       apikey.Format
	prefix, hint string
	params       *store.KeyParams
}

// Import takes over keys of another system, one per line, all with the same
// parameters, in one durable step: afterwards all of them are there, or none. A
// key that is twice in the input, or in the file already, is ErrDuplicate; one
// that no request can carry is ErrInvalid.
func (j *KeyFile) Import(in io.Reader, p store.KeyParams) ([]store.KeyRecord, error) {
	return j.ImportAs(in, p, ImportFormat{})
}

// ImportHashed is Import for lines of sha256:HEX or hmac-sha256:HEX.
func (j *KeyFile) ImportHashed(in io.Reader, p store.KeyParams) ([]store.KeyRecord, error) {
	return j.ImportAs(in, p, ImportFormat{Hashed: true})
}

// ImportAs is Import for any kind of input. What a row of a table has replaces
// the parameters.
func (j *KeyFile) ImportAs(in io.Reader, p store.KeyParams, what ImportFormat) ([]store.KeyRecord, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	read := j.readKey(what.InBasic)
	if what.Hashed {
		read = j.readHashed
	}
	var all []importEntry
	var err error
	if what.Columns != nil {
		all, err = what.readTable(in, &p, read)
	} else {
		all, err = readLines(in, &p, read)
	}
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return j.importAll(all)
}

// keyReader reads a key or its hash, for whose record the parameters are.
type keyReader func(text []byte, p *store.KeyParams) (importEntry, error)

func (j *KeyFile) readKey(inBasic bool) keyReader {
	return func(text []byte, p *store.KeyParams) (importEntry, error) {
		key := string(text)
		if err := authz.CheckKey(key, inBasic); err != nil {
			return importEntry{}, fmt.Errorf("%w: no request can carry this key: %w", store.ErrInvalid, err)
		}
		one := importEntry{digest: j.hasher.Digest(key), format: apikey.DetectFormat(key, p.Prefix), params: p}
		if one.format != apikey.FormatHex && strings.HasPrefix(key, p.Prefix) {
			one.prefix = p.Prefix
		}
		one.hint = apikey.Hint(key, one.prefix)
		return one, nil
	}
}

func (j *KeyFile) readHashed(text []byte, p *store.KeyParams) (importEntry, error) {
	name, digits, found := bytes.Cut(text, []byte(":"))
	if !found || string(name) != apikey.HashSHA256 && string(name) != apikey.HashHMACSHA256 {
		return importEntry{}, fmt.Errorf("%w: a hashed key is sha256:HEX or hmac-sha256:HEX", store.ErrInvalid)
	}
	if string(name) != j.hasher.Name() {
		return importEntry{}, fmt.Errorf("%w: this file's keys are hashed with %s", store.ErrInvalid, j.hasher.Name())
	}
	one := importEntry{format: apikey.FormatRaw, prefix: p.Prefix, hint: p.Prefix, params: p}
	if !apikey.ParseDigest(&one.digest, bytes.ToLower(digits)) {
		return importEntry{}, fmt.Errorf("%w: %w", store.ErrInvalid, apikey.ErrDigest)
	}
	return one, nil
}

func (j *KeyFile) importAll(all []importEntry) ([]store.KeyRecord, error) {
	var records []store.KeyRecord
	err := j.lines.Write(nil, func(t *journal.LineTransaction) error {
		if err := j.refuseKnown(t, all); err != nil {
			return err
		}
		now := j.now().UTC()
		records = make([]store.KeyRecord, 0, len(all))
		return t.AppendBatch(len(all), func(i int) ([]byte, error) {
			one := all[i]
			r, err := j.record(one.params, now)
			if err != nil {
				return nil, err
			}
			r.Prefix, r.Hint, r.Format, r.Hash = one.prefix, one.hint, one.format, one.digest
			records = append(records, r)
			line, err := r.Line()
			if err != nil {
				return nil, fmt.Errorf("input line %d: %w: %w", one.number, store.ErrInvalid, err)
			}
			return line, nil
		})
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

// readLines reads the input. Empty lines are skipped, but counted in line numbers.
func readLines(in io.Reader, p *store.KeyParams, read keyReader) ([]importEntry, error) {
	var all []importEntry
	var refused refusals
	scan := bufio.NewScanner(withoutMark(in))
	scan.Buffer(nil, 1<<20)
	number := 1
	for ; scan.Scan(); number++ {
		if len(scan.Bytes()) == 0 {
			continue
		}
		one, err := read(scan.Bytes(), p)
		one.number = number
		all = append(all, one)
		refused.add(number, err)
	}
	switch err := scan.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		refused.add(number, fmt.Errorf("%w: longer than 1 MiB", store.ErrInvalid))
	case err != nil:
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	return refused.orElse(all)
}

// maxReported bounds how many problems are reported; all are counted.
const maxReported = 10

// refusals collects what is wrong with an input, so that all of it can be
// corrected at once.
type refusals struct {
	errs []error
	more int // beyond maxReported
}

// add notes the error of a line, if it is not nil.
func (r *refusals) add(line int, err error) {
	switch {
	case err == nil:
	case len(r.errs) < maxReported:
		r.errs = append(r.errs, fmt.Errorf("input line %d: %w", line, err))
	default:
		r.more++
	}
}

// orElse returns all if there was no error.
func (r *refusals) orElse(all []importEntry) ([]importEntry, error) {
	if err := r.err(); err != nil {
		return nil, err
	}
	return all, nil
}

func (r *refusals) err() error {
	if r.more > 0 {
		return errors.Join(append(r.errs, fmt.Errorf("and %d more lines", r.more))...)
	}
	return errors.Join(r.errs...)
}

// withoutMark reads in without the byte order mark that some programs put in
// front of UTF-8, which would otherwise be part of the first line.
func withoutMark(in io.Reader) io.Reader {
	buffered := bufio.NewReader(in)
	if first, _ := buffered.Peek(len(byteOrderMark)); string(first) == byteOrderMark {
		_, _ = buffered.Discard(len(byteOrderMark))
	}
	return buffered
}

const byteOrderMark = "\ufeff"

// inputLines returns on which line of the input each digest is; none may be on two.
func inputLines(all []importEntry) (map[apikey.Digest]int, error) {
	number := make(map[apikey.Digest]int, len(all))
	for _, one := range all {
		if first, twice := number[one.digest]; twice {
			return nil, fmt.Errorf("input line %d: the key of line %d again: %w", one.number, first, store.ErrDuplicate)
		}
		number[one.digest] = one.number
	}
	return number, nil
}

// refuseKnown returns ErrDuplicate if a digest is twice in the input, or is in
// the file, where the last line about a key says which digests it has.
func (j *KeyFile) refuseKnown(t *journal.LineTransaction, all []importEntry) error {
	number, err := inputLines(all)
	if err != nil {
		return err
	}
	has := map[apikey.ID][]apikey.Digest{}
	var d store.KeyDecoder
	err = t.Read(func(line []byte, _ int) error {
		r, err := d.Decode(line)
		if err != nil {
			return err
		}
		held := has[d.ID()][:0]
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
	if err != nil {
		return err
	}
	first, owner := 0, apikey.ID{}
	for id, held := range has {
		if n := number[held[0]]; first == 0 || n < first {
			first, owner = n, id
		}
	}
	if first > 0 {
		return fmt.Errorf("input line %d: key %s: %w", first, owner, store.ErrDuplicate)
	}
	return nil
}
