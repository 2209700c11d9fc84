// Package filestore keeps the records of a store in files. Each file is a journal:
// a header line, then one JSON object per line, of which a later one about the
// same key or user replaces the earlier. Lines that newer versions wrote are read, or
// end what they are about: see docs/commands.md, "The format". [KeyFile], [UserFile] and
// [RevocationFile] write such a file, for one command at a time and durably.
// [KeyFeed], [UserFeed] and [RevocationFeed] read it and keep a sink as the file
// says, within milliseconds.
//
// The package never stores, logs or returns the plain text of a key but the one
// time it is made.
package filestore
