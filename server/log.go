package server

import (
	"io"
	"log/slog"
	"os"

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

// newLogger writes to out. The level can change while it is in use.
func newLogger(out io.Writer, format config.LogFormat, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == config.LogText {
		return slog.New(slog.NewTextHandler(out, options))
	}
	return slog.New(slog.NewJSONHandler(out, options))
}
