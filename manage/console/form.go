package console

import (
	"errors"
	"mime"
	"net/http"
	"net/url"

	"keyward/authz"
	"keyward/chars"
	"keyward/manage/console/page"
	"keyward/manage/gate"
	"keyward/manage/problem"
	"keyward/manage/session"
)

const formType = "application/x-www-form-urlencoded"

// readForm reads the form of the request, which is all that a page accepts.
func readForm(w http.ResponseWriter, r *page.Request) error {
	kind, params, err := mime.ParseMediaType(r.HTTP.Header.Get("Content-Type"))
	charset, named := params["charset"]
	empty := r.HTTP.ContentLength == 0 && r.HTTP.Header.Get("Content-Type") == ""
	if !empty && (err != nil || kind != formType || named && !chars.EqualASCIIFold(charset, "utf-8") || r.HTTP.Header.Get("Content-Encoding") != "") {
		return &page.Problem{Code: problem.MediaType}
	}
	limit := r.Route().MaxBody
	if limit == 0 {
		limit = gate.MaxBody
	}
	body, err := gate.ReadBody(w, r.HTTP, limit, gate.BodyTime)
	switch {
	case errors.Is(err, gate.ErrTooLarge):
		return &page.Problem{Code: problem.TooLarge}
	case err != nil:
		return &page.Problem{Code: problem.Malformed}
	}
	sent, err := url.ParseQuery(string(body))
	if err != nil {
		return &page.Problem{Code: problem.Malformed}
	}
	r.Sent = sent
	return nil
}

// hasCredential reports whether the request has a session's cookie or Authorization: a
// browser that has none comes for the first time, which is not a failed attempt.
func hasCredential(r *page.Request) bool {
	return len(r.HTTP.CookiesNamed(session.CookieName)) > 0 || len(r.HTTP.Header.Values("Authorization")) > 0
}

// codeOf is the code of a one-time link: the last element of the path.
func codeOf(r *http.Request) authz.Secret { return authz.NewSecret(r.PathValue("code")) }

// statusWriter keeps the status of an answer, and whether it has begun.
type statusWriter struct {
	http.ResponseWriter
	status int
	wrote  bool
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status, w.wrote = status, true
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *statusWriter) Write(p []byte) (int, error) {
	w.wrote = true
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// headOnly keeps the status and the header of an answer.
type headOnly struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (h *headOnly) Header() http.Header { return h.header }

// WriteHeader implements http.ResponseWriter.
func (h *headOnly) WriteHeader(status int) { h.status = status }

// Write implements http.ResponseWriter.
func (h *headOnly) Write(p []byte) (int, error) { return len(p), nil }
