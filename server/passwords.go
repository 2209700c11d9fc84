package server

import (
	"crypto/rand"
	"fmt"
	"runtime"
	"time"

	"keyward/cache"
	"keyward/config"
	"keyward/keystore"
	"keyward/password"
	"keyward/verifier"
)

// passwords is the verifier of passwords with all that it remembers. It
// outlives a Core: after a reload a thousand clients must not have to be hashed anew.
type passwords struct {
	verifier *verifier.Basic
	caches   []cacheStats
	users    *keystore.Users
	cache    config.Cache
}

// hashPool is where passwords are hashed.
type hashPool = password.Pool[verifier.KnownPassword]

// familiarFor is how long a password that was right is known to have been. It
// says nothing about what it is now.
const familiarFor = 30 * 24 * time.Hour

// takePasswords takes the verifier of passwords over from the old Core, or
// makes one where there was none, or one of other users.
func (c *Core) takePasswords(old *Core) error {
	if old != nil && old.passwords != nil && old.passwords.users == c.parts.stores.users && old.passwords.cache == c.cfg.Cache {
		c.passwords = old.passwords
		c.caches = append(c.caches, old.passwords.caches...)
		return nil
	}
	principals, err := newCache[verifier.KnownPassword](c, "password", c.cfg.Cache.TTL)
	if err != nil {
		return err
	}
	familiar, err := cache.New[bool](c.cfg.Cache.Size, familiarFor)
	if err != nil {
		return err
	}
	dummy, err := keystore.DummyHash(rand.Reader)
	if err != nil {
		return fmt.Errorf("making a hash for unknown users: %w", err)
	}
	basic, err := verifier.NewBasic(verifier.BasicConfig{
		Users: c.parts.stores.users, Fingerprints: verifier.NewFingerprints(), Pool: c.parts.hashes,
		Attempts: password.NewAttempts(password.AttemptsConfig{}), Dummy: dummy,
		Principals: principals, Familiar: familiar,
	})
	c.passwords = &passwords{verifier: basic, caches: c.caches[len(c.caches)-1:], users: c.parts.stores.users, cache: c.cfg.Cache}
	return err
}

// poolFor returns the pool that hashes passwords: the old one, or one made when passwords
// are first wanted. It stays for good: the next reload may want it again.
func poolFor(cfg *config.Config, old *hashPool) *hashPool {
	if old == nil && cfg.Passwords {
		return password.NewPool[verifier.KnownPassword](password.Config{})
	}
	return old
}

// giveRoom has the scheduler run the pool's hashes beside everything else, and
// the kernel share out the cores: with as many threads as cores, whatever comes
// while a hash is computed would wait for it (see password.Pool).
func giveRoom(pool *hashPool) { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + pool.Workers()) }
