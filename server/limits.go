package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"keyward/admin"
	"keyward/authz"
	"keyward/config"
	"keyward/ratelimit"
	"keyward/ratelimit/redis"
)

// limits is where requests are counted. It outlives a Core where a reload
// changes nothing of that: what was used stays used, under the rates of the day.
type limits struct {
	cfg       limitsConfig
	keyer     *ratelimit.BucketKeyer
	memory    *ratelimit.Memory // of principals
	addresses *ratelimit.Memory
	shared    *redis.Store        // nil: there is only the memory
	fallback  *ratelimit.Fallback // what asks it
}

type limitsConfig struct {
	store    authz.Secret
	whenAway ratelimit.OnStoreFailure
	replicas int
	timeout  time.Duration
	buckets  int
}

// bucketNames has all replicas find the same counts. It is no secret: a bucket's
// name tells nobody what it would not tell him whose it is.
const bucketNames = "keyward rate limit buckets"

// limitsFor returns the place that the configuration wants, the old one where it is the same.
func limitsFor(cfg *config.Config, old *limits, logger *slog.Logger) (*limits, error) {
	wanted := limitsConfig{cfg.RateLimits.Store, cfg.RateLimits.OnStoreFailure, cfg.RateLimits.Replicas, cfg.RateLimits.Timeout, cfg.RateLimits.Buckets}
	if old != nil && old.cfg == wanted {
		return old, nil
	}
	l := &limits{cfg: wanted}
	if err := l.remember(old); err != nil {
		return nil, err
	}
	if wanted.store.Empty() {
		return l, nil
	}
	var err error
	if l.shared, err = redis.New(redis.Config{URL: wanted.store}); err != nil {
		return nil, err
	}
	l.fallback, err = ratelimit.NewFallback(ratelimit.FallbackConfig{
		Store: l.shared, OnStoreFailure: wanted.whenAway, Local: l.memory, Timeout: wanted.timeout, Replicas: wanted.replicas, Log: logger,
	})
	if err != nil {
		return nil, errors.Join(err, l.shared.Close())
	}
	return l, nil
}

// remember makes the counts in memory, or takes over the old ones where they
// are as many and under the same names.
func (l *limits) remember(old *limits) error {
	if old != nil && old.cfg.buckets == l.cfg.buckets && old.cfg.store.Empty() == l.cfg.store.Empty() {
		l.keyer, l.memory, l.addresses = old.keyer, old.memory, old.addresses
		return nil
	}
	var name []byte
	if !l.cfg.store.Empty() {
		name = []byte(bucketNames)
	}
	memory := ratelimit.MemoryConfig{Buckets: l.cfg.buckets, Start: time.Now()}
	var errs [3]error
	l.keyer, errs[0] = ratelimit.NewBucketKeyer(name)
	l.memory, errs[1] = ratelimit.NewMemory(memory)
	l.addresses, errs[2] = ratelimit.NewMemory(memory)
	return errors.Join(errs[:]...)
}

// store is where principals are counted. Addresses are counted by each process
// for itself: a stranger who makes them up must not reach what all share.
func (l *limits) store() ratelimit.Store {
	if l.fallback != nil {
		return l.fallback
	}
	return l.memory
}

func (l *limits) close() error {
	if l.fallback == nil {
		return nil
	}
	return errors.Join(l.fallback.Close(), l.shared.Close())
}

// limiter is what counts by the rules of the configuration.
func (l *limits) limiter(cfg *config.Config, shadowed func(string)) (*ratelimit.Limiter, error) {
	return ratelimit.NewLimiter(ratelimit.LimiterConfig{
		ByMethod: cfg.RateLimits.ByMethod, Failed: cfg.RateLimits.Failed, Store: l.store(), Addresses: l.addresses, Keyer: l.keyer,
		Shadowed: shadowed,
	})
}

// Limits implements admin.State.
func (s *Server) Limits() admin.LimitState {
	l := s.core.Load().parts.limits
	now := time.Now()
	principals, addresses := l.memory.Stats(now), l.addresses.Stats(now)
	state := admin.LimitState{Buckets: principals.Buckets + addresses.Buckets, Evicted: principals.Evicted + addresses.Evicted}
	if l.fallback != nil {
		stats := l.fallback.Stats()
		state.StoreUnavailable, state.StoreFailures, state.LocalDecisions = stats.Unavailable, stats.Failures, stats.LocalDecisions
	}
	return state
}

// limitOf is what the admin listener tells of a key's limit; nil where there is none.
func (s *Server) limitOf(ctx context.Context, keyID string) (any, error) {
	core := s.core.Load()
	text, known := core.parts.stores.keys.RateOf(keyID)
	if !known {
		return nil, nil
	}
	var own authz.Rate
	if text != "" {
		var err error
		if own, err = authz.ParseRate(text); err != nil {
			return nil, fmt.Errorf("the key's own rate, with which it lets nobody in: %w", err)
		}
	}
	quota, err := core.limiter.PeekKey(ctx, keyID, own, time.Now())
	if err != nil || quota.Name == "" {
		return nil, err
	}
	return struct {
		Limit     string  `json:"limit"`
		Rate      string  `json:"rate"`
		Burst     int     `json:"burst"`
		Remaining int     `json:"remaining"`
		Reset     float64 `json:"reset_seconds"`
		Retry     float64 `json:"retry_after_seconds"`
	}{quota.Name, quota.Rate.String(), quota.Limit, quota.Remaining, quota.ResetAfter.Seconds(), quota.RetryAfter.Seconds()}, nil
}

// resetLimit makes a key's count that of one never used.
func (s *Server) resetLimit(ctx context.Context, keyID string) error {
	return s.core.Load().limiter.ResetKey(ctx, keyID)
}
