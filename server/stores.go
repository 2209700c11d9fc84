package server

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"keyward/admin"
	"keyward/authz"
	"keyward/config"
	"keyward/keystore"
	"keyward/verifier"
)

// storeConfig is the part of a configuration that stores are opened by.
// Equal ones mean that a reload can keep them.
type storeConfig struct {
	keys, pepper, users, revocations string
	keysMayBeMissing                 bool
}

func storeConfigOf(cfg *config.Config) storeConfig {
	return storeConfig{
		keys: cfg.Keys.File, pepper: cfg.Keys.PepperFile, users: cfg.Users.File, revocations: cfg.Revocations.File,
		// Without a configuration file the default key file need not be there.
		keysMayBeMissing: cfg.File == "",
	}
}

// stores are the keys, users and revocations in force, each following its file.
type stores struct {
	cfg         storeConfig
	hasher      *keystore.Hasher
	keys        *keystore.Keys
	users       *keystore.Users       // nil without a users file
	revocations *keystore.Revocations // nil without a revocations file
	followers   []*keystore.Follower
}

// openStores reads the files. A file that is no good is no error here: the
// stores are then not ready, and become so when the file does.
func openStores(cfg storeConfig, outside surroundings, logger *slog.Logger) (*stores, error) {
	s := &stores{cfg: cfg}
	var pepper authz.Secret
	if cfg.pepper != "" {
		var err error
		if pepper, err = keystore.ReadPepper(cfg.pepper); err != nil {
			return nil, fmt.Errorf("keys.pepper_file: %w", err)
		}
	}
	s.hasher = keystore.NewHasher(pepper)
	s.keys = keystore.NewKeys(s.hasher)
	if cfg.keys == "" {
		s.keys = keystore.NoKeys()
	}
	files := []keystore.FollowConfig{{Path: cfg.keys, Into: s.keys, MissingOK: cfg.keysMayBeMissing, Observer: outside.keys}}
	if cfg.users != "" {
		s.users = keystore.NewUsers()
		files = append(files, keystore.FollowConfig{Path: cfg.users, Into: s.users, Observer: outside.users})
	}
	if cfg.revocations != "" {
		s.revocations = keystore.NewRevocations()
		files = append(files, keystore.FollowConfig{
			Path: cfg.revocations, Into: s.revocations, Observer: outside.revocations,
			// The first revocation makes the file, and is in force as soon as any other.
			MissingOK: true, Settle: 10 * time.Millisecond,
		})
	}
	for _, file := range files {
		file.Log = logger
		if err := s.follow(file); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

func (s *stores) follow(cfg keystore.FollowConfig) error {
	if cfg.Path == "" {
		return nil
	}
	f, err := keystore.Follow(cfg)
	if err != nil {
		return err
	}
	s.followers = append(s.followers, f)
	return nil
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

// reload has the files read anew, as SIGHUP asks.
func (s *stores) reload() {
	for _, f := range s.followers {
		f.Reload()
	}
}

func (s *stores) counts(now time.Time) admin.KeyCounts {
	const soon = 14 * 24 * time.Hour
	return admin.KeyCounts(s.keys.Counts(now, soon))
}

func (s *stores) close() error {
	var errs []error
	for _, f := range s.followers {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
