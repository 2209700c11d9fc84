package console

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"keyward/manage"
	"keyward/manage/access"
	"keyward/manage/console/page"
	"keyward/manage/gate"
	"keyward/manage/session"
)

// newConsole returns a Console with one more public route.
func newConsole(t *testing.T, serve func(*page.Site) func(*page.Request) error) *Console {
	t.Helper()
	return build(page.Config{
		Service: func() *manage.Service { return nil }, Settings: func() page.Settings { return page.Settings{} },
		Origin: func() session.Origin { return session.Origin{Public: "http://localhost"} }, Gate: gate.New(),
		CallOf: func(*http.Request) access.Call { return access.Call{RequestID: "request-1"} },
	}, func(s *page.Site) []page.Route {
		return []page.Route{{Pattern: "GET /test", Public: true, Serve: serve(s)}}
	})
}

// TestNoHalfPage: a page that fails in the middle is an error page, with the id of the
// request and without what was rendered before.
func TestNoHalfPage(t *testing.T) {
	failing := func(s *page.Site) func(*page.Request) error {
		templates := s.Parse(fstest.MapFS{"half.html": {Data: []byte(`{{define "main"}}first half{{.Data.Missing}}{{end}}`)}})
		return func(r *page.Request) error {
			return r.Render(templates, "half.html", page.Head{Title: "Half"}, struct{}{})
		}
	}
	for what, serve := range map[string]func(*page.Site) func(*page.Request) error{
		"a template": failing,
		"a panic": func(*page.Site) func(*page.Request) error {
			return func(*page.Request) error { panic("secret-1") }
		},
		"an error": func(*page.Site) func(*page.Request) error {
			return func(*page.Request) error { return errors.New("secret-1") }
		},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "http://localhost/test", nil)
		newConsole(t, serve).ServeHTTP(w, r)
		body := w.Body.String()
		if w.Code != http.StatusInternalServerError || strings.Contains(body, "first half") || strings.Contains(body, "secret-1") || !strings.Contains(body, "<code>request-1</code>") || !strings.HasSuffix(strings.TrimSpace(body), "</html>") {
			t.Errorf("%s: %d %s", what, w.Code, body)
		}
	}
}

// TestOverload: a request that finds no place is answered at once, and says when to come
// again.
func TestOverload(t *testing.T) {
	c := newConsole(t, func(*page.Site) func(*page.Request) error {
		return func(r *page.Request) error { return r.SeeOther("/") }
	})
	for c.site.Gate.Take(gate.Stranger) {
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/test", nil))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
