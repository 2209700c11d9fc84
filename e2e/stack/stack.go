// Package stack runs what a user of Keyward runs: an upstream, Keyward, and the
// real Envoy or another proxy between a client and that upstream, with the
// shipped configuration. `make run` and the end-to-end tests start the same
// stack. It does not know which results are correct; tests do.
package stack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
)

// Config describes a stack.
type Config struct {
	Dir           string // for logs and the proxy's configuration; Keyward's working directory
	Keyward       string // binary
	KeywardConfig string // file; it must name the ports below
	Proxy         Proxy
	Ports         Ports
	Observe       func(Received) // called for each request that the upstream receives, unless nil
	// Upstream replaces the API that answers with the request that it received.
	// It listens at the address, and returns a function that stops it. nil
	// means that API.
	Upstream func(address string) (stop func(), err error)
}

// Stack is a running stack.
type Stack struct {
	cfg          Config
	stopUpstream func() // nil until it runs
	Keyward      *Process
	Proxy        *Process
	stop         sync.Once
}

// Start starts all parts and returns when they are ready. On an error no part
// is left running.
func Start(ctx context.Context, cfg Config) (*Stack, error) {
	s := &Stack{cfg: cfg}
	if err := s.start(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context) (err error) {
	if s.stopUpstream, err = s.cfg.startUpstream(); err != nil {
		return err
	}
	if err := s.StartKeyward(ctx); err != nil {
		return err
	}
	return s.startProxy(ctx)
}

func (c Config) startUpstream() (stop func(), err error) {
	address := Address(c.Ports.Upstream)
	if c.Upstream != nil {
		return c.Upstream(address)
	}
	upstream, err := StartUpstream(address, c.Observe)
	if err != nil {
		return nil, err
	}
	return upstream.Stop, nil
}

// StartKeyward starts Keyward, also again after its Process was stopped.
func (s *Stack) StartKeyward(ctx context.Context) (err error) {
	s.Keyward, err = StartKeyward(ctx, "keyward", s.cfg)
	return err
}

// StartKeyward starts a Keyward, a stack's own or another one, with its output
// in NAME.log, and returns when it is ready. It ignores the configuration's
// Proxy. The caller must stop the Process, even after an error, unless it is
// nil.
func StartKeyward(ctx context.Context, name string, cfg Config) (*Process, error) {
	p, err := startProcess(name, cfg.Dir, cfg.Keyward, "serve", "--config", cfg.KeywardConfig)
	if err != nil {
		return nil, err
	}
	return p, waitReady(ctx, p, func(ctx context.Context) bool {
		return Answers(ctx, "http://"+Address(cfg.Ports.Admin)+"/readyz")
	})
}

func (s *Stack) startProxy(ctx context.Context) (err error) {
	if s.Proxy, err = s.cfg.Proxy.Start(s.cfg.Dir, s.cfg.Ports); err != nil {
		return err
	}
	return waitReady(ctx, s.Proxy, func(ctx context.Context) bool { return s.cfg.Proxy.Ready(ctx, s.cfg.Ports) })
}

// Wait returns when the context is done, or with an error when a part has
// ended.
func (s *Stack) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.Keyward.exited:
		return s.Keyward.fault("died")
	case <-s.Proxy.exited:
		return s.Proxy.fault("died")
	}
}

// Stop ends all parts and waits for them, beginning with the proxy.
func (s *Stack) Stop() {
	s.stop.Do(func() {
		if s.Proxy != nil {
			s.Proxy.Stop()
		}
		if s.Keyward != nil {
			s.Keyward.Stop()
		}
		if s.stopUpstream != nil {
			s.stopUpstream()
		}
	})
}

// URL returns where clients reach the API.
func (s *Stack) URL() string { return "http://" + Address(s.cfg.Ports.Envoy) }

// Ports returns the ports on which the stack listens.
func (s *Stack) Ports() Ports { return s.cfg.Ports }

// Root returns the root of the checkout that contains the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "envoy.yaml")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("not within a checkout of Keyward: no envoy.yaml in any directory above")
		}
		dir = parent
	}
}
