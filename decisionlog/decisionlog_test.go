package decisionlog

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"keyward/authz"
)

// TestKeepsQuiet: the log has no query, no string of unbounded
// length, and an allow only if configured.
func TestKeepsQuiet(t *testing.T) {
	var text strings.Builder
	log := Log{Logger: slog.New(slog.NewJSONHandler(&text, nil))}
	log.Observe(&authz.Request{}, &authz.Decision{Reason: authz.OK})
	if text.Len() != 0 {
		t.Errorf("an allow was logged: %s", text.String())
	}
	for _, target := range []string{"/a?api_key=hunter2", "/a#hunter2", "/" + strings.Repeat("a", maxLogged) + "hunter2"} {
		text.Reset()
		log.Observe(&authz.Request{Method: "GET", Target: target, Headers: []authz.Header{{Name: "authorization", Value: "hunter2"}}}, &authz.Decision{})
		if line := text.String(); !strings.Contains(line, `"path":"/a`) || strings.Contains(line, "hunter2") {
			t.Errorf("%.20s: %s", target, line)
		}
	}
	log.Allowed = true
	text.Reset()
	log.Observe(&authz.Request{}, &authz.Decision{Reason: authz.OK})
	if text.Len() == 0 {
		t.Error("an allow is not logged although it was configured")
	}
}

// TestIsBounded: the log has at most so many lines of denials per
// second, and the next second's first line says how many were suppressed.
func TestIsBounded(t *testing.T) {
	var text strings.Builder
	log := Log{Logger: slog.New(slog.NewJSONHandler(&text, nil)), Denials: LineLimit{PerSecond: 10}, Allowed: true}
	start := time.Unix(1000, 0)
	for i := range 100 {
		log.Observe(&authz.Request{}, &authz.Decision{At: start.Add(time.Duration(i) * 5 * time.Millisecond)})
	}
	if n := strings.Count(text.String(), "\n"); n != 10 || strings.Contains(text.String(), "suppressed") {
		t.Errorf("%d lines for a hundred denials in half a second: %s", n, text.String())
	}
	log.Observe(&authz.Request{}, &authz.Decision{Reason: authz.OK, At: start})
	if n := strings.Count(text.String(), "\n"); n != 11 {
		t.Error("an allow is not logged after many denials")
	}
	text.Reset()
	log.Observe(&authz.Request{}, &authz.Decision{At: start.Add(time.Second)})
	log.Observe(&authz.Request{}, &authz.Decision{At: start.Add(time.Second)})
	if lines := strings.Split(text.String(), "\n"); len(lines) != 3 || !strings.Contains(lines[0], `"suppressed":90`) || strings.Contains(lines[1], "suppressed") {
		t.Errorf("a second later: %s", text.String())
	}
}
