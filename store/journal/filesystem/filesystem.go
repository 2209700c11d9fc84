// Package filesystem is what a journal asks of a file system: how a path is resolved, how a
// file is opened, created, exchanged for another and locked. [OS] is that of the operating
// system; a test puts one in its place that fails or forgets.
//
// It refuses to follow a link that leads a write elsewhere, to open what is not a regular
// file, and to trust a lock file that another user could withhold.
package filesystem

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"time"
)

var (
	// ErrBadLock is a lock file that cannot be trusted.
	ErrBadLock = errors.New("not a lock file that can be trusted")
	// ErrBusy is a lock that another process holds.
	ErrBusy = errors.New("another process holds the lock")
	// ErrNotRegular is what is not a regular file.
	ErrNotRegular = errors.New("not a regular file")
)

// FS is a file system. Paths, but for Resolve's and Open's, are resolved: a symbolic
// link at their end is not followed.
type FS interface {
	// Resolve follows symbolic links to the end, that of a dangling one too.
	Resolve(path string) (string, error)
	Stat(path string) (fs.FileInfo, error)
	// Names returns the names in a directory.
	Names(path string) ([]string, error)
	// SameFile reports whether both describe one file, whatever its names.
	SameFile(a, b fs.FileInfo) bool
	// Open opens for reading.
	Open(path string) (File, error)
	// OpenAppend opens for reading, and for writing at the end. It waits until
	// no other has the file open in this way, if the system can tell.
	OpenAppend(path string) (File, error)
	// Create makes an empty file in place of any that stands there, with mode
	// 0600, or with the mode and owner of like where that is not nil.
	Create(path string, like fs.FileInfo) (File, error)
	// RenameNew renames a file to a path that names none; else the error is
	// fs.ErrExist.
	RenameNew(from, to string) error
	// Exchange gives each of two files the path of the other, in one step. The
	// error is errors.ErrUnsupported where the file system cannot.
	Exchange(a, b string) error
	Rename(from, to string) error
	Remove(path string) error
	// SyncDir makes the directory's entries durable.
	SyncDir(path string) error
	// Lock waits for the exclusive lock on the file at path, against all
	// processes and all other callers in this one: until ctx ends, and for wait at
	// most (then the error is ErrBusy) unless that is zero. It creates the file with
	// the mode and owner of like, which is the file to be guarded, or nil. A file that
	// cannot be trusted as the lock of like is ErrBadLock. Closing the file releases
	// the lock.
	Lock(ctx context.Context, path string, like fs.FileInfo, wait time.Duration) (File, error)
}

// File is an open file. A Write goes to the end.
type File interface {
	io.ReaderAt
	io.Writer
	io.Closer
	Stat() (fs.FileInfo, error)
	Sync() error
	Truncate(size int64) error
}
