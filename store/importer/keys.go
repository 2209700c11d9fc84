package importer

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
)

// KeyFormat is the form in which the keys of another system are given. The zero
// KeyFormat is one key per line.
type KeyFormat struct {
	Hashed  bool // in place of keys there are hashes, as readHashed reads them, of the store's kind and under its pepper
	InBasic bool // keys may be in Basic credentials too: see authz.CheckKey
	// Columns are those of a table in CSV that has a header row; nil: one key per line.
	Columns []Column
	// Expires reads a time of a table; nil: RFC 3339.
	Expires func(text string) (time.Time, error)
}

// Read reads keys. The parameters are those of all of them, but for what a row of
// a table has. A key that no request can carry is store.ErrInvalid; all problems
// are reported at once, by line, and none repeats the input.
func (f KeyFormat) Read(in io.Reader, p store.KeyParams, hasher *apikey.Hasher) ([]store.ImportedKey, error) {
	return f.read(in, &p, f.reader(hasher))
}

func (f KeyFormat) read(in io.Reader, p *store.KeyParams, read keyReader) ([]store.ImportedKey, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if f.Columns != nil {
		return f.readTable(in, p, read)
	}
	return readLines(in, p, read)
}

// GivenKey is a key of another system as the input gives it.
type GivenKey struct {
	Line   int          // of the input
	Text   authz.Secret // the key, or its hash
	Params *store.KeyParams
}

// ReadGiven reads keys as Read does, for a server that hashes and judges them.
func (f KeyFormat) ReadGiven(in io.Reader, p store.KeyParams) ([]GivenKey, error) {
	var texts []authz.Secret
	all, err := f.read(in, &p, func(text []byte, p *store.KeyParams) (store.ImportedKey, error) {
		texts = append(texts, authz.NewSecret(string(text)))
		return store.ImportedKey{Params: p}, nil
	})
	given := make([]GivenKey, len(all))
	for i := range all {
		given[i] = GivenKey{all[i].Line, texts[i], all[i].Params}
	}
	return given, err
}

// ReadKey reads one key, which gets the parameters. The format has no columns.
func (f KeyFormat) ReadKey(text string, p *store.KeyParams, hasher *apikey.Hasher) (store.ImportedKey, error) {
	return f.reader(hasher)([]byte(text), p)
}

func (f KeyFormat) reader(hasher *apikey.Hasher) keyReader {
	if f.Hashed {
		return readHashed(hasher)
	}
	return readKey(hasher, f.InBasic)
}

// keyReader reads a key or its hash, which gets the parameters.
type keyReader func(text []byte, p *store.KeyParams) (store.ImportedKey, error)

func readKey(hasher *apikey.Hasher, inBasic bool) keyReader {
	return func(text []byte, p *store.KeyParams) (store.ImportedKey, error) {
		secret := string(text)
		if err := authz.CheckKey(secret, inBasic); err != nil {
			return store.ImportedKey{}, fmt.Errorf("%w: no request can carry this key: %w", store.ErrInvalid, err)
		}
		key := store.ImportedKey{Hash: hasher.Digest(secret), Format: apikey.DetectFormat(secret, p.Prefix), Params: p}
		if key.Format != apikey.FormatHex && strings.HasPrefix(secret, p.Prefix) {
			key.Prefix = p.Prefix
		}
		key.Hint = apikey.Hint(secret, key.Prefix)
		return key, nil
	}
}

// readLines reads the input. Empty lines are skipped, but counted in line numbers.
func readLines(in io.Reader, p *store.KeyParams, read keyReader) ([]store.ImportedKey, error) {
	var all []store.ImportedKey
	var refused refusals
	scan := bufio.NewScanner(withoutMark(in))
	scan.Buffer(nil, 1<<20)
	number := 1
	for ; scan.Scan(); number++ {
		if len(scan.Bytes()) == 0 {
			continue
		}
		key, err := read(scan.Bytes(), p)
		key.Line = number
		all = append(all, key)
		if err != nil && bytes.ContainsAny(scan.Bytes(), " \t,;") {
			err = fmt.Errorf("%w; use --csv for a table, such as of keys and their users", err)
		}
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
