package replica

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"keyward/store/journal/filesystem"
)

// maxBeside bounds a file beside a copy, in bytes.
const maxBeside = 4 << 20

// readBeside reads what a file beside a copy says into v. What is missing or cannot be
// understood says nothing: false.
func readBeside(files filesystem.FS, path string, v any) (bool, error) {
	file, err := files.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	text, err := io.ReadAll(io.NewSectionReader(file, 0, maxBeside))
	if err = errors.Join(err, file.Close()); err != nil {
		return false, err
	}
	return json.Unmarshal(text, v) == nil, nil
}

// writeBeside replaces what a file beside a copy says.
func writeBeside(files filesystem.FS, path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	path, err = files.Resolve(path)
	if err != nil {
		return err
	}
	if err = filesystem.Replace(files, path, append(text, '\n')); err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	return nil
}
