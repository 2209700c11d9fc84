package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Caddy is Caddy with the configuration of deploy/caddy.
type Caddy struct {
	Binary string
	Config string // the text of the Caddyfile
}

// Start implements Proxy.
func (c Caddy) Start(dir string, ports Ports) (*Process, error) {
	text := c.Config
	for _, place := range [][2]string{
		// A site's address names no interface; that is what bind is for.
		{"http://:10000 {", fmt.Sprintf("http://:%d {", ports.Envoy)},
		// Caddy writes to this directory, not to the user's home.
		{"\tadmin off\n", fmt.Sprintf("\tadmin off\n\tstorage file_system %q\n", filepath.Join(dir, "caddy"))},
	} {
		if strings.Count(text, place[0]) != 1 {
			return nil, errors.New("the Caddyfile does not have exactly once: " + strings.TrimSpace(place[0]))
		}
		text = strings.Replace(text, place[0], place[1], 1)
	}
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(portsInText(text, ports)), 0o600); err != nil {
		return nil, fmt.Errorf("writing Caddy's configuration: %w", err)
	}
	return startProcess("caddy", dir, c.Binary, "run", "--config", file, "--adapter", "caddyfile")
}

// Ready implements Proxy.
func (c Caddy) Ready(ctx context.Context, ports Ports) bool { return isServed(ctx, ports.Envoy) }
