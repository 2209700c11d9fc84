// Package ratelimit counts requests: has this one asked too often? It knows
// buckets, rates and stores. Who asks, what that costs him and how it is said
// to him is not known here: no HTTP, no configuration, no credential.
//
// A bucket is GCRA's: of a Rate of 1000/h it takes 1000 requests at once and
// one more each 3.6 seconds. A request may be subject to several limits; all
// of them are tested, then all or none are charged.
//
// Memory is the store of one process, the sub-package redis the one that
// replicas share, and Fallback what goes on when that one is away.
package ratelimit
