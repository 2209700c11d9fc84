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

// maxSecret is the most bytes of a file with an HMAC secret.
const maxSecret = 4 << 10

// File keeps the keys of an issuer that a file holds. What was last read well
// stays in force whatever becomes of the file.
type File struct {
	path     string
	limit    int64
	parse    func([]byte) (*jwks.Set, error)
	log      *slog.Logger
	observer Observer

	reading sync.Mutex
	ignored ignoredKeys
	keys    atomic.Pointer[jwks.Set] // nil before any were read
	failure atomic.Pointer[error]    // of the last reading; nil if it did not fail
}

// NewJWKSFile reads a key set (RFC 7517 section 5). A nil logger or observer
// is none. A file that is no good is no error here: File is then not ready,
// and becomes so with a Reload that succeeds.
func NewJWKSFile(path string, log *slog.Logger, observer Observer) *File {
	return newFile(path, maxDocument, jwks.Parse, log, observer)
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
	f := &File{path: path, limit: limit, parse: parse, log: log, observer: observed(observer)}
	f.ignored = ignoredKeys{log: log.With("file", path), observer: f.observer}
	f.Reload()
	return f
}

// Path is the file's, as it was given.
func (f *File) Path() string { return f.path }

// Ready tells why there are no keys, nil when there are some.
func (f *File) Ready() error {
	if f.keys.Load() == nil {
		if failure := f.failure.Load(); failure != nil {
			return fmt.Errorf("no keys were read from %q yet: %w", f.path, *failure)
		}
		return fmt.Errorf("no keys were read from %q yet", f.path)
	}
	return nil
}

// Reload reads the file anew. Log and observer are told what came of it.
func (f *File) Reload() {
	f.reading.Lock()
	defer f.reading.Unlock()
	keys, err := f.read()
	if err == nil {
		f.keys.Store(keys)
		f.failure.Store(nil)
		f.ignored.read(keys)
	} else {
		f.failure.Store(&err)
		f.log.Warn("reading an issuer's keys", "file", f.path, "loaded", f.keys.Load() != nil, "error", err)
	}
	f.observer.Refreshed(err)
}

// read refuses what is no regular file, since reading a pipe might never end.
func (f *File) read() (*jwks.Set, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
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
	return f.parse(text)
}

// Find returns the key that the id and the algorithm name: jwks.ErrNoKey or
// jwks.ErrManyKeys where the file does not have it, another error while
// nothing was read.
func (f *File) Find(_ context.Context, kid string, hasKid bool, algorithm string, _ time.Time) (*jwks.Key, error) {
	keys := f.keys.Load()
	if keys == nil {
		return nil, f.Ready()
	}
	return keys.Find(kid, hasKid, algorithm)
}

// Holds tells whether a key found earlier is still in the file.
func (f *File) Holds(key *jwks.Key) bool {
	keys := f.keys.Load()
	return keys != nil && keys.Has(key)
}
