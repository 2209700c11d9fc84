package server

import (
	"context"
	"io"
	"log"
	"log/slog"
	"os"
	"strings"

	"keyward/chars"
	"keyward/config"
	"keyward/decisionlog"
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

// limitedHandler suppresses lines beyond a number per second. It is for lines
// that a client can cause, since it could fill a disk with them.
type limitedHandler struct {
	slog.Handler
	limit *decisionlog.LineLimit
}

// limited returns a logger for a library, of at most perSecond lines per second.
func limited(logger *slog.Logger, library string, perSecond int) *slog.Logger {
	return slog.New(limitedHandler{logger.Handler(), &decisionlog.LineLimit{PerSecond: perSecond}}).With("library", library)
}

// Handle implements slog.Handler.
func (h limitedHandler) Handle(ctx context.Context, record slog.Record) error {
	ok, suppressed := h.limit.Allow(record.Time)
	if !ok {
		return nil
	}
	if suppressed > 0 {
		record.AddAttrs(slog.Int64("suppressed", suppressed))
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (h limitedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return limitedHandler{h.Handler.WithAttrs(attrs), h.limit}
}

// WithGroup implements slog.Handler.
func (h limitedHandler) WithGroup(name string) slog.Handler {
	return limitedHandler{h.Handler.WithGroup(name), h.limit}
}

// lineWriter is the output of a log.Logger, which calls Write once per line.
type lineWriter func(text string)

// maxLibraryLine bounds one line, in bytes: enough for the top of a stack trace.
const maxLibraryLine = 2 << 10

// Write implements io.Writer.
func (w lineWriter) Write(p []byte) (int, error) {
	text := strings.TrimSpace(string(p))
	w(text[:min(len(text), maxLibraryLine)])
	return len(p), nil
}

// stdLogger returns a logger of package log that writes to w.
func stdLogger(w lineWriter) *log.Logger { return log.New(w, "", 0) }
