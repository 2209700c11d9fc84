package server

import (
	"log/slog"

	"keyward/config"
	"keyward/tracing"
)

// tracer is what makes spans, and what of. It outlives a Core where a reload
// changes nothing of that.
type tracer struct {
	*tracing.Tracer
	cfg config.Tracing
}

// tracerFor returns the tracer that the configuration wants, the old one where
// it is the same, nil where it wants none.
func tracerFor(wanted config.Tracing, old *tracer, outside surroundings, logger *slog.Logger) (*tracer, error) {
	if !wanted.Enabled() {
		return nil, nil
	}
	if old != nil && old.cfg == wanted {
		return old, nil
	}
	made, err := tracing.New(tracing.Config{
		Endpoint: wanted.Endpoint, Sample: wanted.Sample, Version: outside.version, Counter: outside.spans, Log: logger,
	})
	if err != nil {
		return nil, err
	}
	return &tracer{made, wanted}, nil
}
