package static

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestServe: a file is served by the name that has its hash, and by no other.
func TestServe(t *testing.T) {
	f := New(Dir)
	for path, want := range map[string]bool{f.Style: true, f.Script: true, f.Icon: true, "/static/": false, "/static/style.css": false, strings.Replace(f.Style, "style.", "style.0", 1): false} {
		w := httptest.NewRecorder()
		if got := f.Serve(w, httptest.NewRequest(http.MethodGet, path, nil)); got != want {
			t.Errorf("%s: %v", path, got)
		}
		if want && (w.Code != http.StatusOK || w.Body.Len() == 0 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable")) {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	if f.Serve(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, f.Style, nil)) {
		t.Error("a POST is served")
	}
}

// TestWeight: a page may weigh 60 kB with its stylesheet.
func TestWeight(t *testing.T) {
	if len(style) > 18<<10 || len(script) > 3<<10 || len(icon) > 1<<10 {
		t.Errorf("the stylesheet has %d bytes, the script %d, the icon %d", len(style), len(script), len(icon))
	}
}
