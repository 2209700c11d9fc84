package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"keyward/server"
)

// instance is what checks by one configuration. All filters that name the file
// share it: a change of Envoy's configuration reads no keys again.
type instance struct {
	settings settings
	server   *server.Server
	filters  int // that use it; the registry protects it

	stop    context.CancelFunc
	stopped chan struct{}
}

// registry has the instances of the process by their file.
type registry struct {
	start func(settings) (*instance, error)

	// changing is held while an instance starts or ends, which takes time.
	changing sync.Mutex
	// mu protects byFile and the counts of filters, and is held only briefly:
	// Envoy's worker closes a filter whose last stream ends after it was
	// replaced.
	mu     sync.Mutex
	byFile map[string]*instance
}

var instances = registry{start: start, byFile: map[string]*instance{}}

// closeTimeout bounds the wait for an instance to end, for which Envoy waits
// too.
const closeTimeout = 2 * time.Second

// open returns the instance of the file, and starts it for the first filter.
// The caller closes it.
func (g *registry) open(s settings) (*instance, error) {
	g.changing.Lock()
	defer g.changing.Unlock()
	i, err := g.join(s)
	if i != nil || err != nil {
		return i, err
	}
	if i, err = g.start(s); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.byFile[s.file] = i
	i.filters++
	return i, nil
}

// join returns the instance of the file, nil if there is none.
func (g *registry) join(s settings) (*instance, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.byFile[s.file]
	if i == nil {
		return nil, nil
	}
	if i.settings.admin != s.admin {
		return nil, fmt.Errorf("filter_config: admin: %q, and another filter with the same config has %q", s.admin, i.settings.admin)
	}
	i.filters++
	return i, nil
}

// close ends the instance after its last filter.
func (g *registry) close(i *instance) {
	if !g.leave(i) {
		return
	}
	g.changing.Lock()
	defer g.changing.Unlock()
	if !g.remove(i) {
		return // a filter has joined it meanwhile
	}
	i.stop()
	select {
	case <-i.stopped:
	case <-time.After(closeTimeout):
	}
}

// leave reports whether no filter uses the instance after this one.
func (g *registry) leave(i *instance) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i.filters--
	return i.filters == 0
}

// remove removes the instance unless a filter uses it, or it is removed
// already. It reports whether it has.
func (g *registry) remove(i *instance) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i.filters > 0 || g.byFile[i.settings.file] != i {
		return false
	}
	delete(g.byFile, i.settings.file)
	return true
}

func start(s settings) (*instance, error) {
	i := &instance{settings: s, stopped: make(chan struct{})}
	var err error
	i.server, err = server.New(server.Options{
		Load: s.load, ConfigFile: s.file, Version: version,
		LibraryLogs: true, TuneGC: true, DrainDelay: time.Nanosecond, // Envoy drains
	})
	if err != nil {
		return nil, fmt.Errorf("starting: %w", err)
	}
	var ctx context.Context
	ctx, i.stop = context.WithCancel(context.Background())
	go func() {
		defer close(i.stopped)
		if err := i.server.Run(ctx, nil); err != nil {
			logged(fmt.Errorf("the checks inside Envoy have ended, and nothing is decided until Envoy restarts: %w", err))
		}
	}()
	return i, nil
}
