// Package central is the store of all machines as one Keyward uses it: the database, the
// puller that copies the records into local files, and how old these copies are. No check
// waits for it. It opens no connection before it must: a Keyward starts without its
// database.
package central
