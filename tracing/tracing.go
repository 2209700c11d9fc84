// Package tracing makes a span of each check for an OpenTelemetry collector,
// within the trace of the request that was asked about. It says what was
// decided and by what rule, and nothing that came with the request: no path,
// host, header, address or name, since each may hold a secret or be anything at
// all. A check never waits for it, and no decision depends on it.
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

// Counter is told what becomes of the spans that were made.
type Counter interface {
	Sent(spans int)    // the collector has them
	Failed(spans int)  // it did not take them
	Dropped(spans int) // there was no room to keep them for it
}

// Config says where spans go, and which there are. Endpoint, Counter and Log are needed.
type Config struct {
	// Endpoint is the collector's URL, for OTLP over gRPC: http:// without TLS, https:// with it.
	Endpoint string
	// Sample is the share, of 1, of checks with a span among those that come
	// within no trace. Of the others those have one whose trace is recorded.
	Sample float64
	// Queue bounds the spans in memory. 0 is 4096, some 6 MiB.
	Queue int
	// CloseTimeout bounds how long Close tries to get rid of what waits. 0 is two seconds.
	CloseTimeout time.Duration
	// Version is shown as service.version; "" is none.
	Version string
	Counter Counter
	Log     *slog.Logger
}

// A batch goes off when it is full, or when its first span is this old.
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
	waiting  atomic.Int64 // spans that were made and neither delivered nor given up
	closed   atomic.Bool
}

// New returns a Tracer, whether or not the collector can be reached. Headers
// and certificates for it, and attributes of the resource, are taken from the
// environment as the OpenTelemetry specification names them.
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
		sdk.WithSampler(sdk.AlwaysSample()), // Observe has chosen already
		// Nothing is lost in this queue: Observe makes no more spans than it holds.
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

// sampled reports whether the check gets a span: as its trace says, and without
// one by lot. The SDK's samplers would say the same for the price of a span.
func (t *Tracer) sampled(parent trace.SpanContext) bool {
	if parent.IsValid() {
		return parent.IsSampled()
	}
	return t.cfg.Sample > 0 && rand.Float64() < t.cfg.Sample
}

// spanNames has the name of each transport's spans.
var spanNames = func() (names [authz.TransportCount]string) {
	for _, t := range authz.Transports() {
		names[t.Transport] = "keyward." + t.Operation
	}
	return names
}()

// attributes are all that a span tells: words of closed sets, names that the
// operator gave, and ids that we made.
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

// knownMethod is the method where it is one of RFC 9110 or RFC 5789, and
// _OTHER for what a client made up (OpenTelemetry's conventions for http.request.method).
func knownMethod(method string) string {
	for _, known := range [...]string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"} {
		if method == known {
			return known
		}
	}
	return "_OTHER"
}

// Close delivers what waits, as far as CloseTimeout allows, and returns when
// all that New started has ended.
func (t *Tracer) Close() error {
	t.closed.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), t.cfg.CloseTimeout)
	defer cancel()
	err := t.provider.Shutdown(ctx)
	t.exporter.stop()
	if left := t.waiting.Swap(0); left > 0 { // came in while we closed
		t.cfg.Counter.Dropped(int(left))
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("closing traces: %w", err)
	}
	return nil
}
