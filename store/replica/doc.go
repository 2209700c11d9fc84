// Package replica keeps the local copies of the record files equal to a central journal:
// it begins with a snapshot, and appends the lines of the journal as they come. The
// followers of the files put them in force, so that a Keyward starts, restarts and checks
// without its database. Where the journal is, and how it is asked, is for a [Source].
//
// It refuses to go on behind a journal that has another history than the copies: then it
// begins again with a snapshot, in which what the copies have seen ended stays ended
// until an operator accepts what was lost. It never waits on the path of a check.
package replica
