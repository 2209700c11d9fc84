package storecopy

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"

	"keyward/store/filestore"
	"keyward/store/journal/filesystem"
)

// written is the file beside a target's that says, from before the first file is put in
// its place until the last one is, what the copy puts there. By it a copy that begins
// again knows what an interrupted one left, and that nothing has changed it since.
type written struct {
	path  string
	files filesystem.FS
	Files []string `json:"files"` // digests of what files have, or had before
}

const (
	writtenSuffix = ".copying"
	maxWritten    = 64 << 10
)

// begin refuses a target that has anything but what an interrupted copy left, of which it
// removes the parts of the audit log: their names differ with the database.
func (w *filesWriter) begin() (*written, error) {
	last := w.files[len(w.files)-1]
	before := &written{path: last.t.Path() + writtenSuffix, files: w.to.files()}
	if err := before.load(); err != nil {
		return nil, err
	}
	for _, file := range w.files {
		if file.t.File() == nil {
			continue
		}
		if err := before.refuseOther(file.lines.Path, file.t.File()); err != nil {
			return nil, err
		}
	}
	if w.audit.t == nil {
		return before, nil
	}
	parts, err := filestore.AuditParts(before.files, w.audit.t.Path())
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		if err := before.refuseFile(part); err != nil {
			return nil, err
		}
	}
	for _, part := range parts {
		if err := before.files.Remove(part); err != nil {
			return nil, err
		}
	}
	return before, nil
}

func (w *written) load() error {
	file, err := w.files.Open(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	text, err := io.ReadAll(io.NewSectionReader(file, 0, maxWritten))
	if err == nil {
		err = json.Unmarshal(text, w)
	}
	if err != nil {
		return fmt.Errorf("reading what an interrupted copy left, %q: %w", w.path, err)
	}
	return nil
}

// refuseOther returns ErrNotEmpty unless the content is that of an interrupted copy.
func (w *written) refuseOther(path string, content io.ReaderAt) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(content, 0, math.MaxInt64)); err != nil {
		return err
	}
	if !slices.Contains(w.Files, digest(sum)) {
		return fmt.Errorf("%s: %w", path, ErrNotEmpty)
	}
	return nil
}

// refuseFile is refuseOther of the file with that path.
func (w *written) refuseFile(path string) error {
	file, err := w.files.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return w.refuseOther(path, file)
}

// add adds what a file is going to have.
func (w *written) add(digest string) {
	if !slices.Contains(w.Files, digest) {
		w.Files = append(w.Files, digest)
	}
}

func (w *written) save() error {
	text, err := json.Marshal(w)
	if err == nil {
		err = filesystem.Replace(w.files, w.path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("writing %q: %w", w.path, err)
	}
	return nil
}

// remove says that the copy is complete. If a power cut brings the file back, a repeated
// copy begins again, as long as nothing else was written.
func (w *written) remove() error { return w.files.Remove(w.path) }
