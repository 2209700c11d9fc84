package credential

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"keyward/apikey"
	"keyward/authz"
	"keyward/internal/recordfile"
	"keyward/store"
	"keyward/store/filestore"
	"keyward/store/importer"
)

// KeyFile is a key file for a measurement, with its keys in plaintext.
type KeyFile struct {
	Path    string
	Journal *recordfile.KeyFile
	Secrets []string          // all keys
	Records []store.KeyRecord // of the first maxChanged keys
}

// maxChanged is how many keys can be changed during a measurement.
const maxChanged = 50_000

// NewKeyFile writes a file of n keys, each with a user, two scopes and a path, in
// one step.
func NewKeyFile(dir string, n int) (*KeyFile, error) {
	f := &KeyFile{Path: filepath.Join(dir, fmt.Sprintf("keys-%d.jsonl", n))}
	hasher := apikey.NewHasher(authz.Secret{})
	f.Journal = recordfile.NewKeyFile(filestore.KeyFileConfig{Path: f.Path, Hasher: hasher})
	var lines bytes.Buffer
	for range n {
		secret, err := apikey.Generate(rand.Reader, KeyPrefix, apikey.FormatKeyward)
		if err != nil {
			return nil, err
		}
		f.Secrets = append(f.Secrets, secret.Reveal())
		lines.WriteString(secret.Reveal() + "\n")
	}
	keys, err := importer.KeyFormat{}.Read(&lines, store.KeyParams{
		Name: "measured key", User: "load-test", Prefix: KeyPrefix,
		Scopes: &[]string{"items:read", "items:write"}, Paths: []string{"/api/v1"},
	}, hasher)
	if err != nil {
		return nil, err
	}
	records, err := f.Journal.Import(context.Background(), keys)
	f.Secrets, f.Records = packed(f.Secrets), slices.Clone(records[:min(len(records), maxChanged)])
	return f, err
}

// AppendRevocation does what `key revoke` does after it has found the record.
// Finding it means reading the file, and would use processor time on the
// server's core.
func AppendRevocation(path string, record store.KeyRecord) error {
	now := time.Now().UTC()
	record.At, record.Revoked = now, now
	line, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return AppendLocked(path, append(line, '\n'))
}

// AppendLocked writes lines as the commands do: in one write, under the lock,
// and synced.
func AppendLocked(path string, lines []byte) error {
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(lines)
	return errors.Join(err, file.Sync(), file.Close())
}

// CopyFile copies a file and syncs the copy.
func CopyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
