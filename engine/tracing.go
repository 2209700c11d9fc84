package engine

import (
	"fmt"

	"keyward/reuse"
	"keyward/tracing"
)

// openTracing starts what makes spans, if the configuration wants any.
func (s *Snapshot) openTracing(old *reuse.Generation) error {
	wanted := s.cfg.Tracing
	if !wanted.Enabled() {
		return nil
	}
	var err error
	s.tracing, err = reuse.Or(&s.generation, old, "tracing", wanted, func() (*tracing.Tracer, error) {
		return tracing.New(tracing.Config{
			Endpoint: wanted.Endpoint, Sample: wanted.Sample, Version: s.env.version, Counter: s.env.metrics.spans, Log: s.env.logger,
		})
	})
	if err != nil {
		return fmt.Errorf("tracing: %w", err)
	}
	return nil
}
