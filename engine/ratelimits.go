package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyward/admin"
	"keyward/authz"
	"keyward/manage"
	"keyward/ratelimit"
	"keyward/ratelimit/failover"
	"keyward/ratelimit/redis"
	"keyward/reuse"
)

// bucketNames has all replicas find the same counts. It is not a secret: the name
// of a bucket discloses only what its subject's name does.
const bucketNames = "keyward rate limit buckets"

// counters are where requests are counted. A reload that changes nothing of that
// keeps the counts, under the new rates.
type counters struct {
	memory *localCounts
	shared *sharedCounts // nil without a store that replicas share
}

// localCounts are the buckets of this process, and how buckets are named.
type localCounts struct {
	keyer      *ratelimit.BucketKeyer
	principals *ratelimit.Memory
	addresses  *ratelimit.Memory
}

// Close implements io.Closer. There is nothing to close.
func (*localCounts) Close() error { return nil }

// localConfig is what localCounts are made by.
type localConfig struct {
	buckets int
	shared  bool // under the names that all replicas use
}

func newLocalCounts(cfg localConfig) (*localCounts, error) {
	var name []byte
	if cfg.shared {
		name = []byte(bucketNames)
	}
	memory := ratelimit.MemoryConfig{Buckets: cfg.buckets, Start: time.Now()}
	l := new(localCounts)
	var errs [3]error
	l.keyer, errs[0] = ratelimit.NewBucketKeyer(name)
	l.principals, errs[1] = ratelimit.NewMemory(memory)
	l.addresses, errs[2] = ratelimit.NewMemory(memory)
	return l, errors.Join(errs[:]...)
}

// sharedCounts are a store that replicas share, and what decides while it is
// unavailable.
type sharedCounts struct {
	store    *redis.Store
	failover *failover.Store
}

// Close ends the asking and closes the connections.
func (s *sharedCounts) Close() error { return errors.Join(s.failover.Close(), s.store.Close()) }

// sharedConfig is what sharedCounts are made by.
type sharedConfig struct {
	store     authz.Secret
	onFailure failover.OnStoreFailure
	replicas  int
	timeout   time.Duration
	memory    *localCounts
}

func (e *environment) newSharedCounts(cfg sharedConfig) (*sharedCounts, error) {
	store, err := redis.New(redis.Config{URL: cfg.store})
	if err != nil {
		return nil, err
	}
	guarded, err := failover.New(failover.Config{
		Store: store, OnStoreFailure: cfg.onFailure, Local: cfg.memory.principals, Timeout: cfg.timeout, Replicas: cfg.replicas, Log: e.logger,
	})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &sharedCounts{store, guarded}, nil
}

// openCounters opens where the configuration has requests counted.
func (s *Snapshot) openCounters(old *reuse.Generation) error {
	cfg := s.cfg.RateLimits
	local := localConfig{cfg.Buckets, !cfg.Store.Empty()}
	c := new(counters)
	var err error
	c.memory, err = reuse.Or(&s.generation, old, "local counts", local, func() (*localCounts, error) { return newLocalCounts(local) })
	if err != nil {
		return fmt.Errorf("rate_limits: %w", err)
	}
	if local.shared {
		shared := sharedConfig{cfg.Store, cfg.OnStoreFailure, cfg.Replicas, cfg.Timeout, c.memory}
		c.shared, err = reuse.Or(&s.generation, old, "shared counts", shared, func() (*sharedCounts, error) { return s.env.newSharedCounts(shared) })
		if err != nil {
			return fmt.Errorf("rate_limits: %w", err)
		}
	}
	s.counters = c
	return nil
}

// store is where principals are counted. Each process counts
// addresses for itself: a client that forges them must not reach the shared store.
func (c *counters) store() ratelimit.Store {
	if c.shared != nil {
		return c.shared.failover
	}
	return c.memory.principals
}

// newLimiter makes what counts requests: an interface without anything in it
// where nothing does.
func (s *Snapshot) newLimiter() (authz.Limiter, error) {
	if s.counters == nil {
		return nil, nil
	}
	var err error
	s.limiter, err = ratelimit.NewLimiter(ratelimit.LimiterConfig{
		ByMethod: s.cfg.RateLimits.ByMethod, Failed: s.cfg.RateLimits.Failed, Store: s.counters.store(),
		Addresses: s.counters.memory.addresses, Keyer: s.counters.memory.keyer, Shadowed: s.env.metrics.decisions.Shadowed,
	})
	if err != nil {
		return nil, fmt.Errorf("rate_limits: %w", err)
	}
	return s.limiter, nil
}

// Limits implements admin.State.
func (e *Engine) Limits() admin.LimitState {
	c := e.Current().counters
	now := time.Now()
	principals, addresses := c.memory.principals.Stats(now), c.memory.addresses.Stats(now)
	state := admin.LimitState{Buckets: principals.Buckets + addresses.Buckets, Evicted: principals.Evicted + addresses.Evicted}
	if c.shared != nil {
		stats := c.shared.failover.Stats()
		state.StoreUnavailable, state.StoreFailures, state.LocalDecisions = stats.Unavailable, stats.Failures, stats.LocalDecisions
	}
	return state
}

// KeyLimit implements manage.Limits.
func (s *Snapshot) KeyLimit(ctx context.Context, keyID string) (*manage.KeyLimit, error) {
	text, known := s.stores.keys.records.RateOf(keyID)
	if !known {
		return nil, nil
	}
	var own authz.Rate
	if text != "" {
		var err error
		if own, err = authz.ParseRate(text); err != nil {
			return nil, fmt.Errorf("the key's own rate is invalid, so the key is refused: %w", err)
		}
	}
	quota, err := s.limiter.PeekKey(ctx, keyID, own, time.Now())
	if err != nil || quota.Name == "" {
		return nil, err
	}
	return &manage.KeyLimit{
		Limit: quota.Name, Rate: quota.Rate.String(), Burst: quota.Limit, Remaining: quota.Remaining,
		Reset: quota.ResetAfter.Seconds(), Retry: quota.RetryAfter.Seconds(),
	}, nil
}

// ResetKeyLimit implements manage.Limits.
func (s *Snapshot) ResetKeyLimit(ctx context.Context, keyID string) error {
	return s.limiter.ResetKey(ctx, keyID)
}

// KeyLimit returns what is left of a key's limit as the admin listener shows it;
// nil if it has none.
func (e *Engine) KeyLimit(ctx context.Context, keyID string) (any, error) {
	limit, err := e.Current().KeyLimit(ctx, keyID)
	if limit == nil {
		return nil, err // and no interface around a nil pointer
	}
	return limit, err
}
