package stack

import (
	"fmt"
	"net"
	"os"
	"strconv"
)

// Ports are the TCP ports of a stack, all on loopback.
type Ports struct {
	Envoy, EnvoyAdmin int
	GRPC, HTTP, Admin int // Keyward's
	Console, Issuer   int // Keyward's too
	Upstream          int
}

// Shipped are the ports of envoy.yaml and of Keyward's defaults.
var Shipped = Ports{Envoy: 10000, EnvoyAdmin: 9901, GRPC: 9191, HTTP: 9192, Admin: 9193, Console: 9194, Issuer: 9195, Upstream: 8000}

type namedPort struct {
	variable, of string
	port         *int
}

func (p *Ports) named() []namedPort {
	return []namedPort{
		{"ENVOY_PORT", "Envoy", &p.Envoy},
		{"ENVOY_ADMIN_PORT", "Envoy's admin interface", &p.EnvoyAdmin},
		{"GRPC_PORT", "Keyward's gRPC listener", &p.GRPC},
		{"HTTP_PORT", "Keyward's HTTP listener", &p.HTTP},
		{"ADMIN_PORT", "Keyward's admin listener", &p.Admin},
		{"CONSOLE_PORT", "Keyward's console", &p.Console},
		{"ISSUER_PORT", "Keyward's issuer", &p.Issuer},
		{"UPSTREAM_PORT", "the upstream", &p.Upstream},
	}
}

// PortsFromEnvironment returns the shipped ports, except those that the
// environment sets. The port of Envoy's admin interface is replaced by a free
// one if it is in use and not set, so that two stacks can run in parallel.
func PortsFromEnvironment() (Ports, error) {
	ports := Shipped
	for _, p := range ports.named() {
		text := os.Getenv(p.variable)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 65535 {
			return Ports{}, fmt.Errorf("%s=%q is not a port", p.variable, text)
		}
		*p.port = n
	}
	if os.Getenv("ENVOY_ADMIN_PORT") == "" && !isFree(ports.EnvoyAdmin) {
		free, err := FreePorts()
		if err != nil {
			return Ports{}, err
		}
		ports.EnvoyAdmin = free.EnvoyAdmin
	}
	return ports, nil
}

// Check returns an error if a port is in use or named twice, with advice.
func (p Ports) Check() error {
	users := map[int]string{}
	for _, named := range p.named() {
		if other := users[*named.port]; other != "" {
			return fmt.Errorf("port %d is both %s and %s: set %s to another", *named.port, other, named.of, named.variable)
		}
		users[*named.port] = named.of
		if !isFree(*named.port) {
			return fmt.Errorf("port %d, for %s, is in use: stop what listens there, or choose another port with %s=…", *named.port, named.of, named.variable)
		}
	}
	return nil
}

func isFree(port int) bool {
	listener, err := net.Listen("tcp", Address(port))
	if err != nil {
		return false
	}
	listener.Close()
	return true
}

// FreePorts returns ports that are free at the moment.
func FreePorts() (Ports, error) {
	var ports Ports
	for _, p := range ports.named() {
		listener, err := net.Listen("tcp", Address(0))
		if err != nil {
			return Ports{}, err
		}
		defer listener.Close() // only after all are found, so that none is found twice
		*p.port = listener.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// Address returns the loopback address with the port.
func Address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
