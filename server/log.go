package server

import (
	"io"
	"log/slog"
	"os"

	"keyward/chars"
	"keyward/config"
)

// How a logBuffer says that it dropped lines.
const (
	lostJSON = `{"level":"ERROR","msg":"log lines dropped, since the output is too slow","count":%d}` + "\n"
	lostText = `level=ERROR msg="log lines dropped, since the output is too slow" count=%d` + "\n"
)

// newLogs buffers what is logged to standard output, from where a container's log is read.
func newLogs(format config.LogFormat) *logBuffer {
	if format == config.LogText {
		return newLogBuffer(os.Stdout, lostText)
	}
	return newLogBuffer(os.Stdout, lostJSON)
}

// newLogger writes to out. The level can change while it is in use. Characters
// that do not show, or steer a terminal, are escaped in both formats: names and
// requests have some.
func newLogger(out io.Writer, format config.LogFormat, level slog.Leveler) *slog.Logger {
	out = shownLines{out}
	options := &slog.HandlerOptions{Level: level}
	if format == config.LogText {
		return slog.New(slog.NewTextHandler(out, options))
	}
	return slog.New(slog.NewJSONHandler(out, options))
}

// shownLines escapes hidden characters in what it hands on.
type shownLines struct{ out io.Writer }

// Write implements io.Writer.
func (w shownLines) Write(line []byte) (int, error) {
	if _, err := w.out.Write(chars.EscapeHidden(line)); err != nil {
		return 0, err
	}
	return len(line), nil
}
