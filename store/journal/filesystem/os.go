//go:build unix

package filesystem

import (
	"errors"
	"fmt"
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
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return "", err
		}
		path = filepath.Join(dir, filepath.Base(path))
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
			target = filepath.Join(dir, target)
		}
		path = target
	}
	return "", &fs.PathError{Op: "resolve", Path: path, Err: syscall.ELOOP}
}

func (osFS) Stat(path string) (fs.FileInfo, error) { return os.Lstat(path) }
func (osFS) SameFile(a, b fs.FileInfo) bool        { return os.SameFile(a, b) }
func (osFS) Rename(from, to string) error          { return os.Rename(from, to) }
func (osFS) Remove(path string) error              { return os.Remove(path) }

// Open does not wait for a writer where the path is a named pipe.
func (osFS) Open(path string) (File, error) {
	f, err := regular(os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0))
	if err != nil {
		return nil, err // and no File around a nil pointer
	}
	return f, nil
}

func (osFS) OpenAppend(path string) (File, error) {
	f, err := regular(os.OpenFile(path, os.O_RDWR|os.O_APPEND|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0))
	if err != nil {
		return nil, err
	}
	if err := guard(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// regular refuses anything but a regular file.
func regular(f *os.File, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: f.Name(), Err: ErrNotRegular}
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
	f, err := create(path, like)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// create makes a file where there is none, with the mode and owner of like.
func create(path string, like fs.FileInfo) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if like != nil {
		if err := copyOwnerAndMode(f, like); err != nil {
			return nil, errors.Join(err, f.Close(), os.Remove(path))
		}
	}
	return f, nil
}

// copyOwnerAndMode gives f the owner and mode of another file, so that a server that
// could read the old one can read the new one.
func copyOwnerAndMode(f *os.File, like fs.FileInfo) error {
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

func (osFS) Names(path string) ([]string, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	return names, errors.Join(err, dir.Close())
}

func (osFS) SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// linkNew is RenameNew where the system has no rename that spares what is there.
// Where it has no second names either, a plain rename is all that is left.
func linkNew(from, to string) error {
	err := os.Link(from, to)
	switch {
	case err == nil:
		_ = os.Remove(from) // a second name of the file, which the next Create takes away
		return nil
	case errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist):
		return err
	default:
		return os.Rename(from, to)
	}
}
