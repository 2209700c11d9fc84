package config

import (
	"net"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"keyward/authz"
	"keyward/config/strictyaml"
	"keyward/ratelimit"
	"keyward/ratelimit/failover"
)

// RateLimits says which requests are counted, where, and what the client sees
// of it.
type RateLimits struct {
	Store          authz.Secret // a URL, which may contain a password; empty: the memory of this process
	OnStoreFailure failover.OnStoreFailure
	Replicas       int           // how many share the store
	Timeout        time.Duration // of one request to the store
	Buckets        int           // how many are kept in memory

	ByMethod       map[authz.AuthMethod]ratelimit.Spec
	Failed         ratelimit.Spec // for failed credentials of an address
	HeadersOnAllow bool           // allows have the rate limit headers too
}

const memoryStore = "memory"

var (
	onStoreFailure = map[string]failover.OnStoreFailure{"local": failover.FailLocal, "allow": failover.FailOpen, "deny": failover.FailClosed}
	headerModes    = map[string]bool{"denied": false, "always": true}
)

func (d *decoder) rateLimits(v strictyaml.Value, l *RateLimits) {
	known := strictyaml.Fields{
		{"store", func(v strictyaml.Value) { d.limitStore(v, l) }},
		{"on_store_failure", strictyaml.Choice(d.Decoder, &l.OnStoreFailure, onStoreFailure)},
		{"replicas", d.Number(&l.Replicas, 1, 10_000)},
		{"timeout", d.Duration(&l.Timeout, false)},
		{"max_buckets", d.Number(&l.Buckets, 1, 1<<30)},
		{"headers", strictyaml.Choice(d.Decoder, &l.HeadersOnAllow, headerModes)},
		{"failed", d.limitSpec(&l.Failed.Rate, &l.Failed.Shadow)},
	}
	for _, kind := range authz.AuthMethods() {
		known = append(known, strictyaml.Fields{{kind.Name, func(v strictyaml.Value) {
			var spec ratelimit.Spec
			d.limitSpec(&spec.Rate, &spec.Shadow)(v)
			if spec.Rate != (ratelimit.Rate{}) {
				l.ByMethod[kind.Method] = spec
			}
		}}}...)
	}
	d.Mapping(v, known)
}

// limitStore reads the word memory or the URL of Redis, which is validated when
// it is opened.
func (d *decoder) limitStore(v strictyaml.Value, l *RateLimits) {
	text, ok := d.ReadText(v)
	switch {
	case !ok || text == memoryStore:
	case slices.ContainsFunc([]string{"redis", "rediss", "unix"}, func(scheme string) bool {
		before, _, found := strings.Cut(text, "://")
		before, _, _ = strings.Cut(before, "+")
		return found && before == scheme
	}):
		l.Store = authz.NewSecret(text)
		d.warnPlainRedis(v, text)
	default:
		d.Report(v.Line, "%s: want memory, or a URL that begins with redis://, rediss://, unix://, or with redis+cluster:// or redis+sentinel:// and their rediss", v.Name)
	}
}

// warnPlainRedis warns about a store whose responses an attacker on the network
// can forge.
func (d *decoder) warnPlainRedis(v strictyaml.Value, text string) {
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
			d.Warn(v.Line, "%s: plain redis:// is not protected: an attacker on the network can set every limit; use rediss:// for TLS", v.Name)
			return
		}
	}
}

// limitSpec reads a limit: a rate, or a mapping with a rate. An empty text
// means no limit.
func (d *decoder) limitSpec(rate *authz.Rate, shadow *bool) strictyaml.Field {
	return func(v strictyaml.Value) {
		if v.Kind != yaml.MappingNode {
			d.rate(rate)(v)
			return
		}
		var burst int
		d.Mapping(v, strictyaml.Fields{
			{"rate", d.rate(rate)},
			{"burst", d.Number(&burst, 1, authz.MaxRateCount)},
			{"shadow", d.Boolean(shadow)},
		})
		rate.Burst = burst
		if err := rate.Validate(); err != nil {
			d.Report(v.Line, "%s: want a rate whose burst refills within one year", v.Name)
		}
	}
}

func (d *decoder) rate(to *authz.Rate) strictyaml.Field {
	return func(v strictyaml.Value) {
		text, ok := d.ReadText(v)
		if !ok || text == "" {
			return
		}
		rate, err := authz.ParseRate(text)
		if err != nil {
			d.Refuse(v, err)
			return
		}
		*to = rate
	}
}
