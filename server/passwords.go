package server

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"keyward/authz"
	"keyward/cache"
	"keyward/config"
	"keyward/keystore"
	"keyward/verifier"
	"keyward/verifier/password"
)

// familiarFor is how long a password that was right is known to have been. It
// says nothing about what it is now.
const familiarFor = 30 * 24 * time.Hour

// A password that turned out wrong is remembered for who tries again. There are no more of them
// than can be hashed meanwhile.
const (
	wrongFor       = 10 * time.Second
	wrongPasswords = 10_000
)

// passwords makes the verifier of passwords.
func (c *Core) passwords(r *remembered) error {
	principals, err := newCache[verifier.KnownPassword](r, "password", r.madeOf.cache.Size, c.cfg.Cache.TTL)
	if err != nil {
		return err
	}
	familiar, err := cache.New[bool](c.cfg.Cache.Size, familiarFor)
	if err != nil {
		return err
	}
	wrong, err := cache.New[verifier.WrongPassword](wrongPasswords, wrongFor)
	if err != nil {
		return err
	}
	decoy, err := decoys(c.parts.stores.users)
	if err != nil {
		return err
	}
	r.Verifier, err = verifier.NewBasic(verifier.BasicConfig{
		Users: c.parts.stores.users, Fingerprints: verifier.NewFingerprints(), Attempts: password.NewAttempts(password.AttemptsConfig{}),
		Pool: c.parts.hashing.Pool, VerifyHash: c.parts.hashing.verify, Decoy: decoy,
		Principals: principals, RenewAfter: c.cfg.Cache.TTL / 2, Wrong: wrong, Familiar: familiar,
	})
	return err
}

// decoys are hashes for unknown users: as the file's are, or as we make them where it has none.
func decoys(users *keystore.Users) (func(string) authz.Secret, error) {
	dummy, err := keystore.DummyHash(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a hash for unknown users: %w", err)
	}
	return func(user string) authz.Secret {
		if decoy := users.Decoy(user); !decoy.Empty() {
			return decoy
		}
		return dummy
	}, nil
}

// hashing is where passwords are hashed: a pool that bounds how many at a time, and
// the processes that do it; without them this one does.
type hashing struct {
	*password.Pool[verifier.KnownPassword]
	processes *password.Processes
	verify    func(hash, password authz.Secret) (bool, error)
}

// hashingFor returns what the configuration needs: the old one, or one made when passwords
// are first wanted. It stays for good: the next reload may want it again.
func hashingFor(cfg *config.Config, old *hashing, command password.Command, logger *slog.Logger) (*hashing, error) {
	if old != nil || !cfg.Passwords {
		return old, nil
	}
	h := &hashing{verify: keystore.VerifyPassword}
	if len(command.Args) > 0 {
		var err error
		if h.processes, err = password.NewProcesses(password.ProcessesConfig{Command: command, Log: logger}); err != nil {
			return nil, err
		}
		h.verify = h.processes.Verify
	}
	h.Pool = password.NewPool[verifier.KnownPassword](password.Config{})
	return h, nil
}

func (h *hashing) close() {
	h.Pool.Close()
	if h.processes != nil {
		h.processes.Close()
	}
}
