package filestore

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"keyward/store/journal/filesystem"
)

// memFS is a file system that forgets. It keeps apart what a program sees and
// what a power cut leaves: of a file what was there at its last Sync, of a
// directory what was there at its last SyncDir. It counts its calls, and fails
// one of them or, after a cut, all that follow.
type memFS struct {
	mu      sync.Mutex
	entries map[string]*memNode // as seen
	durable map[string]*memNode // as of the folder's last sync
	calls   int
	failAt  int   // the call to fail, 0 for none
	fault   error // what it fails with
	short   bool  // a failing Write writes half
	cutAt   int   // the last call to work, 0 for no cut
}

type memNode struct {
	data, synced []byte
	lock         sync.Mutex
}

var errCut = errors.New("power is cut")

func newMemFS() *memFS {
	return &memFS{entries: map[string]*memNode{}, durable: map[string]*memNode{}}
}

// clone is the same file system with nothing unsynced and no fault set.
func (m *memFS) clone() *memFS {
	c := newMemFS()
	for name, n := range m.entries {
		node := &memNode{data: append([]byte(nil), n.data...), synced: append([]byte(nil), n.data...)}
		c.entries[name], c.durable[name] = node, node
	}
	return c
}

// afterCut is what a power cut leaves. A kind one keeps the folder's newest
// entries without a call for it, and of appended bytes as many as it likes.
func (m *memFS) afterCut(kind bool, rnd *rand.Rand) *memFS {
	c := newMemFS()
	from := m.durable
	if kind {
		from = m.entries
	}
	for name, n := range from {
		data := append([]byte(nil), n.synced...)
		if kind && len(n.data) > len(n.synced) && string(n.data[:len(n.synced)]) == string(n.synced) {
			data = append(data, n.data[len(n.synced):][:rnd.IntN(len(n.data)-len(n.synced)+1)]...)
		}
		node := &memNode{data: data, synced: append([]byte(nil), data...)}
		c.entries[name], c.durable[name] = node, node
	}
	return c
}

// step counts a call and reports whether it is to fail.
func (m *memFS) step() error {
	m.calls++
	if m.cutAt > 0 && m.calls > m.cutAt {
		return errCut
	}
	if m.calls == m.failAt {
		return m.fault
	}
	return nil
}

func (m *memFS) Resolve(path string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return path, m.step()
}

func (m *memFS) Stat(path string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step(); err != nil {
		return nil, err
	}
	n := m.entries[path]
	if n == nil {
		return nil, fs.ErrNotExist
	}
	return memInfo{path, n, int64(len(n.data))}, nil
}

func (m *memFS) Open(path string) (filesystem.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step(); err != nil {
		return nil, err
	}
	n := m.entries[path]
	if n == nil {
		return nil, fs.ErrNotExist
	}
	return &memFile{m, path, n}, nil
}

func (m *memFS) OpenAppend(path string) (filesystem.File, error) { return m.Open(path) }

func (m *memFS) Create(path string, _ fs.FileInfo) (filesystem.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step(); err != nil {
		return nil, err
	}
	n := &memNode{}
	m.entries[path] = n
	return &memFile{m, path, n}, nil
}

func (m *memFS) SameFile(a, b fs.FileInfo) bool { return a.(memInfo).node == b.(memInfo).node }

func (m *memFS) RenameNew(from, to string) error {
	m.mu.Lock()
	_, taken := m.entries[to]
	m.mu.Unlock()
	if taken {
		return fs.ErrExist
	}
	return m.Rename(from, to)
}

func (m *memFS) Exchange(a, b string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step(); err != nil {
		return err
	}
	if m.entries[a] == nil || m.entries[b] == nil {
		return fs.ErrNotExist
	}
	m.entries[a], m.entries[b] = m.entries[b], m.entries[a]
	return nil
}

func (m *memFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step(); err != nil {
		return err
	}
	m.entries[to] = m.entries[from]
	delete(m.entries, from)
	return nil
}

func (m *memFS) Remove(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step(); err != nil {
		return err
	}
	delete(m.entries, path)
	return nil
}

func (m *memFS) Names(path string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step(); err != nil {
		return nil, err
	}
	var names []string
	for name := range m.entries {
		if filepath.Dir(name) == path {
			names = append(names, filepath.Base(name))
		}
	}
	return names, nil
}

func (m *memFS) SyncDir(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step(); err != nil {
		return err
	}
	maps.DeleteFunc(m.durable, func(name string, _ *memNode) bool { return filepath.Dir(name) == path })
	for name, n := range m.entries {
		if filepath.Dir(name) == path {
			m.durable[name] = n
		}
	}
	return nil
}

func (m *memFS) Lock(_ context.Context, path string, _ fs.FileInfo, _ time.Duration) (filesystem.File, error) {
	m.mu.Lock()
	if err := m.step(); err != nil {
		m.mu.Unlock()
		return nil, err
	}
	n := m.entries[path]
	if n == nil {
		n = &memNode{}
		m.entries[path] = n
	}
	m.mu.Unlock()
	n.lock.Lock()
	return &memLock{memFile{m, path, n}}, nil
}

// memLock is an open lock file. Closing it releases the lock.
type memLock struct{ memFile }

func (l *memLock) Close() error {
	l.node.lock.Unlock()
	return nil
}

type memFile struct {
	fs   *memFS
	name string
	node *memNode
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.step(); err != nil {
		return 0, err
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) Write(p []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.step(); err != nil {
		n := 0
		if f.fs.short && !errors.Is(err, errCut) {
			n = len(p) / 2
			f.node.data = append(f.node.data, p[:n]...)
		}
		return n, err
	}
	f.node.data = append(f.node.data, p...)
	return len(p), nil
}

func (f *memFile) Stat() (fs.FileInfo, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return memInfo{f.name, f.node, int64(len(f.node.data))}, f.fs.step()
}

func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.step(); err != nil {
		return err
	}
	f.node.synced = append([]byte(nil), f.node.data...)
	return nil
}

func (f *memFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.step(); err != nil {
		return err
	}
	f.node.data = append([]byte(nil), f.node.data[:size]...)
	return nil
}

func (f *memFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.fs.step()
}

type memInfo struct {
	name string
	node *memNode
	size int64
}

func (i memInfo) Name() string     { return filepath.Base(i.name) }
func (i memInfo) Size() int64      { return i.size }
func (memInfo) Mode() fs.FileMode  { return 0o600 }
func (memInfo) ModTime() time.Time { return time.Time{} }
func (memInfo) IsDir() bool        { return false }
func (memInfo) Sys() any           { return nil }

// The ways in which a call may fail.
var faults = []struct {
	name  string
	err   error
	short bool
}{
	{"EIO", syscall.EIO, false},
	{"ENOSPC", syscall.ENOSPC, false},
	{"EMFILE", syscall.EMFILE, false},
	{"short write", syscall.ENOSPC, true},
}
