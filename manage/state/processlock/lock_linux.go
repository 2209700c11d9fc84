package processlock

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// The locks are those of an open file description: another descriptor of the
// same process neither shares one nor releases it.

// lockByte takes the lock on a byte of the file.
func lockByte(f *os.File, offset int64) error {
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, byteLock(offset))
}

// byteUnlocked reports whether no other descriptor has a lock on the byte.
func byteUnlocked(f *os.File, offset int64) bool {
	lock := byteLock(offset)
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, lock)
	return err == nil && lock.Type == unix.F_UNLCK
}

func byteLock(offset int64) *unix.Flock_t {
	return &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: offset, Len: 1}
}
