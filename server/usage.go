package server

import (
	"log/slog"

	"keyward/config"
	"keyward/usage"
)

// keyUsage is the account of each key's use, and what it is kept by. It
// outlives a Core where a reload changes nothing of that.
type keyUsage struct {
	*usage.Tracker
	cfg config.Usage
}

// maxInMemory bounds the keys of an account that has no file to go to.
const maxInMemory = 10_000

// usageFor returns the account that the configuration wants, the old one where it is the same.
func usageFor(cfg *config.Config, old *keyUsage, logger *slog.Logger) *keyUsage {
	if old != nil && old.cfg == cfg.Usage {
		return old
	}
	c := usage.Config{File: cfg.Usage.File, Flush: cfg.Usage.Flush, Log: logger}
	if c.File == "" {
		c.MaxKeys = maxInMemory
	}
	return &keyUsage{usage.New(c), cfg.Usage}
}

// usageOf is what the admin listener tells of one key; nil where it was never used.
func (s *Server) usageOf(keyID string) (any, error) {
	found, err := s.core.Load().parts.usage.Get(keyID)
	if err != nil || found.Total == 0 {
		return nil, err
	}
	return found, nil
}
