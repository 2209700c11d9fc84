package server

import (
	"log/slog"
	"os"

	"keyward/config"
)

// newLogger writes to standard output, from where a container's log is read.
// The level can change while it is in use.
func newLogger(format config.LogFormat, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == config.LogText {
		return slog.New(slog.NewTextHandler(os.Stdout, options))
	}
	return slog.New(slog.NewJSONHandler(os.Stdout, options))
}
