// Package apikey is what an API key is: its format and checksum, its id, and the
// digest under a pepper by which it is found.
//
// It refuses to store, log or return the plain text of a key, except the one time
// that [Generate] makes it. Whether a key exists and may do something is not its
// question.
package apikey
