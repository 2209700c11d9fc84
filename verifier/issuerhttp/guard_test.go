package issuerhttp

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"testing"
)

func TestAddressClass(t *testing.T) {
	for text, want := range map[string]addressClass{
		"192.0.2.1": remoteAddress, "10.0.0.1": remoteAddress, "172.16.0.1": remoteAddress, "192.168.1.1": remoteAddress, "2001:db8::1": remoteAddress, "fd00::1": remoteAddress, "100.64.0.1": remoteAddress,
		"127.0.0.1": loopbackAddress, "127.8.9.10": loopbackAddress, "::1": loopbackAddress, "0.0.0.0": loopbackAddress, "0.1.2.3": loopbackAddress, "::": loopbackAddress,
		"::ffff:127.0.0.1": loopbackAddress, "64:ff9b::127.0.0.1": loopbackAddress,
		"169.254.169.254": linkLocalAddress, "::ffff:169.254.169.254": linkLocalAddress, "64:ff9b::a9fe:a9fe": linkLocalAddress, "fe80::1": linkLocalAddress, "fe80::1%eth0": linkLocalAddress,
		"224.0.0.1": linkLocalAddress, "ff02::1": linkLocalAddress,
		"fd00:ec2::254": metadataAddress, "168.63.129.16": metadataAddress, "100.100.100.200": metadataAddress,
	} {
		if got := classOf(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
		if got := classOfHost(text); got != want {
			t.Errorf("host %s: %d, want %d", text, got, want)
		}
	}
	for host, want := range map[string]addressClass{
		"localhost": loopbackAddress, "LOCALHOST.": loopbackAddress, "id.localhost": loopbackAddress, "localhost.example.com": remoteAddress, "id.example.com": remoteAddress, "": remoteAddress,
	} {
		if got := classOfHost(host); got != want {
			t.Errorf("host %q: %d, want %d", host, got, want)
		}
	}
}

// TestExplicitHost: the host of an operator's own URL is dialled at any address.
func TestExplicitHost(t *testing.T) {
	u, err := url.Parse("http://keys.internal/jwks")
	if err != nil {
		t.Fatal(err)
	}
	r := NewGuard(u, true)
	if _, err := r.dial(t.Context(), "tcp", "keys.internal:1"); errors.Is(err, ErrForbiddenAddress) {
		t.Errorf("the host of jwks_url: %v", err)
	}
}

// TestOperatorsProxy: a proxy from the environment may be on this machine.
func TestOperatorsProxy(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	u, err := url.Parse("https://id.test")
	if err != nil {
		t.Fatal(err)
	}
	r := NewGuard(u, false)
	address := listener.Addr().String()
	if _, err := r.dial(t.Context(), "tcp", address); !errors.Is(err, ErrForbiddenAddress) {
		t.Errorf("no proxy: %v", err)
	}
	r.proxies[address] = true
	conn, err := r.dial(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
