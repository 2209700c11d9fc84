package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"keyward/server"
)

// instance is what checks by one configuration. All filters that name the file share
// it: a change of Envoy's configuration reads no keys again.
type instance struct {
	settings settings
	server   *server.Server
	filters  int // that use it

	stop    context.CancelFunc
	stopped chan struct{}
}

// registry has the instances of the process by their file.
type registry struct {
	mu     sync.Mutex
	byFile map[string]*instance
}

var instances = registry{byFile: map[string]*instance{}}

// closeTimeout bounds the wait for an instance to end, for which Envoy waits too.
const closeTimeout = 2 * time.Second

// open returns the instance of the file, and starts it for the first filter. The
// caller closes it.
func (g *registry) open(s settings) (*instance, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.byFile[s.file]
	if i == nil {
		var err error
		if i, err = start(s); err != nil {
			return nil, err
		}
		g.byFile[s.file] = i
	}
	if i.settings.admin != s.admin {
		return nil, fmt.Errorf("filter_config: admin: %q, and another filter with the same config has %q", s.admin, i.settings.admin)
	}
	i.filters++
	return i, nil
}

// close ends the instance after its last filter.
func (g *registry) close(i *instance) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i.filters--; i.filters > 0 {
		return
	}
	delete(g.byFile, i.settings.file)
	i.stop()
	select {
	case <-i.stopped:
	case <-time.After(closeTimeout):
	}
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
		if err := i.server.Run(ctx, nil); err != nil && !errors.Is(err, context.Canceled) {
			logged(fmt.Errorf("the listener for metrics has ended: %w", err))
		}
	}()
	return i, nil
}
