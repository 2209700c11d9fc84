package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"keyward/config"
	"keyward/filewatch"
)

// certificates are the TLS files of a listener. They are checked for changes when a
// client connects, at most once per second, so that a renewed certificate is in
// force without a restart. If the new files do not load, the last good ones stay.
type certificates struct {
	files  config.KeyPair
	logger *slog.Logger
	now    func() time.Time

	mu      sync.Mutex
	checked time.Time
	states  [3]filewatch.State // when they were last loaded
	loaded  *tls.Config
}

// newTLS returns a TLS configuration for the files. They must load now.
func newTLS(files config.KeyPair, logger *slog.Logger, now func() time.Time, protocols ...string) (*tls.Config, error) {
	c := &certificates{files: files, logger: logger, now: now, checked: now(), states: statesOf(files)}
	var err error
	if c.loaded, err = loadTLS(files, protocols); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return c.current(protocols), nil
		},
	}, nil
}

func (c *certificates) current(protocols []string) *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.checked) >= time.Second {
		c.checked = now
		if states := statesOf(c.files); states != c.states {
			c.states = states
			c.reload(protocols)
		}
	}
	return c.loaded
}

func (c *certificates) reload(protocols []string) {
	fresh, err := loadTLS(c.files, protocols)
	if err != nil {
		c.logger.Error("certificate not reloaded; the last good one stays", "error", err)
		return
	}
	c.loaded = fresh
	c.logger.Info("certificate reloaded", "file", c.files.CertFile)
}

// CheckTLS returns an error if the files of a listener do not load.
func CheckTLS(files config.KeyPair) error {
	_, err := loadTLS(files, nil)
	return err
}

func loadTLS(files config.KeyPair, protocols []string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("loading certificate %q: %w", files.CertFile, err)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols, Certificates: []tls.Certificate{pair}}
	if files.ClientCAFile == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(files.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("reading client CA: %w", err)
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("client CA file " + files.ClientCAFile + " holds no certificate")
	}
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	return cfg, nil
}

func statesOf(files config.KeyPair) [3]filewatch.State {
	return [3]filewatch.State{filewatch.StateOf(files.CertFile), filewatch.StateOf(files.KeyFile), filewatch.StateOf(files.ClientCAFile)}
}
