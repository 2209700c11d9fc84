// Package redis keeps the counts of package ratelimit in Redis or Valkey, where
// all replicas share them. Each decision is one round trip; the clock is the
// server's, so those of the replicas may differ. It waits for nobody longer
// than its time-out, tries nothing twice, and decides nothing when it can't
// tell: for that it stands behind a ratelimit.Fallback.
package redis

import (
	"context"
	"crypto/tls"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"keyward/authz"
	"keyward/ratelimit"
)

var (
	//go:embed take.lua
	takeScript string
	//go:embed refund.lua
	refundScript string
)

// Config says where Redis is and how long it may take.
type Config struct {
	// URL is one of those that ErrURL names.
	URL authz.Secret
	// Password is in place of the URL's, if it is not empty.
	Password authz.Secret
	// TLS is for the secure schemes; nil trusts what the system does.
	TLS *tls.Config
	// Timeout bounds each call, with the wait for a connection; 0 is one second. What
	// the script has done in a call that took longer is not known: so it should be
	// longer than who asks waits.
	Timeout time.Duration
	// Prefix begins the name of each key; "" is "keyward:".
	Prefix string
	// Connections is the most there are to each server; 0 is 32.
	Connections int
}

const (
	defaultTimeout     = time.Second
	defaultPrefix      = "keyward:"
	defaultConnections = 32
	dialTimeout        = 500 * time.Millisecond
)

// Store is a ratelimit.Store in Redis.
//
// In a cluster the limits of one request are tested by one script where they
// have one owner. With several owners there is a script for each, all in one
// round trip, and what was charged is paid back if another refuses. In the
// moment between, others may see a count one too high: so at worst a
// request too few is let in, never one too many.
type Store struct {
	client       redis.UniversalClient
	split        bool // keys of one script must have one owner
	timeout      time.Duration
	prefix       string
	take         *redis.Script
	refundScript *redis.Script
}

// New returns a store and does not wait for its server. An error does not quote the URL.
func New(cfg Config) (*Store, error) {
	at, err := parseURL(cfg.URL.Reveal())
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	if cfg.Timeout < 0 || cfg.Connections < 0 {
		return nil, errors.New("redis: time-out and connections must not be negative")
	}
	if !cfg.Password.Empty() {
		at.password = cfg.Password.Reveal()
	}
	logging.Disable() // the library's own, to standard error: of what we return as errors
	s := &Store{
		split: at.kind == cluster, timeout: cfg.Timeout, prefix: cfg.Prefix,
		take: redis.NewScript(takeScript), refundScript: redis.NewScript(refundScript),
	}
	if s.timeout == 0 {
		s.timeout = defaultTimeout
	}
	if s.prefix == "" {
		s.prefix = defaultPrefix
	}
	o := s.options(&at, cfg)
	switch at.kind {
	case cluster:
		c := o.Cluster()
		c.DisableRoutingPolicies = true // they begin with a question for the list of all commands
		c.MinIdleConns = 0              // to each of as many servers as an answer names
		c.Dialer = newGuard(c.TLSConfig, ofCluster).open
		s.client = redis.NewClusterClient(c)
	case sentinel:
		c := o.Simple()
		c.Dialer = (&sentinels{addresses: at.addresses, master: at.master, guard: newGuard(c.TLSConfig, ofServer)}).open
		s.client = redis.NewClient(c)
	default:
		c := o.Simple()
		c.Dialer = newGuard(c.TLSConfig, ofServer).open
		s.client = redis.NewClient(c)
	}
	return s, nil
}

// options leave out all that would take longer than a decision may, or that
// decides for itself to ask again.
func (s *Store) options(at *endpoint, cfg Config) *redis.UniversalOptions {
	o := at.options(cfg.TLS)
	o.Protocol = 2 // nothing of version 3 is needed, and without it a new connection asks nothing first
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.ContextTimeoutEnabled = true
	o.MaxRetries = -1
	o.DialTimeout, o.DialerRetries = dialTimeout, 1
	o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = s.timeout, s.timeout, s.timeout
	if o.PoolSize = cfg.Connections; o.PoolSize == 0 {
		o.PoolSize = defaultConnections
	}
	o.PipelinePoolSize = -1
	o.MinIdleConns = min(2, o.PoolSize)
	o.ConnMaxIdleTime = 5 * time.Minute
	return o
}

// Close gives the connections back.
func (s *Store) Close() error { return s.client.Close() }

// Take implements ratelimit.Store. The time is the server's.
func (s *Store) Take(ctx context.Context, _ time.Time, limits []ratelimit.Limit, results []ratelimit.Result) (int, error) {
	return s.eval(ctx, limits, results, true)
}

// Peek implements ratelimit.Store.
func (s *Store) Peek(ctx context.Context, _ time.Time, limits []ratelimit.Limit, results []ratelimit.Result) (int, error) {
	return s.eval(ctx, limits, results, false)
}

// Reset implements ratelimit.Store.
func (s *Store) Reset(ctx context.Context, buckets ...ratelimit.Bucket) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	_, err := s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range buckets {
			pipe.Del(ctx, s.key(&buckets[i]))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("redis: resetting: %w", err)
	}
	return nil
}

// key is the name of a bucket's key. What is in braces says in which part of a
// cluster it is.
func (s *Store) key(b *ratelimit.Bucket) string {
	const digits = "0123456789abcdef"
	name := make([]byte, 0, len(s.prefix)+2*len(b)+2)
	name = append(append(name, s.prefix...), '{')
	for i, c := range b {
		if i == len(b)/2 {
			name = append(name, '}')
		}
		name = append(name, digits[c>>4], digits[c&15])
	}
	return string(name)
}
