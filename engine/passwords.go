package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"keyward/authz"
	"keyward/cache"
	"keyward/keyindex"
	"keyward/passwordhash"
	"keyward/reuse"
	"keyward/verifier"
	"keyward/verifier/fingerprint"
	"keyward/verifier/login"
	"keyward/verifier/password"
)

// trustedFor is how long it is remembered that a password was right once. That
// says nothing about whether it is right now.
const trustedFor = 30 * 24 * time.Hour

// A wrong password is remembered for a client that tries it again. There are no
// more of them than can be hashed meanwhile.
const (
	wrongFor       = 10 * time.Second
	wrongPasswords = 10_000
)

// passwords makes the verifier of passwords.
func (s *Snapshot) passwords(v *verifierEntry) error {
	accounts, err := newCache[login.CachedAccount](v, "password", v.inputs.cache.Size, s.cfg.Cache.TTL)
	if err != nil {
		return err
	}
	trusted, err := cache.New[bool](s.cfg.Cache.Size, trustedFor)
	if err != nil {
		return err
	}
	wrong, err := cache.New[login.WrongPassword](wrongPasswords, wrongFor)
	if err != nil {
		return err
	}
	dummyHash, err := dummyHashes(s.stores.userRecords())
	if err != nil {
		return err
	}
	users, err := login.New(login.Config{
		Users: s.stores.userRecords(), Fingerprints: fingerprint.NewHasher(), Attempts: password.NewAttempts(password.AttemptsConfig{}),
		Pool: s.hashing.Pool, VerifyHash: s.hashing.verify, DummyHash: dummyHash,
		Accounts: accounts, RenewAfter: s.cfg.Cache.TTL / 2, Wrong: wrong, Trusted: trusted,
	})
	if err != nil {
		return err
	}
	v.Verifier = verifier.NewBasic(users)
	return nil
}

// verifiesPasswords reports whether checks take passwords, or the console does.
func (s *Snapshot) verifiesPasswords() bool {
	return s.cfg.Passwords || s.cfg.Listen.Managing() && !s.env.dryRun
}

// dummyHashes returns hashes for unknown users: with the parameters of the file's,
// or else with this program's own.
func dummyHashes(users *keyindex.Users) (func(string) authz.Secret, error) {
	dummy, err := passwordhash.DummyHash(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a hash for unknown users: %w", err)
	}
	return func(user string) authz.Secret {
		if own := users.DummyHash(user); !own.Empty() {
			return own
		}
		return dummy
	}, nil
}

// hashing is where passwords are hashed: a pool that bounds how many at a time,
// and the processes that do it; without them this process does.
type hashing struct {
	*password.Pool
	processes *password.WorkerProcesses // nil without a command to start them by
	verify    func(hash, password authz.Secret) (bool, error)
	hash      func(password authz.Secret) (string, error)
}

// openHashing starts what hashes passwords when the configuration first wants
// it. It is kept for good: the next reload may want it again.
func (s *Snapshot) openHashing(old *reuse.Generation) (err error) {
	const name = "hashing"
	if !s.verifiesPasswords() {
		s.hashing, _ = reuse.Keep[*hashing](&s.generation, old, name)
		return nil
	}
	s.hashing, err = reuse.Or(&s.generation, old, name, struct{}{}, s.env.newHashing)
	return err
}

func (e *environment) newHashing() (*hashing, error) {
	h := &hashing{verify: passwordhash.Verify, hash: hashHere}
	if len(e.hashCommand.Args) > 0 {
		var err error
		if h.processes, err = password.NewWorkerProcesses(password.WorkerProcessesConfig{Command: e.hashCommand, Log: e.logger}); err != nil {
			return nil, err
		}
		h.verify, h.hash = h.processes.Verify, h.processes.Hash
	}
	h.Pool = password.NewPool(password.Config{})
	return h, nil
}

func hashHere(password authz.Secret) (string, error) { return passwordhash.Hash(rand.Reader, password) }

// newHash hashes a password that a caller of the management API sets, before what
// unauthenticated clients have computed.
func (h *hashing) newHash(ctx context.Context, pass authz.Secret) (string, error) {
	var key password.Key
	_, _ = rand.Read(key[:]) // never fails; no two callers share a salt
	hash, err := h.Do(ctx, key, func() (password.Job, error) {
		return password.Job{Priority: password.Priority{Class: password.Trusted}, Verify: func() (authz.Secret, error) {
			hash, err := h.hash(pass)
			return authz.NewSecret(hash), err
		}}, nil
	})
	return hash.Reveal(), err
}

// passwordHasher returns what hashes new passwords: where passwords are verified too,
// or else this process, one at a time.
func (s *Snapshot) passwordHasher() func(context.Context, authz.Secret) (string, error) {
	if s.hashing != nil {
		return s.hashing.newHash
	}
	turn := make(chan struct{}, 1)
	return func(ctx context.Context, pass authz.Secret) (string, error) {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
			return hashHere(pass)
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// Close ends the pool and its processes.
func (h *hashing) Close() error {
	h.Pool.Close()
	if h.processes != nil {
		h.processes.Close()
	}
	return nil
}
