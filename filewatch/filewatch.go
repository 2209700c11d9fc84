// Package filewatch detects that a file has changed by polling its metadata. It
// reads no file, starts no goroutine, and works on every file system.
package filewatch

import (
	"os"
	"syscall"
)

// State tells one version of a file from another. The zero State is a missing file.
type State struct {
	modified int64 // Unix nanoseconds
	size     int64
	inode    uint64
}

// StateOf returns the state of the file. It follows symlinks, so that the swap of
// a mounted Secret is another state.
func StateOf(path string) State {
	info, err := os.Stat(path)
	if err != nil {
		return State{}
	}
	s := State{modified: info.ModTime().UnixNano(), size: info.Size()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = sys.Ino
	}
	return s
}

// Debounced reports a change of a file once the file is no longer being written:
// two polls in a row have to find the same new state. Half of a configuration can
// be a valid one that denies less. It is not safe for concurrent use.
type Debounced struct {
	path   string
	loaded State // before the file was last loaded
	polled State
}

// NewDebounced watches the file from now on. The path "" never changes.
func NewDebounced(path string) *Debounced {
	d := &Debounced{path: path}
	d.Loading()
	return d
}

// Loading takes the state as the one that the caller is about to load. Called
// before the file is read: a change during the read is then one of later.
func (d *Debounced) Loading() { d.loaded = StateOf(d.path) }

// Changed polls the file and reports whether there is a version of it to load.
func (d *Debounced) Changed() bool {
	before := d.polled
	d.polled = StateOf(d.path)
	return d.path != "" && d.polled != d.loaded && d.polled == before && d.polled != (State{})
}
