// Package usagetable keeps the usage of keys in the Postgres database that several
// machines share. Each replica has a row per key that it has seen, which it alone
// writes; the use of a key is the sum of its rows. So replicas never wait for each
// other, and none changes what another has recorded.
//
// It is never on the path of a check: a [Table] is what a [usage.Tracker] flushes to. As
// in a file, usage is not evidence: a crash of the database may lose the flushes of its
// last second. Usage of deleted keys stays.
package usagetable
