package e2e

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// volume is a directory that is updated like a mounted Secret or ConfigMap
// (AtomicWriter of the kubelet): each file is a link through ..data, which is a
// link to a directory that is created for each change.
type volume struct {
	t   *testing.T
	dir string
}

func newVolume(t *testing.T, dir string) *volume {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return &volume{t, dir}
}

// path returns where a program finds the file.
func (v *volume) path(name string) string { return filepath.Join(v.dir, name) }

// publish replaces all files, and returns when it did.
func (v *volume) publish(files map[string]string) (swapped time.Time) {
	v.t.Helper()
	swapped, err := v.write(files)
	if err != nil {
		v.t.Fatal(err)
	}
	return swapped
}

// write performs the kubelet's steps in their order.
func (v *volume) write(files map[string]string) (swapped time.Time, err error) {
	old, err := os.Readlink(v.path("..data"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return swapped, err
	}
	fresh, err := os.MkdirTemp(v.dir, time.Now().UTC().Format("..2006_01_02_15_04_05."))
	if err != nil {
		return swapped, err
	}
	if err := os.Chmod(fresh, 0o755); err != nil {
		return swapped, err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(fresh, name), []byte(text), 0o644); err != nil {
			return swapped, err
		}
		if err := os.Symlink(filepath.Join("..data", name), v.path(name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return swapped, err
		}
	}
	if err := os.Symlink(filepath.Base(fresh), v.path("..data_tmp")); err != nil {
		return swapped, err
	}
	if err := os.Rename(v.path("..data_tmp"), v.path("..data")); err != nil {
		return swapped, err
	}
	swapped = time.Now()
	if old == "" {
		return swapped, nil
	}
	return swapped, errors.Join(v.dropStale(files, old), os.RemoveAll(v.path(old)))
}

// dropStale removes the links to files that no longer exist.
func (v *volume) dropStale(files map[string]string, old string) error {
	before, err := os.ReadDir(v.path(old))
	if err != nil {
		return err
	}
	for _, file := range before {
		if _, stays := files[file.Name()]; !stays {
			if err := os.Remove(v.path(file.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
