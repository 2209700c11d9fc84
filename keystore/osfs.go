//go:build unix

package keystore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// OS is the operating system's file system.
func OS() FS { return osFS{} }

type osFS struct{}

const maxLinks = 40 // as the kernel has it

func (osFS) Resolve(path string) (string, error) {
	for range maxLinks {
		folder, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return "", err
		}
		path = filepath.Join(folder, filepath.Base(path))
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode()&fs.ModeSymlink == 0 {
			return path, nil
		}
		if err != nil {
			return "", err
		}
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(folder, target)
		}
		path = target
	}
	return "", &fs.PathError{Op: "resolve", Path: path, Err: syscall.ELOOP}
}

func (osFS) Stat(path string) (fs.FileInfo, error) { return os.Stat(path) }
func (osFS) Rename(from, to string) error          { return os.Rename(from, to) }
func (osFS) Remove(path string) error              { return os.Remove(path) }

// Open does not wait for a writer where the path is a named pipe.
func (osFS) Open(path string) (File, error) {
	return opened(os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0))
}

func (osFS) OpenAppend(path string) (File, error) {
	return opened(os.OpenFile(path, os.O_RDWR|os.O_APPEND|syscall.O_NONBLOCK, 0))
}

// opened refuses what is no regular file, and keeps a nil *os.File from
// becoming a File that is not nil.
func opened(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: f.Name(), Err: errors.New("not a regular file")}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func (osFS) Create(path string, like fs.FileInfo) (File, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if like != nil {
		if err := resemble(f, like); err != nil {
			return nil, errors.Join(err, f.Close(), os.Remove(path))
		}
	}
	return f, nil
}

// resemble gives f the owner and mode of another file, so that a server that
// could read the old one can read the new one.
func resemble(f *os.File, like fs.FileInfo) error {
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	old, okOld := like.Sys().(*syscall.Stat_t)
	now, okNow := mine.Sys().(*syscall.Stat_t)
	if okOld && okNow && (old.Uid != now.Uid || old.Gid != now.Gid) {
		if err := f.Chown(int(old.Uid), int(old.Gid)); err != nil {
			return fmt.Errorf("keeping the file's owner: %w", err)
		}
	}
	return f.Chmod(like.Mode().Perm())
}

func (osFS) SyncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func (osFS) Lock(path string) (io.Closer, error) {
	for {
		f, err := lockOnce(path)
		if err != nil {
			return nil, err
		}
		mine, err := f.Stat()
		named, errNamed := os.Lstat(path)
		if err == nil && errNamed == nil && os.SameFile(mine, named) {
			return f, nil
		}
		_ = f.Close() // removed while we waited: another has, or will make, the one that counts
	}
}

func lockOnce(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return f, nil
}
