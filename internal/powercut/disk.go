// Package powercut is a file system in memory whose power a test cuts at any call.
package powercut

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"keyward/store/journal/filesystem"
)

// ErrPower is what each call returns after the power was cut.
var ErrPower = errors.New("power is cut")

// Disk is a [filesystem.FS] in memory that forgets at a power cut what was not synced: the
// content of files, and the names in the one directory.
type Disk struct {
	mu    sync.Mutex
	Files map[string]*Inode // by their names, as programs see them
	kept  map[string]*Inode // as of the last SyncDir
	left  int               // calls until the power is cut; negative: it stays

	Changed func(path string) // called after a file's content or name has changed
}

// Inode is a file, with what it has and what a cut leaves of that.
type Inode struct{ Data, Kept []byte }

// New returns an empty disk.
func New() *Disk {
	return &Disk{Files: map[string]*Inode{}, kept: map[string]*Inode{}, left: -1, Changed: func(string) {}}
}

// Restart returns what a cut leaves. A lucky one leaves the names as they were, and some
// of what was appended.
func (d *Disk) Restart(lucky bool, rnd *rand.Rand) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	next, from := New(), d.kept
	if lucky {
		from = d.Files
	}
	for name, n := range from {
		data := slices.Clone(n.Kept)
		if more := len(n.Data) - len(n.Kept); lucky && more > 0 && string(n.Data[:len(n.Kept)]) == string(n.Kept) {
			data = append(data, n.Data[len(n.Kept):][:rnd.IntN(more+1)]...)
		}
		next.Files[name] = &Inode{data, slices.Clone(data)}
	}
	next.kept = maps.Clone(next.Files)
	return next
}

// FailAfter has the power be cut after that many calls.
func (d *Disk) FailAfter(calls int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = calls
}

// Failing reports whether the power is cut, or is going to be.
func (d *Disk) Failing() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left >= 0
}

// Cut reports whether the power is cut.
func (d *Disk) Cut() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left == 0
}

// do makes a call, unless the power is cut.
func (d *Disk) do(call func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left == 0 {
		return ErrPower
	}
	if d.left > 0 {
		d.left--
	}
	return call()
}

// Read returns a file's content as programs see it, and what identifies the file.
func (d *Disk) Read(path string) ([]byte, *Inode) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.Files[path]
	if n == nil {
		return nil, nil
	}
	return slices.Clone(n.Data), n
}

func (d *Disk) open(path string, make bool) (filesystem.File, error) {
	f := &diskFile{disk: d, path: path}
	err := d.do(func() error {
		if f.inode = d.Files[path]; f.inode == nil && !make {
			return fs.ErrNotExist
		}
		return nil
	})
	return f, err
}

// Resolve implements filesystem.FS.
func (d *Disk) Resolve(path string) (string, error) {
	return path, d.do(func() error { return nil })
}

// Stat implements filesystem.FS.
func (d *Disk) Stat(path string) (info fs.FileInfo, err error) {
	err = d.do(func() error {
		n := d.Files[path]
		if n == nil {
			return fs.ErrNotExist
		}
		info = diskInfo{path, n, int64(len(n.Data))}
		return nil
	})
	return info, err
}

// Names implements filesystem.FS.
func (d *Disk) Names(dir string) (names []string, err error) {
	err = d.do(func() error {
		for name := range d.Files {
			names = append(names, strings.TrimPrefix(name, dir+"/"))
		}
		return nil
	})
	return names, err
}

// SameFile implements filesystem.FS.
func (d *Disk) SameFile(a, b fs.FileInfo) bool {
	return a.(diskInfo).inode == b.(diskInfo).inode
}

// Open implements filesystem.FS.
func (d *Disk) Open(path string) (filesystem.File, error) { return d.open(path, false) }

// OpenAppend implements filesystem.FS.
func (d *Disk) OpenAppend(path string) (filesystem.File, error) { return d.open(path, false) }

// Create implements filesystem.FS.
func (d *Disk) Create(path string, _ fs.FileInfo) (filesystem.File, error) {
	n := &Inode{}
	return &diskFile{d, path, n}, d.do(func() error { d.Files[path] = n; return nil })
}

func (d *Disk) move(from, to string, check func() error) error {
	defer d.Changed(to)
	return d.do(func() error {
		if err := check(); err != nil {
			return err
		}
		d.Files[to] = d.Files[from]
		delete(d.Files, from)
		return nil
	})
}

// Rename implements filesystem.FS.
func (d *Disk) Rename(from, to string) error {
	return d.move(from, to, func() error { return nil })
}

// RenameNew implements filesystem.FS.
func (d *Disk) RenameNew(from, to string) error {
	return d.move(from, to, func() error {
		if d.Files[to] != nil {
			return fs.ErrExist
		}
		return nil
	})
}

// Exchange implements filesystem.FS.
func (d *Disk) Exchange(a, b string) error {
	defer d.Changed(b)
	return d.do(func() error {
		if d.Files[a] == nil || d.Files[b] == nil {
			return fs.ErrNotExist
		}
		d.Files[a], d.Files[b] = d.Files[b], d.Files[a]
		return nil
	})
}

// Remove implements filesystem.FS.
func (d *Disk) Remove(path string) error {
	return d.do(func() error { delete(d.Files, path); return nil })
}

// SyncDir implements filesystem.FS.
func (d *Disk) SyncDir(string) error {
	return d.do(func() error { d.kept = maps.Clone(d.Files); return nil })
}

// Lock implements filesystem.FS. It hands out each lock at once: a disk has one user.
func (d *Disk) Lock(_ context.Context, path string, _ fs.FileInfo, _ time.Duration) (filesystem.File, error) {
	f := &diskFile{disk: d, path: path}
	return f, d.do(func() error {
		if f.inode = d.Files[path]; f.inode == nil {
			f.inode = &Inode{}
			d.Files[path] = f.inode
		}
		return nil
	})
}

type diskFile struct {
	disk  *Disk
	path  string
	inode *Inode
}

func (f *diskFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.disk.do(func() error {
		if off < int64(len(f.inode.Data)) {
			n = copy(p, f.inode.Data[off:])
		}
		if n < len(p) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

func (f *diskFile) Write(p []byte) (int, error) {
	err := f.disk.do(func() error { f.inode.Data = append(f.inode.Data, p...); return nil })
	f.disk.Changed(f.path)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *diskFile) Stat() (info fs.FileInfo, err error) {
	err = f.disk.do(func() error {
		info = diskInfo{f.path, f.inode, int64(len(f.inode.Data))}
		return nil
	})
	return info, err
}

func (f *diskFile) Sync() error {
	return f.disk.do(func() error { f.inode.Kept = slices.Clone(f.inode.Data); return nil })
}

func (f *diskFile) Truncate(size int64) error {
	return f.disk.do(func() error { f.inode.Data = slices.Clone(f.inode.Data[:size]); return nil })
}

func (f *diskFile) Close() error { return f.disk.do(func() error { return nil }) }

type diskInfo struct {
	path  string
	inode *Inode
	size  int64
}

func (i diskInfo) Name() string     { return filepath.Base(i.path) }
func (i diskInfo) Size() int64      { return i.size }
func (diskInfo) Mode() fs.FileMode  { return 0o600 }
func (diskInfo) ModTime() time.Time { return time.Time{} }
func (diskInfo) IsDir() bool        { return false }
func (diskInfo) Sys() any           { return nil }
