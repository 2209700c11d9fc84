// Package stack runs what a user of Keyward runs: an upstream, Keyward and the
// real Envoy, or another proxy, between a client and that upstream, with the
// configuration that we ship. `make run` and the end-to-end tests start the same
// thing. It knows nothing of what is right: tests do.
package stack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
)

// Config says what a stack is made of.
type Config struct {
	Dir           string // where logs and the proxy's configuration go; Keyward's working directory
	Keyward       string // binary
	KeywardConfig string // file; it has to name the ports below
	Proxy         Proxy
	Ports         Ports
	Observe       func(Received) // told of each request the upstream gets; nil is nobody
	// Upstream listens at the address in the place of the API that answers with the
	// request it received, and returns what stops it; nil is that API.
	Upstream func(address string) (stop func(), err error)
}

// Stack is a running one.
type Stack struct {
	cfg          Config
	stopUpstream func() // nil until it runs
	Keyward      *Process
	Proxy        *Process
	stop         sync.Once
}

// Start starts all parts and returns when they are ready. On an error nothing is left running.
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

// StartKeyward starts Keyward, or starts it again after its Process was stopped.
func (s *Stack) StartKeyward(ctx context.Context) (err error) {
	s.Keyward, err = StartKeyward(ctx, "keyward", s.cfg)
	return err
}

// StartKeyward starts a Keyward, a stack's own or one more, with its output in
// NAME.log, and returns when it is ready. It does not use the configuration's Proxy.
// The Process is to be stopped with an error, too, unless it is nil.
func StartKeyward(ctx context.Context, name string, cfg Config) (*Process, error) {
	p, err := startProcess(name, cfg.Dir, cfg.Keyward, "serve", "--config", cfg.KeywardConfig)
	if err != nil {
		return nil, err
	}
	return p, waitReady(ctx, p, func(ctx context.Context) bool {
		return answers(ctx, "http://"+Address(cfg.Ports.Admin)+"/readyz")
	})
}

func (s *Stack) startProxy(ctx context.Context) (err error) {
	if s.Proxy, err = s.cfg.Proxy.Start(s.cfg.Dir, s.cfg.Ports); err != nil {
		return err
	}
	return waitReady(ctx, s.Proxy, func(ctx context.Context) bool { return s.cfg.Proxy.Ready(ctx, s.cfg.Ports) })
}

// Wait returns when the context is done, or with an error when a part has died.
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

// Stop ends all parts and waits for them, the one that clients talk to first.
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

// URL is where clients find the API.
func (s *Stack) URL() string { return "http://" + Address(s.cfg.Ports.Envoy) }

// Ports are those the stack listens on.
func (s *Stack) Ports() Ports { return s.cfg.Ports }

// Root returns the root of the checkout that the working folder is in.
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
			return "", errors.New("not within a checkout of Keyward: no envoy.yaml in any folder above")
		}
		dir = parent
	}
}
