package tracing

import (
	"log/slog"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
)

// LogTo makes OpenTelemetry log to the logger instead of standard error. The
// loggers of OpenTelemetry are global to the process.
func LogTo(logger *slog.Logger) {
	otel.SetLogger(logr.FromSlogHandler(logger.Handler()))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("OpenTelemetry failed", "error", err) }))
}
