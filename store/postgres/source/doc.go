// Package source is what the replicas of a database follow: the lines of its journal,
// snapshots of all records, and notifications of changes. It implements
// [replica.Source]. It changes nothing but what a replica reports of itself.
package source
