// Package storecopy copies the records of a store with their audit log: from the files of
// a configuration to an empty database, and from a database to files that are empty or
// missing. Lines are copied as they are, under the lock of the writers, so that all that
// was reported as done before the copy is in it.
//
// It refuses a target that has anything, a local copy of a database as the source, and
// secrets that another pepper hashes. Sessions and one-time links are not copied.
package storecopy
