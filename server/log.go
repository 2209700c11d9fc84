package server

import (
	"io"
	"log/slog"
	"os"

	"keyward/chars"
	"keyward/config"
)

// The lines that report how many lines an asyncWriter dropped.
const (
	lostJSON = `{"level":"ERROR","msg":"log lines dropped, since the output is too slow","count":%d}` + "\n"
	lostText = `level=ERROR msg="log lines dropped, since the output is too slow" count=%d` + "\n"
)

// newLogs returns a buffer for standard output, where a container's log is read.
func newLogs(format config.LogFormat) *asyncWriter {
	if format == config.LogText {
		return newAsyncWriter(os.Stdout, lostText)
	}
	return newAsyncWriter(os.Stdout, lostJSON)
}

// newLogger writes to out. The level can change while it is in use. Both
// formats escape characters that are invisible or control a terminal: names and
// requests can contain them.
func newLogger(out io.Writer, format config.LogFormat, level slog.Leveler) *slog.Logger {
	out = escapingWriter{out}
	options := &slog.HandlerOptions{Level: level}
	if format == config.LogText {
		return slog.New(slog.NewTextHandler(out, options))
	}
	return slog.New(slog.NewJSONHandler(out, options))
}

// escapingWriter escapes hidden characters in what it writes to out.
type escapingWriter struct{ out io.Writer }

// Write implements io.Writer.
func (w escapingWriter) Write(line []byte) (int, error) {
	if _, err := w.out.Write(chars.EscapeHidden(line)); err != nil {
		return 0, err
	}
	return len(line), nil
}
