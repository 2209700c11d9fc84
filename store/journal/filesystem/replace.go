package filesystem

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
)

// Replace puts a file with the content in the place of any that the path names, which is
// resolved. If it returns nil, that is durable; there is never a part of the content.
func Replace(files FS, path string, content []byte) error {
	temp := path + ".tmp"
	file, err := files.Create(temp, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, bytes.NewReader(content))
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = files.Rename(temp, path)
	}
	if err == nil {
		err = files.SyncDir(filepath.Dir(path))
	}
	return err
}
