package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// HAProxy is HAProxy with the configuration of deploy/haproxy.
type HAProxy struct {
	Binary string
	Files  map[string]string // the texts of haproxy.cfg and of its Lua script, by file name
}

// HAProxyBinary returns the path of HAProxy on this machine.
func HAProxyBinary() (string, error) {
	path := os.Getenv("PATH") + string(os.PathListSeparator) + "/usr/sbin" // not in every PATH
	for _, dir := range filepath.SplitList(path) {
		if binary, err := exec.LookPath(filepath.Join(dir, "haproxy")); err == nil {
			return binary, nil
		}
	}
	return "", errors.New("HAProxy is not installed (on Debian and Ubuntu: apt-get install haproxy)")
}

// Start implements Proxy.
func (h HAProxy) Start(dir string, ports Ports) (*Process, error) {
	for name, text := range h.Files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(portsInText(text, ports)), 0o600); err != nil {
			return nil, fmt.Errorf("writing HAProxy's configuration: %w", err)
		}
	}
	return startProcess("haproxy", dir, h.Binary, "-db", "-f", "haproxy.cfg")
}

// Ready implements Proxy.
func (h HAProxy) Ready(ctx context.Context, ports Ports) bool { return isServed(ctx, ports.Envoy) }
