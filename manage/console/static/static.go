// Package static has the files that every page of the console refers to. Each has
// the hash of its content in its name, so that a browser keeps it for good and asks for
// another name once it has changed.
package static

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// Dir is the path below which the files of the console are.
const Dir = "/static/"

//go:embed style.css
var style []byte

//go:embed console.js
var script []byte

//go:embed icon.svg
var icon []byte

// Files are the files by their path.
type Files struct {
	Style, Script, Icon string // paths
	dir                 string
	content             map[string]file
}

type file struct {
	mediaType, etag string
	text            []byte
}

// New returns the files, below a path that ends with a slash.
func New(dir string) *Files {
	f := &Files{dir: dir, content: map[string]file{}}
	f.Style = f.add("style", "css", "text/css; charset=utf-8", style)
	f.Script = f.add("console", "js", "text/javascript; charset=utf-8", script)
	f.Icon = f.add("icon", "svg", "image/svg+xml", icon)
	return f
}

func (f *Files) add(name, extension, mediaType string, text []byte) string {
	sum := sha256.Sum256(text)
	hash := hex.EncodeToString(sum[:8])
	path := f.dir + name + "." + hash + "." + extension
	f.content[path] = file{mediaType, `"` + hash + `"`, text}
	return path
}

// Serve serves a request for a file, and reports whether there is one of that path.
func (f *Files) Serve(w http.ResponseWriter, r *http.Request) bool {
	found, ok := f.content[r.URL.Path]
	if !ok || !strings.HasPrefix(r.URL.Path, f.dir) || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	h := w.Header()
	h.Set("Content-Type", found.mediaType)
	h.Set("ETag", found.etag)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(found.text))
	return true
}
