package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"keyward/store/journal/filesystem"
)

// memory is what the lock file says of the file that it guards. It is there to
// tell a file that was emptied or lost from one that was never written.
//
// The lock file has lines of JSON of which the last whole one counts:
//
//	{"keyward":"lock","version":1,"written":true}
//
// A line is appended when what it says changes, which is once in the life of a
// file. Members that this version does not know are kept. A lock file that an
// earlier version made is empty, and says nothing.
type memory struct {
	written bool // the file had content
	members map[string]json.RawMessage
}

const (
	memoryKind    = `"lock"`
	memoryVersion = `1`
	maxMemory     = 64 << 10
)

// readMemory reads what the lock file says. Any other content says
// nothing: it is neither trusted nor overwritten.
func readMemory(lock filesystem.File) (memory, error) {
	info, err := lock.Stat()
	if err != nil {
		return memory{}, err
	}
	if info.Size() > maxMemory {
		return memory{}, fmt.Errorf("%w: longer than %d bytes", filesystem.ErrBadLock, maxMemory)
	}
	text := make([]byte, info.Size())
	if n, err := lock.ReadAt(text, 0); n < len(text) {
		return memory{}, err
	}
	for {
		end := bytes.LastIndexByte(text, '\n')
		if end < 0 {
			return memory{}, nil
		}
		text = text[:end]
		if m, ok := parseMemory(text[bytes.LastIndexByte(text, '\n')+1:]); ok {
			return m, nil
		}
	}
}

func parseMemory(line []byte) (memory, bool) {
	var m memory
	if json.Unmarshal(line, &m.members) != nil || string(m.members["keyward"]) != memoryKind {
		return memory{}, false
	}
	m.written = string(m.members["written"]) == "true"
	return m, true
}

// remember makes the lock file say, durably, that its file has content.
func (m memory) remember(lock filesystem.File) error {
	members := map[string]json.RawMessage{"version": json.RawMessage(memoryVersion)}
	for name, value := range m.members {
		members[name] = value
	}
	members["keyward"], members["written"] = json.RawMessage(memoryKind), json.RawMessage("true")
	line, err := json.Marshal(members)
	if err != nil {
		return err
	}
	// The newline in front ends what a crash may have left of a line.
	if _, err := lock.Write(append(append([]byte("\n"), line...), '\n')); err != nil {
		return err
	}
	return lock.Sync()
}

// Damaged reports whether the file is empty or missing although the lock file
// beside it remembers that it had content. It takes no lock, so it reads the lock
// file first: a file has its first content before the lock file says so. A lock
// file that may not be read is an error: it could say so.
func Damaged(files filesystem.FS, path string) (bool, error) {
	path, err := files.Resolve(path)
	if err != nil {
		return false, err
	}
	had, err := hadContent(files, path+lockSuffix)
	if err != nil || !had {
		return false, err
	}
	info, err := files.Stat(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist), unlessMissing(err)
	}
	return info.Mode().IsRegular() && info.Size() == 0, nil
}

func hadContent(files filesystem.FS, lockPath string) (bool, error) {
	info, err := files.Stat(lockPath)
	if err != nil || !info.Mode().IsRegular() {
		return false, unlessMissing(err)
	}
	lock, err := files.Open(lockPath)
	if err != nil {
		return false, unlessMissing(err)
	}
	m, err := readMemory(lock)
	if errors.Is(err, io.EOF) {
		err = nil // the lock file became shorter meanwhile
	}
	return m.written, errors.Join(err, lock.Close())
}

func unlessMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
