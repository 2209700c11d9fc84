// Package processlock says which processes that had a file open have ended.
package processlock

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Lock identifies a process to others that have the same lock file. It is a random number,
// and a lock on the byte at that offset of the file. The kernel releases the lock when the
// process ends in whatever way, and never before: a process that stands still is not taken
// for one that has ended.
type Lock struct {
	Number int64
	file   *os.File
}

// Open opens the lock file, or creates it with mode 0600, and takes the lock with the number,
// which is above zero. check returns why the file must not be used.
func Open(path string, number int64, check func(path string) error) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if err := check(path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := lockByte(f, number); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), f.Close())
	}
	return &Lock{number, f}, nil
}

// Ended reports whether the process that had this number has ended. It returns false if it
// cannot know. Zero is the number of no process.
func (l *Lock) Ended(number int64) bool {
	switch number {
	case 0:
		return true
	case l.Number:
		return false
	}
	return byteUnlocked(l.file, number)
}

// Close releases the lock.
func (l *Lock) Close() error { return l.file.Close() }
