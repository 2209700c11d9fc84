// Package state stores what the managing half must remember and what is not a
// record: console sessions, one-time codes, which requests with an
// Idempotency-Key were done, and what logins were granted with their refresh tokens. It decides nothing about permission: its caller
// compares a session with the user's current record, and knows whether a code
// may still be used for its purpose.
//
// No secret is stored. Session cookies, codes and refresh tokens have 256 random bits, so their
// SHA-256 is looked up and never compared. Nothing that a client without
// credentials does adds a row.
//
// The storage is one SQLite file in WAL mode, which several processes of one
// machine may have open, but not one on a network file system; or, for several
// machines, the Postgres database that has their records. Both give the same
// guarantees: a code is consumed at most once, an idempotency key starts one attempt
// at a time, and what is reported as ended stays ended after a power cut.
//
// They differ in when an attempt is taken over whose process did not end it. In a
// file, when that process has ended, which the lock of owner_linux.go shows. In
// Postgres, a minute after the attempt began: see the type postgres, which also says
// what an attempt of a program must not rely on that stands still for so long.
package state
