package replica

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

var errPower = errors.New("power is cut")

// disk is a file system in memory that forgets at a power cut what was not synced: the
// content of files, and the names in the one directory.
type disk struct {
	mu    sync.Mutex
	names map[string]*inode // as programs see them
	kept  map[string]*inode // as of the last SyncDir
	left  int               // calls until the power is cut; negative: it stays

	changed func(path string) // called after a file's content or name has changed
}

type inode struct{ data, kept []byte }

func newDisk() *disk {
	return &disk{names: map[string]*inode{}, kept: map[string]*inode{}, left: -1, changed: func(string) {}}
}

// restart returns what a cut leaves. A lucky one leaves the names as they were, and some
// of what was appended.
func (d *disk) restart(lucky bool, rnd *rand.Rand) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	next, from := newDisk(), d.kept
	if lucky {
		from = d.names
	}
	for name, n := range from {
		data := slices.Clone(n.kept)
		if more := len(n.data) - len(n.kept); lucky && more > 0 && string(n.data[:len(n.kept)]) == string(n.kept) {
			data = append(data, n.data[len(n.kept):][:rnd.IntN(more+1)]...)
		}
		next.names[name] = &inode{data, slices.Clone(data)}
	}
	next.kept = maps.Clone(next.names)
	return next
}

// failAfter has the power be cut after that many calls.
func (d *disk) failAfter(calls int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = calls
}

// failing reports whether the power is cut, or is going to be.
func (d *disk) failing() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left >= 0
}

// do makes a call, unless the power is cut.
func (d *disk) do(call func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left == 0 {
		return errPower
	}
	if d.left > 0 {
		d.left--
	}
	return call()
}

// read returns a file's content as programs see it, and what identifies the file.
func (d *disk) read(path string) ([]byte, *inode) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.names[path]
	if n == nil {
		return nil, nil
	}
	return slices.Clone(n.data), n
}

func (d *disk) open(path string, make bool) (filesystem.File, error) {
	f := &diskFile{disk: d, path: path}
	err := d.do(func() error {
		if f.inode = d.names[path]; f.inode == nil && !make {
			return fs.ErrNotExist
		}
		return nil
	})
	return f, err
}

func (d *disk) Resolve(path string) (string, error) {
	return path, d.do(func() error { return nil })
}

func (d *disk) Stat(path string) (info fs.FileInfo, err error) {
	err = d.do(func() error {
		n := d.names[path]
		if n == nil {
			return fs.ErrNotExist
		}
		info = diskInfo{path, n, int64(len(n.data))}
		return nil
	})
	return info, err
}

func (d *disk) Names(dir string) (names []string, err error) {
	err = d.do(func() error {
		for name := range d.names {
			names = append(names, strings.TrimPrefix(name, dir+"/"))
		}
		return nil
	})
	return names, err
}

func (d *disk) SameFile(a, b fs.FileInfo) bool {
	return a.(diskInfo).inode == b.(diskInfo).inode
}
func (d *disk) Open(path string) (filesystem.File, error)       { return d.open(path, false) }
func (d *disk) OpenAppend(path string) (filesystem.File, error) { return d.open(path, false) }

func (d *disk) Create(path string, _ fs.FileInfo) (filesystem.File, error) {
	n := &inode{}
	return &diskFile{d, path, n}, d.do(func() error { d.names[path] = n; return nil })
}

func (d *disk) move(from, to string, check func() error) error {
	defer d.changed(to)
	return d.do(func() error {
		if err := check(); err != nil {
			return err
		}
		d.names[to] = d.names[from]
		delete(d.names, from)
		return nil
	})
}

func (d *disk) Rename(from, to string) error {
	return d.move(from, to, func() error { return nil })
}

func (d *disk) RenameNew(from, to string) error {
	return d.move(from, to, func() error {
		if d.names[to] != nil {
			return fs.ErrExist
		}
		return nil
	})
}

func (d *disk) Exchange(a, b string) error {
	defer d.changed(b)
	return d.do(func() error {
		if d.names[a] == nil || d.names[b] == nil {
			return fs.ErrNotExist
		}
		d.names[a], d.names[b] = d.names[b], d.names[a]
		return nil
	})
}

func (d *disk) Remove(path string) error {
	return d.do(func() error { delete(d.names, path); return nil })
}

func (d *disk) SyncDir(string) error {
	return d.do(func() error { d.kept = maps.Clone(d.names); return nil })
}

// Lock hands out each lock at once: a test starts one Puller per disk.
func (d *disk) Lock(_ context.Context, path string, _ fs.FileInfo, _ time.Duration) (filesystem.File, error) {
	f := &diskFile{disk: d, path: path}
	return f, d.do(func() error {
		if f.inode = d.names[path]; f.inode == nil {
			f.inode = &inode{}
			d.names[path] = f.inode
		}
		return nil
	})
}

type diskFile struct {
	disk  *disk
	path  string
	inode *inode
}

func (f *diskFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.disk.do(func() error {
		if off < int64(len(f.inode.data)) {
			n = copy(p, f.inode.data[off:])
		}
		if n < len(p) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

func (f *diskFile) Write(p []byte) (int, error) {
	err := f.disk.do(func() error { f.inode.data = append(f.inode.data, p...); return nil })
	f.disk.changed(f.path)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *diskFile) Stat() (info fs.FileInfo, err error) {
	err = f.disk.do(func() error {
		info = diskInfo{f.path, f.inode, int64(len(f.inode.data))}
		return nil
	})
	return info, err
}

func (f *diskFile) Sync() error {
	return f.disk.do(func() error { f.inode.kept = slices.Clone(f.inode.data); return nil })
}

func (f *diskFile) Truncate(size int64) error {
	return f.disk.do(func() error { f.inode.data = slices.Clone(f.inode.data[:size]); return nil })
}

func (f *diskFile) Close() error { return f.disk.do(func() error { return nil }) }

type diskInfo struct {
	path  string
	inode *inode
	size  int64
}

func (i diskInfo) Name() string     { return filepath.Base(i.path) }
func (i diskInfo) Size() int64      { return i.size }
func (diskInfo) Mode() fs.FileMode  { return 0o600 }
func (diskInfo) ModTime() time.Time { return time.Time{} }
func (diskInfo) IsDir() bool        { return false }
func (diskInfo) Sys() any           { return nil }
