// Package pgkeys keeps signing keys in the Postgres database that several machines share.
// Private keys are encrypted under a secret that the database does not have: neither a
// dump nor a login to the database is enough to sign tokens.
package pgkeys
