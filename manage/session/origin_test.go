package session

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"

	"keyward/authz"
)

func request(host string, local net.Addr, header ...string) *http.Request {
	r := &http.Request{Method: "POST", Host: host, Header: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	if local == nil {
		return r.WithContext(context.Background())
	}
	return r.WithContext(context.WithValue(context.Background(), http.LocalAddrContextKey, local))
}

// TestServes is the policy of host names: which request is for the console.
func TestServes(t *testing.T) {
	local4 := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9194}
	local6 := &net.TCPAddr{IP: net.IPv6loopback, Port: 9194}
	port80 := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}
	remote := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9194}
	socket := &net.UnixAddr{Name: "/run/console.sock", Net: "unix"}
	const public = "https://console.example.com"
	for _, test := range []struct {
		public string
		local  net.Addr
		host   string
		want   bool
	}{
		{"", local4, "127.0.0.1:9194", true},
		{"", local4, "localhost:9194", true},
		{"", local4, "LOCALHOST:9194", true},
		{"", local4, "[::1]:9194", true},
		{"", local6, "[::1]:9194", true},
		{"", local4, "::1", false},
		{"", local4, "127.0.0.1", false},
		{"", port80, "127.0.0.1", true},
		{"", local4, "127.0.0.1:9195", false},
		{"", local4, "127.0.0.1:09194", false},
		{"", local4, "127.0.0.1:", false},
		{"", local4, "127.0.0.2:9194", false},
		{"", local4, "127.1:9194", false},
		{"", local4, "localhost.:9194", false},
		{"", local4, "evil.example:9194", false},
		{"", local4, "", false},
		{"", socket, "localhost", true},
		{"", socket, "evil.example", false},
		{"", remote, "console.example.com:9194", true},
		{"", remote, "", false},
		{"", nil, "127.0.0.1:9194", false},

		{public, remote, "console.example.com", true},
		{public, remote, "Console.Example.Com:443", true},
		{public, remote, "console.example.com:9194", false},
		{public, remote, "192.0.2.1:9194", false},
		{public, remote, "127.0.0.1:9194", false},
		{public, remote, "", false},
		{public, local4, "console.example.com", true},
		{public, local4, "127.0.0.1:9194", true},
		{public, local4, "evil.example", false},
		{public, socket, "console.example.com", true},
		{"http://localhost:8080", remote, "localhost:8080", true},
		{"http://localhost:8080", remote, "localhost", false},
		{"https://[2001:db8::1]", remote, "[2001:db8::1]", true},
		{"https://[2001:db8::1]", remote, "[2001:db8::1]:443", true},
	} {
		if got := (Origin{Public: test.public}).Serves(request(test.host, test.local)); got != test.want {
			t.Errorf("public %q, %v, Host %q: %t, want %t", test.public, test.local, test.host, got, test.want)
		}
	}
}

// TestSame: what browsers say of a change. The tests of package server have more.
func TestSame(t *testing.T) {
	const public = "https://console.example.com"
	for _, test := range []struct {
		public string
		header []string
		want   bool
	}{
		{public, nil, false},
		{"", nil, false},
		{"", []string{"Sec-Fetch-Site", "same-origin"}, true},
		{"", []string{"Sec-Fetch-Site", "Same-Origin"}, false},
		{"", []string{"Sec-Fetch-Site", ""}, false},
		{"", []string{"Origin", "http://127.0.0.1:9194"}, false},
		{"", []string{"Origin", ""}, false},
		{public, []string{"Origin", public}, true},
		{public, []string{"Origin", public + "/"}, false},
		{public, []string{"Origin", "http://console.example.com"}, false},
		{public, []string{"Origin", public, "Sec-Fetch-Site", "cross-site"}, false},
		{public, []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "same-origin"}, true},
	} {
		if got := (Origin{Public: test.public}).Same(request("", nil, test.header...)); got != test.want {
			t.Errorf("public %q, %q: %t, want %t", test.public, test.header, got, test.want)
		}
	}
}

func TestBase(t *testing.T) {
	r := request("localhost:9194", nil)
	if got := (Origin{}).Base(r); got != "http://localhost:9194" {
		t.Error(got)
	}
	r.TLS = &tls.ConnectionState{}
	if got := (Origin{}).Base(r); got != "https://localhost:9194" {
		t.Error(got)
	}
	if got := (Origin{Public: "https://a.example"}).Base(r); got != "https://a.example" {
		t.Error(got)
	}
}

// TestCookie: the attributes without which a browser would not keep a cookie of that
// name, and those that keep it from scripts and other sites.
func TestCookie(t *testing.T) {
	set := SetCookie(authz.NewSecret("token"))
	if set != "__Host-keyward-console=token; Path=/; HttpOnly; Secure; SameSite=Strict" {
		t.Error(set)
	}
	if cleared := ClearCookie(); !strings.HasPrefix(cleared, "__Host-keyward-console=; Path=/; Max-Age=0; ") || !strings.HasSuffix(cleared, set[len("__Host-keyward-console=token; Path=/; "):]) {
		t.Error(cleared)
	}
	r := &http.Request{Header: http.Header{"Cookie": {strings.SplitN(set, ";", 2)[0]}}}
	if c, err := r.Cookie(CookieName); err != nil || c.Value != "token" {
		t.Errorf("%v, %v", c, err)
	}
}
