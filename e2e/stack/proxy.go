package stack

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"time"
)

// Proxy is the program that clients talk to. It asks Keyward about each request
// and forwards the allowed ones. Each has a file here, and a shipped
// configuration.
type Proxy interface {
	// Start starts the proxy in the directory, with its configuration changed
	// to these ports. Clients use Ports.Envoy, whatever the proxy is.
	Start(dir string, ports Ports) (*Process, error)
	// Ready reports whether the proxy serves requests.
	Ready(ctx context.Context, ports Ports) bool
}

// Envoy is Envoy with the shipped envoy.yaml, which asks over gRPC.
type Envoy struct {
	Binary string
	Config *EnvoyConfig
	Env    []string // as in os/exec, in addition to this process's
}

// Start implements Proxy.
func (e Envoy) Start(dir string, ports Ports) (*Process, error) {
	file := filepath.Join(dir, "envoy.yaml")
	e.Config.SetPorts(ports)
	if err := e.Config.Write(file); err != nil {
		return nil, fmt.Errorf("writing Envoy's configuration: %w", err)
	}
	// Hot restart shares memory between Envoys of a machine, so that a second
	// stack could not start.
	return startWith(e.Env, "envoy", dir, e.Binary, "-c", file, "--disable-hot-restart", "--concurrency", "2")
}

// Ready implements Proxy.
func (e Envoy) Ready(ctx context.Context, ports Ports) bool {
	return Answers(ctx, "http://"+Address(ports.EnvoyAdmin)+"/ready")
}

// isServed reports whether a server accepts connections at the port.
func isServed(ctx context.Context, port int) bool {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", Address(port))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// EnvoyArgs is an Envoy with given arguments, including its configuration file,
// which has the ports.
type EnvoyArgs struct {
	Binary string
	Args   []string
	Env    []string // as in Envoy
}

// Start implements Proxy.
func (e EnvoyArgs) Start(dir string, _ Ports) (*Process, error) {
	return startWith(e.Env, "envoy", dir, append([]string{e.Binary}, e.Args...)...)
}

// Ready implements Proxy.
func (e EnvoyArgs) Ready(ctx context.Context, ports Ports) bool { return Envoy{}.Ready(ctx, ports) }
