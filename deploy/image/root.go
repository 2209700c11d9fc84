package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// writeRoot writes the image's files for one architecture to a directory. The
// last stage of the Dockerfile copies it.
func writeRoot(o options) error {
	dir, err := os.MkdirTemp("", "keyward-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	compiled, err := compile(o, "linux", o.Arch, dir)
	if err != nil {
		return err
	}
	created, err := compiled.created(o)
	if err != nil {
		return err
	}
	base, err := baseFiles()
	if err != nil {
		return err
	}
	return lay(append(base, programFiles(compiled)...), o.Root, created)
}

// lay writes the files, each directory before its content, with their modes
// independent of the umask, and with the same time.
func lay(files []file, root string, created time.Time) error {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	for _, f := range files {
		name := filepath.Join(root, filepath.FromSlash(f.name))
		var err error
		if strings.HasSuffix(f.name, "/") {
			err = os.Mkdir(name, 0o755)
		} else {
			err = os.WriteFile(name, f.content, 0o644)
		}
		if err == nil {
			err = os.Chmod(name, os.FileMode(f.mode))
		}
		if err != nil {
			return fmt.Errorf("writing the image's files: %w", err)
		}
	}
	for _, f := range files {
		if err := os.Chtimes(filepath.Join(root, filepath.FromSlash(f.name)), created, created); err != nil {
			return err
		}
	}
	return nil
}
