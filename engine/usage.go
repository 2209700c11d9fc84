package engine

import (
	"time"

	"keyward/config"
	"keyward/engine/central"
	"keyward/reuse"
	"keyward/usage"
)

// maxInMemory bounds the keys whose use is tracked without a file to write it to.
const maxInMemory = 10_000

// openUsage starts the tracking of each key's use.
func (s *Snapshot) openUsage(old *reuse.Generation) (err error) {
	wanted := usageConfig{s.cfg.Usage, s.central}
	s.usage, err = reuse.Or(&s.generation, old, "usage", wanted, func() (*usage.Tracker, error) {
		c := usage.Config{File: wanted.File, Flush: wanted.Flush, Log: s.env.logger}
		switch {
		case wanted.central != nil:
			c.Store = wanted.central.Usage()
		case c.File == "":
			c.MaxKeys = maxInMemory
		}
		return usage.New(c), nil
	})
	return err
}

// usageConfig is what the tracking is started by.
type usageConfig struct {
	config.Usage
	central *central.Store // nil: there may be a file
}

// lastUse returns what knows when keys were last used; nil if only this process does: what
// is in memory since the start says little.
func (s *Snapshot) lastUse() func() (func(keyID string) time.Time, error) {
	if s.cfg.Usage.File == "" && s.central == nil {
		return nil
	}
	return s.usage.LastUse
}

// Usage returns the use of a key. That of a key that was never used has a Total of
// zero.
func (e *Engine) Usage(keyID string) (usage.Usage, error) { return e.Current().usage.Get(keyID) }

// KeyUsage returns the use of a key as the admin listener shows it; nil if it was
// never used.
func (e *Engine) KeyUsage(keyID string) (any, error) {
	found, err := e.Usage(keyID)
	if err != nil || found.Total == 0 {
		return nil, err
	}
	return found, nil
}
