package config

import (
	"net"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"keyward/authz"
	"keyward/ratelimit"
	"keyward/ratelimit/failover"
)

// RateLimits says which requests are counted, where, and what the client sees of it.
type RateLimits struct {
	Store          authz.Secret // a URL, which may contain a password; empty: the memory of this process
	OnStoreFailure failover.OnStoreFailure
	Replicas       int           // how many share the store
	Timeout        time.Duration // of one request to the store
	Buckets        int           // how many are kept in memory

	ByMethod map[authz.AuthMethod]ratelimit.Spec
	Failed   ratelimit.Spec // for failed credentials of an address
	OnAllow  bool           // allows have the rate limit headers too
}

const memoryStore = "memory"

var (
	onStoreFailure = map[string]failover.OnStoreFailure{"local": failover.FailLocal, "allow": failover.FailOpen, "deny": failover.FailClosed}
	told           = map[string]bool{"denied": false, "always": true}
)

func (r *reader) rateLimits(v value, l *RateLimits) {
	known := fields{
		{"store", func(v value) { r.limitStore(v, l) }},
		{"on_store_failure", choice(r, &l.OnStoreFailure, onStoreFailure)},
		{"replicas", r.number(&l.Replicas, 1, 10_000)},
		{"timeout", r.duration(&l.Timeout, false)},
		{"max_buckets", r.number(&l.Buckets, 1, 1<<30)},
		{"headers", choice(r, &l.OnAllow, told)},
		{"failed", r.limitSpec(&l.Failed.Rate, &l.Failed.Shadow)},
	}
	for _, kind := range authz.AuthMethods() {
		known = append(known, fields{{kind.Name, func(v value) {
			var spec ratelimit.Spec
			r.limitSpec(&spec.Rate, &spec.Shadow)(v)
			if spec.Rate != (ratelimit.Rate{}) {
				l.ByMethod[kind.Method] = spec
			}
		}}}...)
	}
	r.mapping(v, known)
}

// limitStore reads the word memory or the URL of Redis, which is validated when it is opened.
func (r *reader) limitStore(v value, l *RateLimits) {
	text, ok := r.readText(v)
	switch {
	case !ok || text == memoryStore:
	case slices.ContainsFunc([]string{"redis", "rediss", "unix"}, func(scheme string) bool {
		before, _, found := strings.Cut(text, "://")
		before, _, _ = strings.Cut(before, "+")
		return found && before == scheme
	}):
		l.Store = authz.NewSecret(text)
		r.warnPlainRedis(v, text)
	default:
		r.problem(v.Line, "%s: want memory, or a URL that begins with redis://, rediss://, unix://, or with redis+cluster:// or redis+sentinel:// and their rediss", v.name)
	}
}

// warnPlainRedis warns about a store whose responses an attacker on the network can forge.
func (r *reader) warnPlainRedis(v value, text string) {
	scheme, rest, _ := strings.Cut(text, "://")
	if transport, _, _ := strings.Cut(scheme, "+"); transport != "redis" {
		return
	}
	authority, _, _ := strings.Cut(rest, "/")
	hosts := authority[strings.LastIndexByte(authority, '@')+1:]
	for address := range strings.SplitSeq(hosts, ",") {
		host, _, err := net.SplitHostPort(address)
		if err != nil { // no port
			host = strings.Trim(address, "[]")
		}
		if !isLoopback(host) {
			r.warn(v.Line, "%s: plain redis:// is not protected: an attacker on the network can set every limit; use rediss:// for TLS", v.name)
			return
		}
	}
}

// limitSpec reads a limit: a rate, or a mapping with a rate. An empty text means no limit.
func (r *reader) limitSpec(rate *authz.Rate, shadow *bool) field {
	return func(v value) {
		if v.Kind != yaml.MappingNode {
			r.rate(rate)(v)
			return
		}
		var burst int
		r.mapping(v, fields{
			{"rate", r.rate(rate)},
			{"burst", r.number(&burst, 1, authz.MaxRateCount)},
			{"shadow", r.boolean(shadow)},
		})
		rate.Burst = burst
		if err := rate.Validate(); err != nil {
			r.problem(v.Line, "%s: want a rate whose burst refills within one year", v.name)
		}
	}
}

func (r *reader) rate(to *authz.Rate) field {
	return func(v value) {
		text, ok := r.readText(v)
		if !ok || text == "" {
			return
		}
		rate, err := authz.ParseRate(text)
		if err != nil {
			r.refuse(v, err)
			return
		}
		*to = rate
	}
}
