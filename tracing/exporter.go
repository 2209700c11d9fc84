package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// exportTimeout bounds the attempts to deliver one batch. After that the batch
// is dropped.
const exportTimeout = 10 * time.Second

// exporter sends batches to the collector, and accounts for each span in them.
// It is the sdk.SpanExporter of one batching processor, which makes one call of
// ExportSpans at a time, and calls Shutdown after the last.
type exporter struct {
	collector *otlptrace.Exporter
	waiting   *atomic.Int64
	counter   Counter
	log       *slog.Logger

	shutdownCtx    context.Context // done when no further attempt may be made
	cancelShutdown context.CancelFunc
	done           chan struct{} // closed when Shutdown has returned
	failing        bool          // the last batch failed, and that was logged
}

// newExporter connects in the background, and again whenever the connection is
// lost.
func newExporter(cfg Config, waiting *atomic.Int64) (*exporter, error) {
	collector, err := otlptracegrpc.New(context.Background(),
		otlptracegrpc.WithEndpointURL(cfg.Endpoint),
		otlptracegrpc.WithTimeout(exportTimeout),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: true, InitialInterval: 500 * time.Millisecond, MaxInterval: 5 * time.Second, MaxElapsedTime: exportTimeout}),
		// gRPC's own backoff grows to two minutes; the collector may be back
		// long before that.
		otlptracegrpc.WithDialOption(grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 500 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		})))
	if err != nil {
		return nil, fmt.Errorf("connecting to the collector: %w", err)
	}
	e := &exporter{collector: collector, waiting: waiting, counter: cfg.Counter, log: cfg.Log, done: make(chan struct{})}
	e.shutdownCtx, e.cancelShutdown = context.WithCancel(context.Background())
	return e, nil
}

// ExportSpans implements sdk.SpanExporter. It counts and logs errors itself,
// because the SDK would write them to standard error.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	defer e.waiting.Add(-int64(len(spans)))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.shutdownCtx, cancel)()
	err := e.collector.ExportSpans(ctx, spans)
	switch {
	case err == nil:
		e.counter.Sent(len(spans))
	default:
		e.counter.Failed(len(spans))
	}
	e.report(err)
	return nil
}

// report logs the first failure and the first success after it, not every
// batch.
func (e *exporter) report(err error) {
	switch failed := err != nil; {
	case failed && !e.failing:
		e.log.Warn("traces can't be delivered", "error", err)
	case !failed && e.failing:
		e.log.Info("traces are delivered again")
	}
	e.failing = err != nil
}

// Shutdown implements sdk.SpanExporter.
func (e *exporter) Shutdown(ctx context.Context) error {
	defer close(e.done)
	return e.collector.Shutdown(ctx)
}

// stop cancels an attempt in progress, and returns after the processor has
// called Shutdown.
func (e *exporter) stop() {
	e.cancelShutdown()
	<-e.done
}
