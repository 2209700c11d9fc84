// Package reuse keeps what a reload leaves as it is. A reload builds the
// components of a new generation; a component whose inputs are equal to those of
// the generation before is taken over instead, with all that it remembers. Every
// component belongs to a generation from the moment it exists, so none can be
// left open: neither one that a new generation has no use for, nor one of a
// generation that could not be completed.
package reuse

import (
	"errors"
	"io"
	"slices"
)

// Generation is a set of components, each under its own name. The zero
// Generation is empty. It is not safe for concurrent use.
type Generation struct {
	components map[any]*component
	names      []any // in the order in which they were added
}

// component is the same pointer in all generations that share it.
type component struct {
	inputs any
	value  io.Closer
}

// Or returns the component of old under the name if it was built from equal
// inputs, else what build returns. It belongs to next from then on. old may be
// nil. A component without inputs is kept for as long as each generation asks for
// it. The name must be comparable and may be used once per generation.
func Or[K comparable, V io.Closer](next, old *Generation, name any, inputs K, build func() (V, error)) (V, error) {
	return OrFunc(next, old, name, inputs, func(a, b K) bool { return a == b }, build)
}

// OrFunc is Or for inputs that equal compares.
func OrFunc[K any, V io.Closer](
	next, old *Generation, name any, inputs K, equal func(a, b K) bool, build func() (V, error),
) (V, error) {
	if c := old.find(name); c != nil {
		if before, ok := c.inputs.(K); ok && equal(before, inputs) {
			next.add(name, c)
			return c.value.(V), nil
		}
	}
	value, err := build()
	if err != nil {
		var none V
		return none, err
	}
	next.add(name, &component{inputs, value})
	return value, nil
}

// Keep takes over the component of old under the name, whatever it was built
// from. It returns false if old, which may be nil, has none.
func Keep[V io.Closer](next, old *Generation, name any) (V, bool) {
	c := old.find(name)
	if c == nil {
		var none V
		return none, false
	}
	next.add(name, c)
	return c.value.(V), true
}

// Release closes the components of g, the last one first, except those that it
// shares with the other generation, which may be nil. Closing twice is a no-op.
func (g *Generation) Release(except *Generation) error {
	var errs []error
	for _, name := range slices.Backward(g.names) {
		if c := g.components[name]; c != except.find(name) {
			errs = append(errs, c.value.Close())
		}
	}
	g.components, g.names = nil, nil
	return errors.Join(errs...)
}

func (g *Generation) find(name any) *component {
	if g == nil {
		return nil
	}
	return g.components[name]
}

func (g *Generation) add(name any, c *component) {
	if g.components == nil {
		g.components = map[any]*component{}
	}
	if g.components[name] != nil {
		panic("reuse: two components of one name") // the first one would never be closed
	}
	g.components[name] = c
	g.names = append(g.names, name)
}
