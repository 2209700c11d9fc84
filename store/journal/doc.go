// Package journal is an append-only file that several processes write and that
// others may replace: the transaction that is bound to the file and the lock that
// the path names, its lines, and the [Follower] that reads them while they are
// appended. It knows nothing of what the lines mean: its header check and what the
// lines are read into are handed to it.
//
// It refuses to report a write as done that the named file does not have, to
// replace a file that it has not read, and to take an emptied file for a new one.
package journal
