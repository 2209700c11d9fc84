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

// exportTimeout bounds the attempts to deliver one batch. After it the batch is given up.
const exportTimeout = 10 * time.Second

// delivery gives batches to the collector, and accounts for each span that it
// was given. It is the sdk.SpanExporter of one batching processor, which calls
// ExportSpans one call at a time, and Shutdown after the last.
type delivery struct {
	collector *otlptrace.Exporter
	waiting   *atomic.Int64
	counter   Counter
	log       *slog.Logger

	giveUp  context.Context // done once nothing more is to be tried
	abort   context.CancelFunc
	done    chan struct{} // closed when Shutdown has returned
	failing bool          // the last batch was given up, and that was logged
}

// newDelivery connects in the background and again whenever the connection is lost.
func newDelivery(cfg Config, waiting *atomic.Int64) (*delivery, error) {
	collector, err := otlptracegrpc.New(context.Background(),
		otlptracegrpc.WithEndpointURL(cfg.Endpoint),
		otlptracegrpc.WithTimeout(exportTimeout),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: true, InitialInterval: 500 * time.Millisecond, MaxInterval: 5 * time.Second, MaxElapsedTime: exportTimeout}),
		// gRPC's own backoff grows to two minutes, in which the collector may long be back.
		otlptracegrpc.WithDialOption(grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 500 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		})))
	if err != nil {
		return nil, fmt.Errorf("connecting to the collector: %w", err)
	}
	d := &delivery{collector: collector, waiting: waiting, counter: cfg.Counter, log: cfg.Log, done: make(chan struct{})}
	d.giveUp, d.abort = context.WithCancel(context.Background())
	return d, nil
}

// ExportSpans implements sdk.SpanExporter. What goes wrong is counted and
// logged here; the SDK would write it to standard error.
func (d *delivery) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	defer d.waiting.Add(-int64(len(spans)))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.giveUp, cancel)()
	err := d.collector.ExportSpans(ctx, spans)
	switch {
	case err == nil:
		d.counter.Sent(len(spans))
	default:
		d.counter.Failed(len(spans))
	}
	d.report(err)
	return nil
}

// report logs the first failure and the first success after it, not each batch.
func (d *delivery) report(err error) {
	switch failed := err != nil; {
	case failed && !d.failing:
		d.log.Warn("traces can't be delivered", "error", err)
	case !failed && d.failing:
		d.log.Info("traces are delivered again")
	}
	d.failing = err != nil
}

// Shutdown implements sdk.SpanExporter.
func (d *delivery) Shutdown(ctx context.Context) error {
	defer close(d.done)
	return d.collector.Shutdown(ctx)
}

// abandon ends what is still being tried, and returns when the processor has done its last.
func (d *delivery) abandon() {
	d.abort()
	<-d.done
}
