// Package keystore knows which keys and which users exist, and which tokens are
// revoked. It has the files that they stand in, and what a server holds of them
// in memory.
//
// A file is a journal: a header line, then one JSON object a line, of which a
// later one about the same key replaces the earlier. [Journal], [UserFile] and
// [RevocationFile] write such a file, for one command at a time and durably. [journal.Follow]
// reads it and keeps [Keys], [Users] or [Revocations] as the file says, within milliseconds.
//
// The package never stores, logs or returns the plain text of a key but the
// one time it is made, and it takes no decision: whether an expired or revoked
// key may do something is for others to say.
package keystore
