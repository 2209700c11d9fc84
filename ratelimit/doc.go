// Package ratelimit limits how often requests are made. It knows buckets, rates
// and stores. It knows no HTTP, configuration or credentials: its callers
// decide who is counted under which limit, and how a refusal is reported.
//
// A bucket follows GCRA: with a Rate of 1000/h it allows 1000 requests at once,
// and one more every 3.6 seconds. A request may be subject to several limits.
// All of them are tested, then all or none are charged.
//
// Memory is the store of one process. The subpackage redis is the store that
// replicas share. Package failover decides what
// happens while that is unavailable.
package ratelimit
