package signingkeys

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"keyward/store/journal/filesystem"
)

// The files in a directory of keys. Each key has a file of its own, so that the loss of
// one ends one key.
const (
	recordsName = "keys.json" // which keys there are, and what they are for
	lockName    = "keys.lock" // held while files are changed
	keyPrefix   = "key-"      // then the id
	keySuffix   = ".pem"      // PKCS #8 (RFC 7468 section 10)
	pemType     = "PRIVATE KEY"

	maxFileSize = 1 << 20
	recordsForm = 1 // of recordsName; files of a later form are left alone

	lockTimeout = 10 * time.Second
	// maxReads bounds how often the directory is read again since it was changed
	// meanwhile.
	maxReads = 10
)

var (
	errNoPEM   = errors.New("it is not a private key in PEM")
	errTooLong = errors.New("it is too long")
	errNewer   = errors.New("a later version of Keyward wrote it")
)

// Directory is a Storage in the files of a directory, which several processes of one
// machine may share. Reading takes no lock, and needs no permission to write.
type Directory struct {
	files filesystem.FS
	path  string
}

// OpenDirectory returns the storage in the directory, which is made with mode 0700 if it
// does not exist. One that other users may access is ErrNotPrivate.
func OpenDirectory(path string) (*Directory, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of signing keys: %w", err)
	}
	files := filesystem.OS()
	resolved, err := files.Resolve(path)
	if err != nil {
		return nil, fmt.Errorf("opening the directory of signing keys: %w", err)
	}
	// A directory that was just made is to be there after a power cut.
	if err := files.SyncDir(filepath.Dir(resolved)); err != nil {
		return nil, fmt.Errorf("opening the directory of signing keys: %w", err)
	}
	info, err := files.Stat(resolved)
	if err != nil {
		return nil, fmt.Errorf("opening the directory of signing keys: %w", err)
	}
	if err := checkPrivate(resolved, info); err != nil {
		return nil, err
	}
	return newDirectory(files, resolved), nil
}

func newDirectory(files filesystem.FS, path string) *Directory { return &Directory{files, path} }

// checkPrivate returns ErrNotPrivate if other users may access the file.
func checkPrivate(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s has mode %#o: %w: run chmod go= %s", path, mode, ErrNotPrivate, path)
	}
	return nil
}

// records is the content of recordsName.
type records struct {
	Form    int      `json:"form"`
	Version int64    `json:"version"`
	Keys    []Record `json:"keys"`
}

// Load implements Storage. A file that other users may access is ErrNotPrivate.
func (d *Directory) Load(context.Context) (Set, error) {
	for range maxReads {
		set, content, err := d.read()
		if err != nil {
			return Set{}, err
		}
		// Files of keys that were removed meanwhile are not lost.
		again, err := d.readFile(recordsName)
		if errors.Is(err, fs.ErrNotExist) {
			again, err = nil, nil
		}
		if err != nil {
			return Set{}, err
		}
		if string(again) == string(content) {
			return set, nil
		}
	}
	return Set{}, fmt.Errorf("%s: %w", d.path, ErrConflict)
}

// read returns the set, and the content of its records; nil if there is none.
func (d *Directory) read() (Set, []byte, error) {
	content, err := d.readFile(recordsName)
	if errors.Is(err, fs.ErrNotExist) {
		set, err := d.adopt(nil)
		return set, nil, err
	}
	if err != nil {
		return Set{}, nil, err
	}
	r, err := parseRecords(content)
	switch {
	case errors.Is(err, errNewer):
		return Set{}, nil, fmt.Errorf("%s: %w", d.name(recordsName), err)
	case err != nil:
		set, err := d.adopt(fmt.Errorf("%s: %w: %w", d.name(recordsName), ErrDamaged, err))
		return set, content, err
	}
	set := Set{Version: r.Version}
	for _, record := range r.Keys {
		key, err := d.readKey(record)
		if err != nil {
			return Set{}, nil, err
		}
		set.Keys = append(set.Keys, key)
	}
	return set, content, nil
}

func parseRecords(content []byte) (records, error) {
	var r records
	err := json.Unmarshal(content, &r)
	switch {
	case err != nil:
		return r, errors.New("it is not JSON of the records of keys")
	case r.Form > recordsForm:
		return r, errNewer
	case r.Form < recordsForm, r.Version < 1:
		return r, errors.New("it is not the records of keys")
	}
	return r, nil
}

// adopt returns a set of the keys whose records are lost, if there are any.
func (d *Directory) adopt(damaged error) (Set, error) {
	set := Set{Damaged: damaged}
	ids, err := d.keyFiles()
	if err != nil {
		return Set{}, err
	}
	for _, id := range ids {
		key, err := d.readKey(Record{ID: id, State: Retiring, TokenTTL: MaxTokenTTL})
		if err != nil {
			return Set{}, err
		}
		if key.Private != nil {
			set.Keys = append(set.Keys, key)
		}
	}
	if len(set.Keys) > 0 && damaged == nil {
		set.Damaged = fmt.Errorf("%s is missing: %w", d.name(recordsName), ErrDamaged)
	}
	return set, nil
}

// keyFiles returns the ids of the keys that have files.
func (d *Directory) keyFiles() ([]string, error) {
	names, err := d.files.Names(d.path)
	if err != nil {
		return nil, fmt.Errorf("reading the directory of signing keys: %w", err)
	}
	var ids []string
	for _, name := range names {
		if id, ok := strings.CutSuffix(name, keySuffix); ok && strings.HasPrefix(id, keyPrefix) {
			ids = append(ids, strings.TrimPrefix(id, keyPrefix))
		}
	}
	return ids, nil
}

// readKey reads the file of a key. One that is missing or is not that key is lost; an
// error is one that may be over soon, or that the operator can end.
func (d *Directory) readKey(record Record) (Key, error) {
	key := Key{Record: record}
	content, err := d.readFile(keyPrefix + record.ID + keySuffix)
	switch {
	case errors.Is(err, ErrNotPrivate), isTransient(err):
		return Key{}, err
	case err != nil:
		key.Lost = err
		return key, nil
	}
	block, _ := pem.Decode(content)
	if block == nil || block.Type != pemType {
		key.Lost = fmt.Errorf("%s: %w", d.name(keyPrefix+record.ID+keySuffix), errNoPEM)
		return key, nil
	}
	private, algorithm, err := ParsePrivate(block.Bytes, record.ID)
	if err != nil {
		key.Lost = fmt.Errorf("%s: %w", d.name(keyPrefix+record.ID+keySuffix), err)
		return key, nil
	}
	key.Private, key.Algorithm = private, algorithm
	return key, nil
}

// isTransient reports whether the system lacked something that has nothing to do with the
// file.
func isTransient(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EINTR)
}

func (d *Directory) name(name string) string { return filepath.Join(d.path, name) }

// readFile reads a file, unless other users may access it.
func (d *Directory) readFile(name string) (content []byte, err error) {
	f, err := d.files.Open(d.name(name))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkPrivate(d.name(name), info); err != nil {
		return nil, err
	}
	if info.Size() > maxFileSize {
		return nil, fmt.Errorf("%s: %w", d.name(name), errTooLong)
	}
	return io.ReadAll(io.NewSectionReader(f, 0, info.Size()))
}

// Store implements Storage. The keys are written first, and the records that name them
// after that.
func (d *Directory) Store(ctx context.Context, expected int64, set Set) (err error) {
	lock, err := d.files.Lock(ctx, d.name(lockName), nil, lockTimeout)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // which cannot undo what was stored
	if err := d.checkOwner(); err != nil {
		return err
	}
	stored, _, err := d.read()
	if err != nil {
		return err
	}
	if stored.Version != expected {
		return ErrConflict
	}
	content := records{recordsForm, set.Version, []Record{}}
	for i := range set.Keys {
		key := &set.Keys[i]
		content.Keys = append(content.Keys, key.Record)
		if is := stored.byID(key.ID); key.Private == nil || is != nil && is.Private != nil {
			continue
		}
		if err := d.writeKey(key); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return err
	}
	if err := filesystem.Replace(d.files, d.name(recordsName), append(text, '\n')); err != nil {
		return fmt.Errorf("writing %s: %w", d.name(recordsName), err)
	}
	d.removeOthers(&set)
	return nil
}

// checkOwner returns ErrOtherOwner if the directory is another user's, as it is for root: that
// user could not read what would be written.
func (d *Directory) checkOwner() error {
	info, err := d.files.Stat(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // writing says so
	}
	if err != nil {
		return err
	}
	if is, ok := info.Sys().(*syscall.Stat_t); ok && int(is.Uid) != os.Geteuid() {
		return fmt.Errorf("%s: %w: run this as user %d", d.path, ErrOtherOwner, is.Uid)
	}
	return nil
}

func (d *Directory) writeKey(key *Key) error {
	der, err := MarshalPrivate(key.Private)
	if err != nil {
		return err
	}
	name := d.name(keyPrefix + key.ID + keySuffix)
	if err := filesystem.Replace(d.files, name, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// removeOthers removes the files of keys that are not in the set, and what a process that
// was killed left. What cannot be removed now is removed with a later change.
func (d *Directory) removeOthers(set *Set) {
	names, err := d.files.Names(d.path)
	if err != nil {
		return
	}
	for _, name := range names {
		id, isKey := strings.CutPrefix(strings.TrimSuffix(name, ".tmp"), keyPrefix)
		if !isKey {
			continue
		}
		if set.byID(strings.TrimSuffix(id, keySuffix)) == nil || strings.HasSuffix(name, ".tmp") {
			_ = d.files.Remove(d.name(name))
		}
	}
	_ = d.files.SyncDir(d.path)
}
