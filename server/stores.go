package server

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"keyward/admin"
	"keyward/apikey"
	"keyward/authz"
	"keyward/config"
	"keyward/keyindex"
	"keyward/store"
	"keyward/store/filestore"
	"keyward/store/journal"
	"keyward/verifier"
)

// storeConfig is the part of a configuration that stores are opened by.
// Equal parts of it mean that a reload can keep what they name.
type storeConfig struct {
	keys               keyFileConfig
	users, revocations string
}

type keyFileConfig struct {
	file, pepper string
	mayBeMissing bool
}

func storeConfigOf(cfg *config.Config) storeConfig {
	return storeConfig{
		// Without a configuration file the default key file need not be there.
		keys:  keyFileConfig{cfg.Keys.File, cfg.Keys.PepperFile, cfg.File == ""},
		users: cfg.Users.File, revocations: cfg.Revocations.File,
	}
}

// stores are the keys, users and revocations in force, each following its file.
type stores struct {
	cfg         storeConfig
	hasher      *apikey.Hasher
	keys        *keyindex.Keys
	users       *keyindex.Users       // nil without a users file
	revocations *keyindex.Revocations // nil without a revocations file

	keysFile, usersFile, revocationsFile store.Follower // nil without a file
}

// openStores reads the files that old, which may be nil, does not have in force
// already: what was read from a file that is gone since must outlive a change of
// another's name. A file that is no good is no error here: the stores are
// then not ready, and become so when the file does.
func openStores(cfg storeConfig, old *stores, outside surroundings, logger *slog.Logger) (*stores, error) {
	if old != nil && old.cfg == cfg {
		return old, nil
	}
	s := &stores{cfg: cfg}
	err := errors.Join(s.openKeys(old, outside, logger), s.openUsers(old, outside, logger), s.openRevocations(old, outside, logger))
	if err != nil {
		return nil, errors.Join(err, s.closeBut(old))
	}
	return s, nil
}

func (s *stores) openKeys(old *stores, outside surroundings, logger *slog.Logger) error {
	if old != nil && old.cfg.keys == s.cfg.keys {
		s.hasher, s.keys, s.keysFile = old.hasher, old.keys, old.keysFile
		return nil
	}
	var pepper authz.Secret
	if s.cfg.keys.pepper != "" {
		var err error
		if pepper, err = apikey.ReadPepper(s.cfg.keys.pepper); err != nil {
			return fmt.Errorf("keys.pepper_file: %w", err)
		}
	}
	s.hasher = apikey.NewHasher(pepper)
	if s.cfg.keys.file == "" {
		s.keys = keyindex.NoKeys()
		return nil
	}
	s.keys = keyindex.NewKeys()
	var err error
	s.keysFile, err = filestore.KeyFeed{Hasher: s.hasher, FollowConfig: journal.FollowConfig{
		Path: s.cfg.keys.file, MissingOK: s.cfg.keys.mayBeMissing, Observer: outside.keys, Log: logger,
	}}.Follow(s.keys)
	return err
}

func (s *stores) openUsers(old *stores, outside surroundings, logger *slog.Logger) (err error) {
	if old != nil && old.cfg.users == s.cfg.users {
		s.users, s.usersFile = old.users, old.usersFile
		return nil
	}
	if s.cfg.users == "" {
		return nil
	}
	s.users = keyindex.NewUsers()
	s.users.LogTo(logger)
	s.usersFile, err = filestore.UserFeed{FollowConfig: journal.FollowConfig{Path: s.cfg.users, Observer: outside.users, Log: logger}}.Follow(s.users)
	return err
}

func (s *stores) openRevocations(old *stores, outside surroundings, logger *slog.Logger) (err error) {
	if old != nil && old.cfg.revocations == s.cfg.revocations {
		s.revocations, s.revocationsFile = old.revocations, old.revocationsFile
		return nil
	}
	if s.cfg.revocations == "" {
		return nil
	}
	s.revocations = keyindex.NewRevocations()
	s.revocationsFile, err = filestore.RevocationFeed{FollowConfig: journal.FollowConfig{
		Path: s.cfg.revocations, Observer: outside.revocations, Log: logger,
		// The first revocation makes the file, and is in force as soon as any other.
		MissingOK: true, Settle: 10 * time.Millisecond,
	}}.Follow(s.revocations)
	return err
}

// keysReady tells why no request can be judged at all.
func (s *stores) keysReady() error { return s.keys.Ready() }

// ready tells why some requests can't be judged.
func (s *stores) ready() error {
	if err := s.keysReady(); err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	if s.users != nil {
		if err := s.users.Ready(); err != nil {
			return fmt.Errorf("users file: %w", err)
		}
	}
	if s.revocations != nil {
		if err := s.revocations.Ready(); err != nil {
			return fmt.Errorf("revocations file: %w", err)
		}
	}
	return nil
}

// userStore is where users are looked up, nil where a user is only a name.
func (s *stores) userStore() verifier.UserStore {
	if s.users == nil {
		return nil // and no interface around a nil pointer
	}
	return s.users
}

// revoked is where revoked tokens are looked up, nil where none are.
func (s *stores) revoked() verifier.Revocations {
	if s.revocations == nil {
		return nil
	}
	return s.revocations
}

// followers are those of the files that there are.
func (s *stores) followers() []store.Follower {
	return slices.DeleteFunc([]store.Follower{s.keysFile, s.usersFile, s.revocationsFile},
		func(f store.Follower) bool { return f == nil })
}

// reload has the files read anew, as SIGHUP asks.
func (s *stores) reload() {
	for _, f := range s.followers() {
		f.Reload()
	}
}

func (s *stores) counts(now time.Time) admin.KeyCounts {
	const soon = 14 * 24 * time.Hour
	return admin.KeyCounts(s.keys.Counts(now, soon))
}

// closeBut ends the following of files that the other, which may be nil, does not follow too.
func (s *stores) closeBut(other *stores) error {
	var kept []store.Follower
	if other != nil {
		kept = other.followers()
	}
	var errs []error
	for _, f := range s.followers() {
		if !slices.Contains(kept, f) {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
