package server

import (
	"os"
	"syscall"
)

// fileState tells one version of a file from another. The zero fileState is a missing file.
type fileState struct {
	modified int64 // Unix nanoseconds
	size     int64
	inode    uint64
}

// stateOf follows symlinks, so that a mounted Secret's swap is another state.
func stateOf(path string) fileState {
	info, err := os.Stat(path)
	if err != nil {
		return fileState{}
	}
	s := fileState{modified: info.ModTime().UnixNano(), size: info.Size()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = sys.Ino
	}
	return s
}
