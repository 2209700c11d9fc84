package engine

import (
	"keyward/config"
	"keyward/filewatch"
)

// Source is where a configuration is loaded from, at the start and at each reload.
// It is not safe for concurrent use; an engine that has one is its only user.
type Source struct {
	load    func() (*config.Config, error)
	changes *filewatch.Debounced
}

// NewSource returns a Source that loads by the function. The file is polled for
// changes, of which each is a reload; "" is none.
func NewSource(file string, load func() (*config.Config, error)) *Source {
	return &Source{load, filewatch.NewDebounced(file)}
}

// Load returns the configuration as it is now.
func (s *Source) Load() (*config.Config, error) {
	s.changes.Loading()
	return s.load()
}

// changed reports whether there is another configuration to load.
func (s *Source) changed() bool { return s.changes.Changed() }
