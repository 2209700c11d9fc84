// Package state stores what the managing half must remember and what is not a
// record: console sessions, one-time codes, and which requests with an
// Idempotency-Key were done. It decides nothing about permission: its caller
// compares a session with the user's current record, and knows whether a code
// may still be used for its purpose.
//
// No secret is stored. Session cookies and codes have 256 random bits, so their
// SHA-256 is looked up and never compared. Nothing that a client without
// credentials does adds a row.
//
// The storage is one SQLite file in WAL mode, which several processes of one
// machine may have open. It does not work on a network file system.
//
// A storage for several machines implements the methods of Sessions, Codes and
// Idempotency with the same guarantees: a code is consumed exactly once, an
// idempotency key starts one attempt at a time, what is reported as ended stays
// ended after a power cut, and an attempt is taken over only after the process
// that made it has ended. Only the last needs another mechanism there than the
// lock of owner_linux.go.
package state
