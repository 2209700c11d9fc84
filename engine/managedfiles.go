package engine

import (
	"context"
	"sync"
	"time"

	"keyward/apikey"
	"keyward/reuse"
	"keyward/store/filestore"
)

// managedFiles are the files of keys and users as managing reads and changes them: with
// a catalog in memory, so that one record or one page does not read a file. Checks do
// not use them.
type managedFiles struct {
	keys  *filestore.KeyFile
	users *filestore.UserFile

	ctx  context.Context // of reading in the background
	stop context.CancelFunc
	done sync.WaitGroup
}

// managedFilesConfig is what managedFiles are opened by.
type managedFilesConfig struct {
	checked     *keyFile // the keys as checks know them
	keys, users string
}

// openManagedFiles opens the files and begins to read them. A call before they are
// read waits for that.
func (s *Snapshot) openManagedFiles(old *reuse.Generation) (*managedFiles, error) {
	cfg := managedFilesConfig{checked: s.stores.keys, keys: s.cfg.Keys.File, users: s.cfg.Users.File}
	return reuse.Or(&s.generation, old, "managed files", cfg, func() (*managedFiles, error) {
		f := &managedFiles{
			keys: filestore.NewKeyFile(filestore.KeyFileConfig{
				Path: cfg.keys, Hasher: cfg.checked.hasher, Catalog: &filestore.CatalogConfig{IDOf: cfg.checked.idOf},
			}),
			users: filestore.NewUserFile(filestore.UserFileConfig{Path: cfg.users, Keep: true}),
		}
		f.ctx, f.stop = context.WithCancel(context.Background())
		f.done.Go(f.load)
		return f, nil
	})
}

// load reads the files, so that the first request need not. An error is one of the
// request that meets it.
func (f *managedFiles) load() {
	_ = f.keys.LoadCatalog(f.ctx)
	_, _ = f.users.Ended(f.ctx)
}

// reload has the files read again, as SIGHUP asks; f may be nil.
func (f *managedFiles) reload() {
	if f != nil {
		f.release()
		f.done.Go(f.load)
	}
}

func (f *managedFiles) release() {
	f.keys.Release()
	f.users.Release()
}

// Close ends the reading and frees the memory.
func (f *managedFiles) Close() error {
	f.stop()
	f.done.Wait()
	f.release()
	return nil
}

// idOf returns the key that has, or had, the secret with that digest.
func (k *keyFile) idOf(digest apikey.Digest) (id string, known bool) {
	key, err := k.records.Find(digest, time.Now())
	return key.ID, err == nil
}
