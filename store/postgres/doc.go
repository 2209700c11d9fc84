// Package postgres is the store whose truth is a Postgres database, for many machines.
//
// A writer's transaction takes a lock before it takes a number, so that the order of
// the numbers is the order of the commits. The records, the lines of the journal, the
// entries of the audit log and the notification are one transaction.
//
// A record is kept as its line in the file format, which package store encodes and
// decodes, with columns for what lists select and order by. No check reads this
// package: each Keyward copies the journal into its files and checks by these.
package postgres
