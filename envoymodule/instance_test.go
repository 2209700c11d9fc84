package main

import (
	"testing"
	"time"
)

// TestCloseDoesNotWaitForAnotherStart: Envoy's worker may close a filter while
// Envoy's main thread starts an engine for another file, which reads all keys.
func TestCloseDoesNotWaitForAnotherStart(t *testing.T) {
	starting, finish := make(chan struct{}), make(chan struct{})
	g := registry{byFile: map[string]*instance{}, start: func(s settings) (*instance, error) {
		if s.file == "slow" {
			close(starting)
			<-finish
		}
		return testInstance(s), nil
	}}
	first, second := open(t, &g, "fast"), open(t, &g, "fast")
	if first != second {
		t.Fatal("two filters with one file have two instances")
	}
	opened := make(chan *instance)
	go func() {
		i, _ := g.open(settings{file: "slow"})
		opened <- i
	}()
	<-starting
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		g.close(first)
	}()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("closing one of two filters waits for the start of another instance")
	}
	close(finish)
	g.close(<-opened)
	if isStopped(second) {
		t.Error("an instance has ended while a filter uses it")
	}
	g.close(second)
	if !isStopped(second) || len(g.byFile) != 0 {
		t.Errorf("after the last filter, instances are left: %v", g.byFile)
	}
	if again := open(t, &g, "fast"); again == second {
		t.Error("an instance that has ended is used again")
	}
}

// TestInstanceWithTwoAdmins: the filters of one file share the listener for
// metrics.
func TestInstanceWithTwoAdmins(t *testing.T) {
	g := registry{byFile: map[string]*instance{}, start: func(s settings) (*instance, error) { return testInstance(s), nil }}
	open(t, &g, "file")
	if _, err := g.open(settings{file: "file", admin: "127.0.0.1:9196"}); err == nil {
		t.Error("a second address is accepted and not used")
	}
}

func open(t *testing.T, g *registry, file string) *instance {
	t.Helper()
	i, err := g.open(settings{file: file})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// testInstance returns an instance that ends at once.
func testInstance(s settings) *instance {
	i := &instance{settings: s, stopped: make(chan struct{})}
	i.stop = func() { close(i.stopped) }
	return i
}

func isStopped(i *instance) bool {
	select {
	case <-i.stopped:
		return true
	default:
		return false
	}
}
