package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyward/admin"
	"keyward/apikey"
	"keyward/authz"
	"keyward/config"
	"keyward/keyindex"
	"keyward/reuse"
	"keyward/store"
	"keyward/store/filestore"
	"keyward/store/journal"
	"keyward/verifier"
)

// stores are the keys, users and revocations in force, each following its file.
type stores struct {
	keys        *keyFile
	users       *followed[*keyindex.Users]       // nil without a users file
	revocations *followed[*keyindex.Revocations] // nil without a revocations file
	clients     *followed[*keyindex.Clients]     // nil without tokens of Keyward's own
}

// followed is what was read from a file, and the follower that keeps it current.
type followed[T any] struct {
	records  T
	follower store.Follower // nil without a file
}

// Close ends the following of the file.
func (f *followed[T]) Close() error {
	if f.follower == nil {
		return nil
	}
	return f.follower.Close()
}

// await returns nil once all that was written to the file before the call is in force;
// f may be nil.
func (f *followed[T]) await(ctx context.Context) error {
	if f == nil || f.follower == nil {
		return nil
	}
	return f.follower.Await(ctx)
}

// reload has the file read again; f may be nil.
func (f *followed[T]) reload() {
	if f != nil && f.follower != nil {
		f.follower.Reload()
	}
}

// keyFile are the keys, and the hasher by which they are looked up.
type keyFile struct {
	followed[*keyindex.Keys]
	hasher *apikey.Hasher
}

// keyFileConfig is what a keyFile is opened by.
type keyFileConfig struct {
	path, pepper      string
	missingOK, copied bool
}

// recordFileConfig is what a file of users or revocations is opened by.
type recordFileConfig struct {
	path   string
	copied bool // of the central store
}

// clientFileConfig is what a file of OAuth clients is opened by.
type clientFileConfig struct {
	recordFileConfig
	keys *keyFile // whose hasher is that of their secrets
}

// openStores reads the files that old does not have in force already: what was
// read from a file that is gone since must outlive a change of another's name. A
// file that cannot be read is not an error: the stores are then not ready, and
// become so when the file does.
func (s *Snapshot) openStores(old *reuse.Generation) error {
	copied := s.cfg.Store.URL != nil
	// Without a configuration file the default key file need not exist.
	keys := keyFileConfig{s.cfg.Keys.File, s.cfg.Keys.PepperFile, s.cfg.File == "", copied}
	var errs [4]error
	s.stores.keys, errs[0] = reuse.Or(&s.generation, old, "keys", keys, func() (*keyFile, error) { return s.env.openKeys(keys) })
	if path := s.cfg.Users.File; path != "" {
		file := recordFileConfig{path, copied}
		s.stores.users, errs[1] = reuse.Or(&s.generation, old, "users", file, func() (*followed[*keyindex.Users], error) {
			return s.env.openUsers(file)
		})
	}
	if path := s.cfg.Revocations.File; path != "" {
		file := recordFileConfig{path, copied}
		s.stores.revocations, errs[2] = reuse.Or(&s.generation, old, "revocations", file, func() (*followed[*keyindex.Revocations], error) {
			return s.env.openRevocations(file)
		})
	}
	if path := s.cfg.Clients.File; path != "" && s.cfg.OwnTokens() {
		file := clientFileConfig{recordFileConfig{path, copied}, s.stores.keys}
		s.stores.clients, errs[3] = reuse.Or(&s.generation, old, "clients", file, func() (*followed[*keyindex.Clients], error) {
			return s.env.openClients(file)
		})
	}
	return errors.Join(errs[:]...)
}

// follow has records kept up to date by a feed.
func follow[T store.Sink[R], R any](records T, feed store.Feed[R]) (*followed[T], error) {
	follower, err := feed.Follow(records)
	return &followed[T]{records, follower}, err
}

func (e *environment) openKeys(cfg keyFileConfig) (*keyFile, error) {
	var pepper authz.Secret
	if cfg.pepper != "" {
		var err error
		if pepper, err = apikey.ReadPepper(cfg.pepper); err != nil {
			return nil, fmt.Errorf("keys.pepper_file: %w", err)
		}
	}
	k := &keyFile{hasher: apikey.NewHasher(pepper)}
	if cfg.path == "" {
		k.records = keyindex.NoKeys()
		return k, nil
	}
	k.records = keyindex.NewKeys()
	var err error
	k.follower, err = filestore.KeyFeed{Hasher: k.hasher, FollowConfig: journal.FollowConfig{
		Path: cfg.path, MissingOK: cfg.missingOK, Copied: cfg.copied, Observer: e.metrics.keys, Log: e.logger,
	}}.Follow(k.records)
	return k, err
}

func (e *environment) openUsers(cfg recordFileConfig) (*followed[*keyindex.Users], error) {
	users := keyindex.NewUsers()
	users.LogTo(e.logger)
	return follow(users, filestore.UserFeed{FollowConfig: journal.FollowConfig{Path: cfg.path, Observer: e.metrics.users, Log: e.logger, Copied: cfg.copied}})
}

func (e *environment) openRevocations(cfg recordFileConfig) (*followed[*keyindex.Revocations], error) {
	return follow(keyindex.NewRevocations(), filestore.RevocationFeed{FollowConfig: journal.FollowConfig{
		Path: cfg.path, Observer: e.metrics.revocations, Log: e.logger, Copied: cfg.copied,
		// The first revocation makes the file, but not one that is a copy.
		MissingOK: !cfg.copied,
		// The revocation that makes the file is in force as soon as any other.
		Settle: 10 * time.Millisecond,
	}})
}

func (e *environment) openClients(cfg clientFileConfig) (*followed[*keyindex.Clients], error) {
	return follow(keyindex.NewClients(), filestore.ClientFeed{Hasher: cfg.keys.hasher, FollowConfig: journal.FollowConfig{
		Path: cfg.path, Observer: e.metrics.clients, Log: e.logger, Copied: cfg.copied, MissingOK: !cfg.copied, // the first client makes the file
	}})
}

// keysReady returns why no request can be checked at all.
func (s *stores) keysReady() error { return s.keys.records.Ready() }

// ready returns why some requests cannot be checked.
func (s *stores) ready() error {
	if err := s.keysReady(); err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	if s.users != nil {
		if err := s.users.records.Ready(); err != nil {
			return fmt.Errorf("users file: %w", err)
		}
	}
	if s.revocations != nil {
		if err := s.revocations.records.Ready(); err != nil {
			return fmt.Errorf("revocations file: %w", err)
		}
	}
	if s.clients != nil {
		if err := s.clients.records.Ready(); err != nil {
			return fmt.Errorf("clients file: %w", err)
		}
	}
	return nil
}

// userRecords are the users, nil where a user is only a name.
func (s *stores) userRecords() *keyindex.Users {
	if s.users == nil {
		return nil
	}
	return s.users.records
}

// revocationRecords are the revoked tokens, nil where none can be revoked.
func (s *stores) revocationRecords() *keyindex.Revocations {
	if s.revocations == nil {
		return nil
	}
	return s.revocations.records
}

// clientRecords are the OAuth clients, nil without tokens of Keyward's own.
func (s *stores) clientRecords() *keyindex.Clients {
	if s.clients == nil {
		return nil
	}
	return s.clients.records
}

// userStore is where users are looked up, nil where a user is only a name.
func (s *stores) userStore() verifier.UserStore {
	if s.users == nil {
		return nil // and not an interface around a nil pointer
	}
	return s.users.records
}

// revoked is where revoked tokens are looked up, nil where none can be revoked.
func (s *stores) revoked() verifier.Revocations {
	if s.revocations == nil {
		return nil
	}
	return s.revocations.records
}

// reload has the files read again, as SIGHUP asks.
func (s *stores) reload() {
	s.keys.reload()
	s.users.reload()
	s.revocations.reload()
	s.clients.reload()
}

func (s *stores) counts(now time.Time) admin.KeyCounts {
	const soon = 14 * 24 * time.Hour
	return admin.KeyCounts(s.keys.records.Counts(now, soon))
}

// clearUnused resets the metrics of files that the configuration does not name: a
// file that is not followed cannot be stale.
func (m *metrics) clearUnused(cfg *config.Config) {
	for _, file := range []struct {
		name     string
		observer journal.Observer
	}{{cfg.Keys.File, m.keys}, {cfg.Users.File, m.users}, {cfg.Revocations.File, m.revocations}, {cfg.Clients.File, m.clients}} {
		if file.name == "" && file.observer != nil {
			file.observer.Succeeded(time.Time{})
		}
	}
}
