package server

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"keyward/chars"
	"keyward/config"
)

// TestLogShowsWhatItSays: nothing in a line steers a terminal or is hidden in
// it, and a line in JSON says what it said.
func TestLogShowsWhatItSays(t *testing.T) {
	const method = "G\u009bE\u202eT\u200b\ufe0f\x7f"
	for _, format := range []config.LogFormat{config.LogJSON, config.LogText} {
		var out bytes.Buffer
		newLogger(&out, format, slog.LevelInfo).Info("decision", "method", method)
		if line := strings.TrimSuffix(out.String(), "\n"); strings.ContainsFunc(line, chars.IsHidden) || !strings.Contains(line, `\u202e`) {
			t.Errorf("%s: %+q", format, line)
		}
		var said struct{ Method string }
		if format == config.LogJSON && (json.Unmarshal(out.Bytes(), &said) != nil || said.Method != method) {
			t.Errorf("%s says %+q", out.String(), said.Method)
		}
	}
}
