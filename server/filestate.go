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

// settling tells when a file has changed and is no longer being written: two
// looks in a row see the same new state. Half of a configuration can be a valid
// one that denies less.
type settling struct {
	path string
	last fileState
}

func newSettling(path string) *settling { return &settling{path: path} }

// changedFrom is asked now and then, and compares with the state in force.
func (s *settling) changedFrom(seen fileState) bool {
	before := s.last
	s.last = stateOf(s.path)
	return s.path != "" && s.last != seen && s.last == before && s.last != (fileState{})
}
