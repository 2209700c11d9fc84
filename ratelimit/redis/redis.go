// Package redis keeps the counts of package ratelimit in Redis or Valkey, where
// all replicas share them. Each decision is one round trip. The time is the
// server's, so the clocks of the replicas may differ. No call takes longer than
// its timeout and none is retried. The package makes no decision if the store
// fails: package failover in front of it does.
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

// Config says where Redis is and how long a call may take.
type Config struct {
	// URL is in one of the forms that ErrURL lists.
	URL authz.Secret
	// Password replaces the URL's, if it is not empty.
	Password authz.Secret
	// TLS is used with the secure schemes; nil trusts the system's certificate
	// authorities.
	TLS *tls.Config
	// Timeout bounds each call, including the wait for a connection; 0 means
	// one second. After a timeout it is unknown what the script did. Timeout
	// should therefore be longer than the caller waits.
	Timeout time.Duration
	// Prefix is the prefix of each key's name; "" means "keyward:".
	Prefix string
	// Connections is the maximum number per server; 0 means 32.
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
// In a cluster, one script tests the limits of a request if they belong to one
// subject. Several subjects take one script each, all in one round trip, and
// the charges are refunded if another script refuses. Until then, other
// requests may see a count that is one too high. At worst one request too few
// is allowed, never one too many.
type Store struct {
	client       redis.UniversalClient
	split        bool // all keys of one script must belong to one subject
	timeout      time.Duration
	prefix       string
	take         *redis.Script
	refundScript *redis.Script
}

// New returns a store. It does not wait for the server. The error does not
// quote the URL.
func New(cfg Config) (*Store, error) {
	at, err := parseURL(cfg.URL.Reveal())
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	if cfg.Timeout < 0 || cfg.Connections < 0 {
		return nil, errors.New("redis: timeout and connections must not be negative")
	}
	if !cfg.Password.Empty() {
		at.password = cfg.Password.Reveal()
	}
	logging.Disable() // the library's logging to standard error, of what is returned as errors
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
		c.DisableRoutingPolicies = true // they start with a request for the list of all commands
		c.MinIdleConns = 0              // would be opened to every server that a reply names
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

// options returns client options without any feature that takes longer than a
// decision may, or that retries.
func (s *Store) options(at *endpoint, cfg Config) *redis.UniversalOptions {
	o := at.options(cfg.TLS)
	o.Protocol = 2 // RESP3 is not needed, and without it a new connection sends no request first
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

// Close closes the connections.
func (s *Store) Close() error { return s.client.Close() }

// Take implements ratelimit.Store. It uses the server's time.
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

// key returns the name of a bucket's key. The part in braces is the hash tag,
// which selects the slot of a cluster.
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
