//go:build unix

package filesystem

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

const (
	// maxRemovals bounds how often the lock file may be removed while a process
	// waits for it.
	maxRemovals = 100
	// lockPoll is how often a lock is tried for if the wait has a bound.
	lockPoll = 20 * time.Millisecond
)

func (osFS) Lock(ctx context.Context, path string, like fs.FileInfo, wait time.Duration) (File, error) {
	until := time.Now().Add(wait)
	for range maxRemovals {
		f, err := openLock(path, like)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed between the two ways of opening it
		}
		if err != nil {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		if err := flock(ctx, f, wait > 0, until); err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		mine, err := f.Stat()
		named, errNamed := os.Lstat(path)
		if err == nil && errNamed == nil && os.SameFile(mine, named) {
			return f, nil
		}
		_ = f.Close() // removed during the wait: the path names another file now
	}
	return nil, fmt.Errorf("locking %s: %w: it was removed %d times meanwhile", path, ErrBadLock, maxRemovals)
}

// openLock opens the lock file or creates it. It follows no symbolic link: the
// link's maker would choose which file we create, lock and write to.
func openLock(path string, like fs.FileInfo) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = create(path, like)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
		f, err = os.OpenFile(path, os.O_RDWR|os.O_APPEND|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	}
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%w: a symbolic link", ErrBadLock)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = trusted(info, like)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// trusted returns why a file cannot be the lock of like: its owner could keep
// the lock from us, and a further name of it may be a file of another purpose.
func trusted(lock, like fs.FileInfo) error {
	if !lock.Mode().IsRegular() {
		return fmt.Errorf("%w: %w", ErrBadLock, ErrNotRegular)
	}
	is, ok := lock.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if is.Nlink > 1 {
		return fmt.Errorf("%w: a hard link", ErrBadLock)
	}
	owner, root := uint32(os.Geteuid()), os.Geteuid() == 0
	if like != nil {
		if guarded, ok := like.Sys().(*syscall.Stat_t); ok {
			owner, root = guarded.Uid, false
		}
	}
	// Where there is no file to be guarded yet, root may work in any user's stead.
	if is.Uid != owner && is.Uid != 0 && !root {
		return fmt.Errorf("%w: it belongs to user %d, not to %d or root", ErrBadLock, is.Uid, owner)
	}
	return nil
}

// flock takes the lock. If the wait is bounded, or ctx can end, it tries again
// and again; else the system wakes those who wait in turn.
func flock(ctx context.Context, f *os.File, bounded bool, until time.Time) error {
	how := syscall.LOCK_EX
	if bounded || ctx.Done() != nil {
		how |= syscall.LOCK_NB
	}
	for {
		err := syscall.Flock(int(f.Fd()), how)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR):
			continue
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return err
		case bounded && time.Now().After(until):
			return ErrBusy
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPoll):
		}
	}
}
