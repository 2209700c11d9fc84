package explain

import (
	"strings"
	"testing"
)

func FuzzParseRequest(f *testing.F) {
	for _, line := range []string{
		`{"path":"/"}`, `{"path_b64":"L/8="}`, `{"headers":[["a","b"]]}`, `{"headers":{"a":["b",{"b64":"AA=="}]}}`,
		`{"headers":{"a":[]}}`, `{"headers":null}`, `{"headers":[null]}`, `{`, `[]`, "{\"path\":\"\xff\"}",
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := ParseRequest(line)
		if (r == nil) != (err != nil) {
			t.Fatalf("request %v, error %v", r, err)
		}
		if err != nil {
			return
		}
		for _, h := range r.Headers {
			if h.Name != strings.ToLower(h.Name) {
				t.Fatalf("header name %q", h.Name)
			}
		}
	})
}
