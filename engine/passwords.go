package engine

import (
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
	return s.cfg.Passwords || s.cfg.Listen.Console != "" && !s.env.dryRun
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
	h := &hashing{verify: passwordhash.Verify}
	if len(e.hashCommand.Args) > 0 {
		var err error
		if h.processes, err = password.NewWorkerProcesses(password.WorkerProcessesConfig{Command: e.hashCommand, Log: e.logger}); err != nil {
			return nil, err
		}
		h.verify = h.processes.Verify
	}
	h.Pool = password.NewPool(password.Config{})
	return h, nil
}

// Close ends the pool and its processes.
func (h *hashing) Close() error {
	h.Pool.Close()
	if h.processes != nil {
		h.processes.Close()
	}
	return nil
}
