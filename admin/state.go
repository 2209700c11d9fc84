package admin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// CacheState is the state of one cache.
type CacheState struct {
	Name         string // key, password, token or negative
	Hits, Misses uint64
	Entries      int
}

// KeyCounts is the number of keys in each state. Each key counts once, in the last of
// the states that it is in. Rotating keys have an earlier secret in its grace, expiring
// ones expire within 14 days.
type KeyCounts struct{ Active, Rotating, Expiring, NotYetValid, Paused, Expired, Revoked int }

// LimitState is the state of the rate limits.
type LimitState struct {
	Buckets int    // in memory
	Evicted uint64 // because max_buckets was reached
	// State of a shared store: whether it is unavailable now, how many requests
	// it did not answer, and how many were decided without it.
	StoreUnavailable              bool
	StoreFailures, LocalDecisions uint64
}

// SignatureState is the state of the verification of tokens' signatures.
type SignatureState struct {
	InFlight int
	Refused  uint64 // tokens that were not verified, because there were too many or their client had failed too often
}

// StoreState is how the copies of the central store are.
type StoreState struct {
	Up      bool              // the store answered when it was last asked
	Contact time.Time         // when it was last read; zero: never
	Applied int64             // the number of the last change that is in the copies
	Resyncs map[string]uint64 // by reason, how often all copies were begun again
}

// State is the part of the running server's state that can be queried at any
// time.
type State interface {
	Caches() []CacheState
	Keys() KeyCounts
	PasswordHashes() int // being computed
	Signatures() SignatureState
	Limits() LimitState
	// Sessions returns the number of sessions of the console; false if it is not known.
	Sessions() (n int, known bool)
	// CentralStore returns nil without one.
	CentralStore() *StoreState
	Ready() error // why the server cannot decide requests now, nil if it can
}

// stateCollector queries the state when it is scraped, so that the hot path
// need not count anything twice.
type stateCollector struct {
	state                       State
	hits, misses, entries, keys *prometheus.Desc
	hashes, ready               *prometheus.Desc
	verifying, unverified       *prometheus.Desc
	sessions                    *prometheus.Desc

	buckets, evicted, storeUp, storeFailures, localDecisions *prometheus.Desc

	centralUp, centralContact, centralApplied, centralResyncs *prometheus.Desc
}

// CollectState registers the metrics that are read from the server's state.
func CollectState(registry prometheus.Registerer, state State) error {
	desc := func(name, help, label string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{label}, nil)
	}
	unlabelled := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return registry.Register(&stateCollector{
		state:      state,
		hits:       desc("keyward_cache_hits_total", "Lookups that found an entry.", "cache"),
		misses:     desc("keyward_cache_misses_total", "Lookups that found no entry, or an expired one.", "cache"),
		entries:    desc("keyward_cache_entries", "Entries in the cache.", "cache"),
		keys:       desc("keyward_keys", "API keys by state; those in state expiring expire within 14 days, those in state rotating have an earlier secret in its grace.", "state"),
		hashes:     unlabelled("keyward_password_hashes_in_flight", "Password hashes being computed."),
		verifying:  unlabelled("keyward_signature_verifications_in_flight", "Signatures of tokens being verified."),
		unverified: unlabelled("keyward_signature_verifications_refused_total", "Tokens refused without verifying their signature, because there were too many forged ones."),
		sessions:   unlabelled("keyward_sessions", "Sessions of the console that have not expired."),
		ready:      unlabelled("keyward_ready", "1 while the server is ready, as /readyz reports; 0 while it denies all requests or shuts down."),

		buckets:        unlabelled("keyward_rate_limit_buckets", "Rate-limit buckets in memory."),
		evicted:        unlabelled("keyward_rate_limit_evictions_total", "Buckets evicted because rate_limits.max_buckets was reached."),
		storeUp:        unlabelled("keyward_rate_limit_store_up", "1 while the store of the rate limits answers; 0 while rate_limits.on_store_failure applies. The memory store always answers."),
		storeFailures:  unlabelled("keyward_rate_limit_store_failures_total", "Requests to the shared store that failed."),
		localDecisions: unlabelled("keyward_rate_limit_local_decisions_total", "Requests that a replica decided locally, without the shared store."),

		centralUp:      unlabelled("keyward_store_up", "1 while the central store answers; 0 while its copies are used without it."),
		centralContact: unlabelled("keyward_store_last_contact_timestamp_seconds", "Unix time at which the central store was last read; 0 before the first time."),
		centralApplied: unlabelled("keyward_store_applied_seq", "Number of the last change of the central store that is in the copies."),
		centralResyncs: desc("keyward_store_resyncs_total", "How often the copies of the central store began again with a snapshot: at the start without copies, after a gap in the journal, since the store has another history, since this version keeps more.", "reason"),
	})
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.hits, c.misses, c.entries, c.keys, c.hashes, c.verifying, c.unverified, c.sessions, c.ready, c.buckets, c.evicted, c.storeUp, c.storeFailures, c.localDecisions,
		c.centralUp, c.centralContact, c.centralApplied, c.centralResyncs} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(out chan<- prometheus.Metric) {
	for _, cache := range c.state.Caches() {
		out <- prometheus.MustNewConstMetric(c.hits, prometheus.CounterValue, float64(cache.Hits), cache.Name)
		out <- prometheus.MustNewConstMetric(c.misses, prometheus.CounterValue, float64(cache.Misses), cache.Name)
		out <- prometheus.MustNewConstMetric(c.entries, prometheus.GaugeValue, float64(cache.Entries), cache.Name)
	}
	out <- prometheus.MustNewConstMetric(c.hashes, prometheus.GaugeValue, float64(c.state.PasswordHashes()))
	signatures := c.state.Signatures()
	out <- prometheus.MustNewConstMetric(c.verifying, prometheus.GaugeValue, float64(signatures.InFlight))
	out <- prometheus.MustNewConstMetric(c.unverified, prometheus.CounterValue, float64(signatures.Refused))
	out <- prometheus.MustNewConstMetric(c.ready, prometheus.GaugeValue, boolToFloat(c.state.Ready() == nil))
	if n, known := c.state.Sessions(); known {
		out <- prometheus.MustNewConstMetric(c.sessions, prometheus.GaugeValue, float64(n))
	}
	limits := c.state.Limits()
	out <- prometheus.MustNewConstMetric(c.buckets, prometheus.GaugeValue, float64(limits.Buckets))
	out <- prometheus.MustNewConstMetric(c.evicted, prometheus.CounterValue, float64(limits.Evicted))
	out <- prometheus.MustNewConstMetric(c.storeUp, prometheus.GaugeValue, boolToFloat(!limits.StoreUnavailable))
	out <- prometheus.MustNewConstMetric(c.storeFailures, prometheus.CounterValue, float64(limits.StoreFailures))
	out <- prometheus.MustNewConstMetric(c.localDecisions, prometheus.CounterValue, float64(limits.LocalDecisions))
	c.collectStore(out)
	keys := c.state.Keys()
	for state, n := range map[string]int{
		"active": keys.Active, "rotating": keys.Rotating, "expiring": keys.Expiring, "not_yet_valid": keys.NotYetValid,
		"paused": keys.Paused, "expired": keys.Expired, "revoked": keys.Revoked,
	} {
		out <- prometheus.MustNewConstMetric(c.keys, prometheus.GaugeValue, float64(n), state)
	}
}

// collectStore is the part of Collect that is about the central store.
func (c *stateCollector) collectStore(out chan<- prometheus.Metric) {
	s := c.state.CentralStore()
	if s == nil {
		return
	}
	contact := 0.0
	if !s.Contact.IsZero() {
		contact = float64(s.Contact.UnixMilli()) / 1000
	}
	out <- prometheus.MustNewConstMetric(c.centralUp, prometheus.GaugeValue, boolToFloat(s.Up))
	out <- prometheus.MustNewConstMetric(c.centralContact, prometheus.GaugeValue, contact)
	out <- prometheus.MustNewConstMetric(c.centralApplied, prometheus.GaugeValue, float64(s.Applied))
	for reason, n := range s.Resyncs {
		out <- prometheus.MustNewConstMetric(c.centralResyncs, prometheus.CounterValue, float64(n), reason)
	}
}

func boolToFloat(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
