package tokensource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"keyward/authz"
	"keyward/verifier/jwks"
)

// maxSecret bounds a file with an HMAC secret, in bytes.
const maxSecret = 4 << 10

// File provides the keys of an issuer from a file. The last good version stays
// in force if the file becomes unreadable or invalid.
type File struct {
	path     string
	limit    int64
	parse    func([]byte) (*jwks.Set, error)
	log      *slog.Logger
	observer Observer

	reading sync.Mutex
	ignored ignoredKeys
	keys    atomic.Pointer[jwks.Set] // nil until some were read
	failure atomic.Pointer[error]    // of the last read; nil if it succeeded
}

// NewJWKSFile reads a key set (RFC 7517 section 5), or public keys in PEM. A nil
// logger or observer discards. An invalid file is not an error here: the File is
// not ready until a Reload succeeds.
func NewJWKSFile(path string, log *slog.Logger, observer Observer) *File {
	return newFile(path, maxDocument, jwks.ParseFile, log, observer)
}

// NewSecretFile reads a secret for HMAC, as NewJWKSFile reads a key set.
func NewSecretFile(path string, log *slog.Logger, observer Observer) *File {
	parse := func(text []byte) (*jwks.Set, error) { return jwks.ParseSecret(authz.NewSecret(string(text))) }
	return newFile(path, maxSecret, parse, log, observer)
}

func newFile(path string, limit int64, parse func([]byte) (*jwks.Set, error), log *slog.Logger, observer Observer) *File {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	f := &File{path: path, limit: limit, parse: parse, log: log, observer: orDiscard(observer)}
	f.ignored = ignoredKeys{log: log.With("file", path), observer: f.observer}
	f.Reload()
	return f
}

// Path returns the path that the File was made with.
func (f *File) Path() string { return f.path }

// Ready returns why there are no keys, nil if there are some.
func (f *File) Ready() error {
	if f.keys.Load() == nil {
		if failure := f.failure.Load(); failure != nil {
			return fmt.Errorf("no keys were read from %q yet: %w", f.path, *failure)
		}
		return fmt.Errorf("no keys were read from %q yet", f.path)
	}
	return nil
}

// Reload reads the file again and reports the result to the log and the
// observer.
func (f *File) Reload() {
	f.reading.Lock()
	defer f.reading.Unlock()
	keys, err := f.read()
	if err == nil {
		f.keys.Store(keys)
		f.failure.Store(nil)
		f.ignored.report(keys)
	} else {
		f.failure.Store(&err)
		f.log.Warn("reading an issuer's keys", "file", f.path, "loaded", f.keys.Load() != nil, "error", err)
	}
	f.observer.Refreshed(err)
}

// read refuses a file that is not regular, since reading a pipe might never
// end.
func (f *File) read() (*jwks.Set, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	file, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, f.limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > f.limit {
		return nil, fmt.Errorf("it has more than %d bytes", f.limit)
	}
	return guarded(func() (*jwks.Set, error) { return f.parse(text) })
}

// Find implements verifier.KeySource. The error is neither jwks.ErrNoKey nor
// jwks.ErrManyKeys until a file was read.
func (f *File) Find(_ context.Context, q jwks.Query, _ time.Time) ([]*jwks.Key, error) {
	keys := f.keys.Load()
	if keys == nil {
		return nil, f.Ready()
	}
	return keys.Find(q)
}

// Contains reports whether a key found earlier is still in the file.
func (f *File) Contains(key *jwks.Key) bool {
	keys := f.keys.Load()
	return keys != nil && keys.Contains(key)
}
