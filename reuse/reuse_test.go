package reuse_test

import (
	"errors"
	"slices"
	"testing"

	"keyward/reuse"
)

// part is a component that records in which order it and others are closed.
type part struct {
	name   string
	closed *[]string
	err    error
}

// Close implements io.Closer.
func (p *part) Close() error { *p.closed = append(*p.closed, p.name); return p.err }

// fixture builds parts and knows which of them were closed.
type fixture struct {
	t      *testing.T
	closed []string
}

func (f *fixture) or(next, old *reuse.Generation, name string, inputs int) *part {
	f.t.Helper()
	p, err := reuse.Or(next, old, name, inputs, func() (*part, error) { return &part{name: name, closed: &f.closed}, nil })
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *fixture) wantClosed(want ...string) {
	f.t.Helper()
	if !slices.Equal(f.closed, want) {
		f.t.Errorf("closed %q, want %q", f.closed, want)
	}
	f.closed = nil
}

// TestReload: what has equal inputs is the same, and of the old generation
// exactly the rest is closed.
func TestReload(t *testing.T) {
	f := &fixture{t: t}
	var old, next reuse.Generation
	same, changed := f.or(&old, nil, "same", 1), f.or(&old, nil, "changed", 1)
	f.or(&old, nil, "dropped", 1)
	if f.or(&next, &old, "same", 1) != same || f.or(&next, &old, "changed", 2) == changed {
		t.Error("reused what was changed, or built what was not")
	}
	f.or(&next, &old, "added", 1)
	if err := old.Release(&next); err != nil {
		t.Error(err)
	}
	f.wantClosed("dropped", "changed")
	if err := next.Release(nil); err != nil {
		t.Error(err)
	}
	f.wantClosed("added", "changed", "same")
	_ = next.Release(nil)
	f.wantClosed()
}

// TestReloadThatFails: what was built for it is closed, what it took over is not.
func TestReloadThatFails(t *testing.T) {
	f := &fixture{t: t}
	var old, next reuse.Generation
	f.or(&old, nil, "same", 1)
	f.or(&old, nil, "changed", 1)
	f.or(&next, &old, "same", 1)
	f.or(&next, &old, "changed", 2)
	failure := errors.New("no such file")
	p, err := reuse.Or(&next, &old, "broken", 1, func() (*part, error) { return &part{name: "broken", closed: &f.closed}, failure })
	if p != nil || !errors.Is(err, failure) {
		t.Errorf("%v, %v", p, err)
	}
	_ = next.Release(&old)
	f.wantClosed("changed")
	_ = old.Release(nil)
	f.wantClosed("changed", "same")
}

func TestInputsOfAnotherType(t *testing.T) {
	f := &fixture{t: t}
	var old, next reuse.Generation
	before := f.or(&old, nil, "a", 1)
	after, err := reuse.Or(&next, &old, "a", "1", func() (*part, error) { return &part{name: "a", closed: &f.closed}, nil })
	if err != nil || after == before {
		t.Errorf("%v, %v", after == before, err)
	}
}

func TestOrFunc(t *testing.T) {
	f := &fixture{t: t}
	var old, next reuse.Generation
	or := func(next, old *reuse.Generation, inputs []string) *part {
		p, err := reuse.OrFunc(next, old, "a", inputs, slices.Equal, func() (*part, error) { return &part{name: "a", closed: &f.closed}, nil })
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	before := or(&old, nil, []string{"x"})
	if or(&next, &old, []string{"x"}) != before {
		t.Error("equal inputs, and not reused")
	}
}

func TestKeep(t *testing.T) {
	f := &fixture{t: t}
	var old, next reuse.Generation
	if _, found := reuse.Keep[*part](&old, nil, "a"); found {
		t.Error("kept what was never there")
	}
	before := f.or(&old, nil, "a", 1)
	if after, found := reuse.Keep[*part](&next, &old, "a"); !found || after != before {
		t.Error("not kept")
	}
	_ = old.Release(&next)
	f.wantClosed()
}

func TestErrorsOfClose(t *testing.T) {
	var g reuse.Generation
	var closed []string
	first, second := errors.New("first"), errors.New("second")
	for i, err := range []error{first, second} {
		if _, failed := reuse.Or(&g, nil, i, 0, func() (*part, error) { return &part{closed: &closed, err: err}, nil }); failed != nil {
			t.Fatal(failed)
		}
	}
	if err := g.Release(nil); !errors.Is(err, first) || !errors.Is(err, second) {
		t.Errorf("%v", err)
	}
}

func TestNameUsedTwice(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("the first of two is never closed")
		}
	}()
	f := &fixture{t: t}
	var g reuse.Generation
	f.or(&g, nil, "a", 1)
	f.or(&g, nil, "a", 2)
}
