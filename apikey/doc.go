// Package apikey defines API keys: their format and checksum, their ids, and
// the digest under a pepper by which a key is found.
//
// It never stores, logs or returns the plaintext of a key, except the one time
// that [Generate] makes it. Whether a key exists and what it may do is decided
// elsewhere.
package apikey
