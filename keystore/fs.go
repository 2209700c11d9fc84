package keystore

import (
	"io"
	"io/fs"
)

// FS is what the package asks of a file system. [OS] is the real one; a test
// puts one in its place that fails or forgets.
type FS interface {
	// Resolve follows symbolic links to the end, that of a dangling one too.
	Resolve(path string) (string, error)
	Stat(path string) (fs.FileInfo, error)
	// Open opens for reading.
	Open(path string) (File, error)
	// OpenAppend opens for reading, and for writing at the end.
	OpenAppend(path string) (File, error)
	// Create makes an empty file in place of any that stands there, with mode
	// 0600, or with the mode and owner of like where that is not nil.
	Create(path string, like fs.FileInfo) (File, error)
	Rename(from, to string) error
	Remove(path string) error
	// SyncFolder makes the folder's entries durable.
	SyncFolder(path string) error
	// Lock waits for the exclusive lock on path, which it creates, against all
	// processes and all other callers in this one. Closing gives it back.
	Lock(path string) (io.Closer, error)
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
