// Package importer reads keys and users of other systems: keys or their hashes,
// one per line or in a table of CSV, and users from an htpasswd file. It writes
// nothing, and no error repeats what the input holds.
package importer
