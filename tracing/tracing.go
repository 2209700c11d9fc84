// Package tracing makes a span of each check for an OpenTelemetry collector,
// within the trace of the checked request. A span has the decision and the rule
// behind it. It has nothing that came with the request: no path, host, header,
// address or name, since each may contain a secret or arbitrary data. A check
// never waits for tracing, and no decision depends on it.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"keyward/authz"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Counter counts the spans by outcome.
type Counter interface {
	Sent(spans int)    // the collector accepted them
	Failed(spans int)  // the collector did not accept them
	Dropped(spans int) // the queue was full
}

// Config says where spans are sent, and which checks have one. Endpoint,
// Counter and Log are required.
type Config struct {
	// Endpoint is the collector's URL, for OTLP over gRPC: http:// without TLS,
	// https:// with TLS.
	Endpoint string
	// Sample is the fraction, 0 to 1, of checks with a span among those outside
	// a trace. Within a trace, a check has a span if the trace is recorded.
	Sample float64
	// Queue bounds the number of spans in memory; 0 means 4096, some 6 MiB.
	Queue int
	// CloseTimeout bounds how long Close tries to deliver the queued spans; 0
	// means two seconds.
	CloseTimeout time.Duration
	// Version is sent as service.version; "" for none.
	Version string
	Counter Counter
	Log     *slog.Logger
}

// A batch is sent when it is full, or when its first span is this old.
const (
	batchSize  = 512
	batchDelay = time.Second
)

// Tracer makes a span of each decision. It implements authz.Observer.
type Tracer struct {
	cfg      Config
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	exporter *exporter
	waiting  atomic.Int64 // spans that were made and neither delivered nor dropped
	closed   atomic.Bool
}

// New returns a Tracer, whether or not the collector can be reached. It takes
// headers and certificates for the collector, and attributes of the resource,
// from the environment variables of the OpenTelemetry specification.
func New(cfg Config) (*Tracer, error) {
	if cfg.Queue == 0 {
		cfg.Queue = 4096
	}
	if cfg.CloseTimeout == 0 {
		cfg.CloseTimeout = 2 * time.Second
	}
	t := &Tracer{cfg: cfg}
	about, err := resource.New(context.Background(),
		resource.WithAttributes(semconv.ServiceName("keyward"), semconv.ServiceVersion(cfg.Version)),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	if t.exporter, err = newExporter(cfg, &t.waiting); err != nil {
		return nil, err
	}
	t.provider = sdk.NewTracerProvider(
		sdk.WithResource(about),
		sdk.WithSampler(sdk.AlwaysSample()), // Observe has sampled already
		// This queue drops nothing: Observe makes no more spans than it holds.
		sdk.WithBatcher(t.exporter, sdk.WithMaxQueueSize(cfg.Queue), sdk.WithMaxExportBatchSize(min(batchSize, cfg.Queue)),
			sdk.WithBatchTimeout(batchDelay), sdk.WithExportTimeout(exportTimeout)))
	t.tracer = t.provider.Tracer("keyward/tracing", trace.WithInstrumentationVersion(cfg.Version))
	return t, nil
}

// Observe implements authz.Observer. It keeps nothing of the request.
func (t *Tracer) Observe(r *authz.Request, d *authz.Decision) {
	parent := parentOf(r)
	if !t.sampled(parent) {
		return
	}
	if t.waiting.Add(1) > int64(t.cfg.Queue) || t.closed.Load() {
		t.waiting.Add(-1)
		t.cfg.Counter.Dropped(1)
		return
	}
	_, span := t.tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), parent), spanNames[r.Transport],
		trace.WithTimestamp(d.At), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes(r, d)...))
	if d.Outcome() == "error" {
		span.SetStatus(codes.Error, d.Reason.String())
	}
	span.End(trace.WithTimestamp(d.At.Add(d.Duration)))
}

// sampled reports whether the check gets a span: as its trace says, or at
// random outside a trace. The SDK's samplers would decide the same, at the
// cost of making a span.
func (t *Tracer) sampled(parent trace.SpanContext) bool {
	if parent.IsValid() {
		return parent.IsSampled()
	}
	return t.cfg.Sample > 0 && rand.Float64() < t.cfg.Sample
}

// spanNames has the span name of each transport.
var spanNames = func() (names [authz.TransportCount]string) {
	for _, t := range authz.Transports() {
		names[t.Transport] = "keyward." + t.Operation
	}
	return names
}()

// attributes returns all attributes of a span: words of closed sets, names that
// the operator chose, and ids that Keyward generated.
func attributes(r *authz.Request, d *authz.Decision) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 10)
	attrs = append(attrs,
		semconv.HTTPRequestMethodKey.String(knownMethod(r.Method)),
		attribute.String("keyward.transport", r.Transport.String()),
		attribute.String("keyward.decision", d.Outcome()),
		attribute.String("keyward.reason", d.Reason.String()),
	)
	if d.ID != "" {
		attrs = append(attrs, attribute.String("keyward.decision_id", d.ID))
	}
	if d.Route != nil {
		attrs = append(attrs, attribute.String("keyward.route", d.Route.String()))
	}
	if d.Principal != nil {
		attrs = append(attrs, attribute.String("keyward.auth_method", d.Principal.AuthMethod.String()))
		if d.Principal.KeyID != "" {
			attrs = append(attrs, attribute.String("keyward.key_id", d.Principal.KeyID))
		}
	}
	if d.Outcome() == "error" {
		attrs = append(attrs, semconv.ErrorTypeKey.String(d.Reason.String()))
	}
	return attrs
}

// knownMethod returns the method if RFC 9110 or RFC 5789 defines it. Otherwise
// it returns _OTHER, as OpenTelemetry's conventions for http.request.method
// say.
func knownMethod(method string) string {
	for _, known := range [...]string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"} {
		if method == known {
			return known
		}
	}
	return "_OTHER"
}

// Close delivers the queued spans, as far as CloseTimeout allows, and returns
// when everything that New started has ended.
func (t *Tracer) Close() error {
	t.closed.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), t.cfg.CloseTimeout)
	defer cancel()
	err := t.provider.Shutdown(ctx)
	t.exporter.stop()
	if left := t.waiting.Swap(0); left > 0 { // arrived during Close
		t.cfg.Counter.Dropped(int(left))
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("closing traces: %w", err)
	}
	return nil
}
