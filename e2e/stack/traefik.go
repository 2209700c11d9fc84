package stack

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

// Traefik is Traefik with the configuration of deploy/traefik.
type Traefik struct {
	Binary          string
	Static, Dynamic string // the texts of traefik.yaml and dynamic.yaml
}

// Start implements Proxy.
func (t Traefik) Start(dir string, ports Ports) (*Process, error) {
	for name, text := range map[string]string{"traefik.yaml": t.Static, "dynamic.yaml": t.Dynamic} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(portsInText(text, ports)), 0o600); err != nil {
			return nil, fmt.Errorf("writing Traefik's configuration: %w", err)
		}
	}
	return startProcess("traefik", dir, t.Binary, "--configFile=traefik.yaml")
}

// Ready implements Proxy. Traefik listens before it has read its routes, and
// has none until then.
func (t Traefik) Ready(ctx context.Context, ports Ports) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+Address(ports.Envoy)+"/v1/auth/verify", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	// The request has no credential. A response other than Traefik's own 404 is
	// Keyward's: 401, or 403 if it requires TLS.
	return response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden
}
