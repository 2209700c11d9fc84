// Package recordline reads and writes the lines of records, whatever the records are:
// which members a line has, those that this version does not know, which are kept, and
// the lines of newer versions, of which only what ends a record is read.
//
// It knows no kind of record and opens no file: package store has the kinds.
package recordline
