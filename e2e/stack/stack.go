// Package stack runs what a user of Keyward runs: an upstream, Keyward and the
// real Envoy between a client and that upstream, with the envoy.yaml that we
// ship. `make run` and the end-to-end tests start the same thing. It knows
// nothing of what is right: tests do.
package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Config says what a stack is made of.
type Config struct {
	Dir           string // where logs and Envoy's configuration go; Keyward's working folder
	Keyward       string // binary
	Envoy         string // binary
	KeywardConfig string // file; it has to name the ports below
	EnvoyConfig   *EnvoyConfig
	Ports         Ports
	Observe       func(Received) // told of each request the upstream gets; nil is nobody
}

// Stack is a running one.
type Stack struct {
	cfg      Config
	upstream *Upstream
	Keyward  *Process
	Envoy    *Process
	stop     sync.Once
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
	if s.upstream, err = StartUpstream(Address(s.cfg.Ports.Upstream), s.cfg.Observe); err != nil {
		return err
	}
	if err := s.StartKeyward(ctx); err != nil {
		return err
	}
	return s.startEnvoy(ctx)
}

// StartKeyward starts Keyward, or starts it again after its Process was stopped.
func (s *Stack) StartKeyward(ctx context.Context) (err error) {
	s.Keyward, err = startProcess("keyward", s.cfg.Dir, s.cfg.Keyward, "serve", "--config", s.cfg.KeywardConfig)
	if err != nil {
		return err
	}
	return waitReady(ctx, s.Keyward, "http://"+Address(s.cfg.Ports.Admin)+"/readyz")
}

func (s *Stack) startEnvoy(ctx context.Context) (err error) {
	file := filepath.Join(s.cfg.Dir, "envoy.yaml")
	s.cfg.EnvoyConfig.SetPorts(s.cfg.Ports)
	if err := s.cfg.EnvoyConfig.Write(file); err != nil {
		return fmt.Errorf("writing Envoy's configuration: %w", err)
	}
	// Hot restart shares memory between Envoys of a machine, and a second stack could not start.
	s.Envoy, err = startProcess("envoy", s.cfg.Dir, s.cfg.Envoy, "-c", file, "--disable-hot-restart", "--concurrency", "2")
	if err != nil {
		return err
	}
	return waitReady(ctx, s.Envoy, "http://"+Address(s.cfg.Ports.EnvoyAdmin)+"/ready")
}

// Wait returns when the context is done, or with an error when a part has died.
func (s *Stack) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.Keyward.exited:
		return s.Keyward.fault("died")
	case <-s.Envoy.exited:
		return s.Envoy.fault("died")
	}
}

// Stop ends all parts and waits for them, the one that clients talk to first.
func (s *Stack) Stop() {
	s.stop.Do(func() {
		if s.Envoy != nil {
			s.Envoy.Stop()
		}
		if s.Keyward != nil {
			s.Keyward.Stop()
		}
		if s.upstream != nil {
			s.upstream.Stop()
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
