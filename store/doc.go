// Package store has the records of keys, users, projects and revocations, the lines that they
// are written as, and the interfaces that a store implements: readers and editors, and
// the [Feed] that keeps a [Sink] up to date. The file store is keyward/store/filestore;
// keyward/store/storetest is the suite that every store passes.
//
// The package opens no file and no connection. It never has the plain text of a
// key but the one time it is made, and it takes no decision: whether an expired
// or revoked key may do something is for others to say.
package store
