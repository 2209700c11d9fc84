package state

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// owner identifies an open DB to other processes. It is a random number, and a
// lock on the byte at that offset of the lock file. The kernel releases the lock
// when the process ends in whatever way, and never before: a process that stands
// still is not taken for one that has ended.
type owner struct {
	number int64
	file   *os.File
}

// newOwner opens the lock file, or creates it with mode 0600, and takes the lock.
func newOwner(path string, rand io.Reader) (*owner, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	o := &owner{file: f}
	if err := checkPrivate(path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if o.number, err = randomNumber(rand); err == nil {
		err = lockByte(f, o.number)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), f.Close())
	}
	return o, nil
}

// ended reports whether the process that had this number has ended. It returns
// false if it cannot know.
func (o *owner) ended(number int64) bool {
	switch number {
	case 0: // the attempt was released
		return true
	case o.number:
		return false
	}
	return byteUnlocked(o.file, number)
}

// Close releases the lock.
func (o *owner) Close() error { return o.file.Close() }
