package server

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"keyward/authz"
	"keyward/cache"
	"keyward/config"
	"keyward/keyindex"
	"keyward/passwordhash"
	"keyward/verifier"
	"keyward/verifier/fingerprint"
	"keyward/verifier/login"
	"keyward/verifier/password"
)

// trustedFor is how long a password that was right is known to have been. It
// says nothing about what it is now.
const trustedFor = 30 * 24 * time.Hour

// A password that turned out wrong is remembered for who tries again. There are no more of them
// than can be hashed meanwhile.
const (
	wrongFor       = 10 * time.Second
	wrongPasswords = 10_000
)

// passwords makes the verifier of passwords.
func (c *Core) passwords(r *remembered) error {
	accounts, err := newCache[login.CachedAccount](r, "password", r.madeOf.cache.Size, c.cfg.Cache.TTL)
	if err != nil {
		return err
	}
	trusted, err := cache.New[bool](c.cfg.Cache.Size, trustedFor)
	if err != nil {
		return err
	}
	wrong, err := cache.New[login.WrongPassword](wrongPasswords, wrongFor)
	if err != nil {
		return err
	}
	dummyHash, err := dummyHashes(c.parts.stores.users)
	if err != nil {
		return err
	}
	users, err := login.New(login.Config{
		Users: c.parts.stores.users, Fingerprints: fingerprint.NewHasher(), Attempts: password.NewAttempts(password.AttemptsConfig{}),
		Pool: c.parts.hashing.Pool, VerifyHash: c.parts.hashing.verify, DummyHash: dummyHash,
		Accounts: accounts, RenewAfter: c.cfg.Cache.TTL / 2, Wrong: wrong, Trusted: trusted,
	})
	if err != nil {
		return err
	}
	r.Verifier = verifier.NewBasic(users)
	return nil
}

// dummyHashes returns hashes for unknown users: with the parameters of the file's, or
// else with our own.
func dummyHashes(users *keyindex.Users) (func(string) authz.Secret, error) {
	dummy, err := passwordhash.DummyHash(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a hash for unknown users: %w", err)
	}
	return func(user string) authz.Secret {
		if decoy := users.DummyHash(user); !decoy.Empty() {
			return decoy
		}
		return dummy
	}, nil
}

// hashing is where passwords are hashed: a pool that bounds how many at a time, and
// the processes that do it; without them this one does.
type hashing struct {
	*password.Pool
	processes *password.WorkerProcesses
	verify    func(hash, password authz.Secret) (bool, error)
}

// hashingFor returns what the configuration needs: the old one, or one made when passwords
// are first wanted. It stays for good: the next reload may want it again.
func hashingFor(cfg *config.Config, old *hashing, command password.Command, logger *slog.Logger) (*hashing, error) {
	if old != nil || !cfg.Passwords {
		return old, nil
	}
	h := &hashing{verify: passwordhash.Verify}
	if len(command.Args) > 0 {
		var err error
		if h.processes, err = password.NewWorkerProcesses(password.WorkerProcessesConfig{Command: command, Log: logger}); err != nil {
			return nil, err
		}
		h.verify = h.processes.Verify
	}
	h.Pool = password.NewPool(password.Config{})
	return h, nil
}

func (h *hashing) close() {
	h.Pool.Close()
	if h.processes != nil {
		h.processes.Close()
	}
}
