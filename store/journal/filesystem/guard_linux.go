package filesystem

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// guard waits for a lock on the file itself, beside that on its lock file.
// Where a lock file is removed there are two of them, and two writers; this
// lock keeps those apart. It is one of the open file, which closing releases,
// and of another kind than flock's, which others may hold while they call us.
func guard(f *os.File) error {
	entire := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	for {
		err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLKW, &entire)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
			return nil // a file system without such locks: the lock file is all there is
		default:
			return err
		}
	}
}
