package authz

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// TestParseAddress: all spellings of an address give the same address, and no
// other text gives one.
func TestParseAddress(t *testing.T) {
	for want, spellings := range map[string][]string{
		"192.0.2.1": {
			"192.0.2.1", "192.0.2.1:1024", "192.0.2.1:", "[192.0.2.1]", "[192.0.2.1]:443", " 192.0.2.1\t", "::ffff:192.0.2.1", "::FFFF:c000:201",
			"[::ffff:192.0.2.1]:1024", "0:0:0:0:0:ffff:192.0.2.1", "::ffff:192.0.2.1%eth0",
		},
		"2001:db8::1": {
			"2001:db8::1", "2001:DB8::1", "2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8:0:0:0:0:0:1", "2001:db8:0::1",
			"[2001:db8::1]", "[2001:db8::1]:443", "2001:db8::1%eth0", "[2001:db8::1%25eth0]:443", "2001:db8::0.0.0.1",
		},
		"": {
			"", " ", "unknown", "_hidden", "unix:", "-", "@", "example.com", "192.0.2.1.5", "192.0.2.1:port", "192.0.2.1:123456", "192.000.002.001",
			"[::1", "::1]", "[]", "[", "[[::1]]", "[::1]x", "[::1]443", "192.0.2.1%eth0", "%eth0", "192.0.2.1, 192.0.2.2", "192.0.2.1\x00",
			"::ffff:192.0.2.1:80:80", "1:2:3:4:5:6:7:8:80", strings.Repeat("1", MaxRawAddress+1), "::1%" + strings.Repeat("z", MaxRawAddress),
		},
	} {
		for _, text := range spellings {
			a := ParseAddress(text)
			if a.String() != want || a.Known() != (want != "") || a != ParseAddress(want) || a.Client() != ParseAddress(want).Client() {
				t.Errorf("%q is %q of %v, want %q", text, a, a.Client(), want)
			}
		}
	}
}

// TestAddressRanges: what counts as one client, and as one network.
func TestAddressRanges(t *testing.T) {
	for text, want := range map[string][2]string{
		"192.0.2.1":           {"192.0.2.1/32", "192.0.0.0/16"},
		"2001:db8:1:2:3::4":   {"2001:db8:1:2::/64", "2001:db8::/32"},
		"64:ff9b::192.0.2.1":  {"64:ff9b::c000:201/128", "64:ff9b::/32"},
		"64:ff9b:0:0:0:1:2:3": {"64:ff9b::/64", "64:ff9b::/32"},
		"unknown":             {netip.Prefix{}.String(), netip.Prefix{}.String()},
	} {
		a := ParseAddress(text)
		if got := [2]string{a.Client().String(), a.Network().String()}; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// TestParseNetwork: a network has one text, and no other text is one.
func TestParseNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.0/24": "192.0.2.0/24", "192.0.2.1": "192.0.2.1/32", "0.0.0.0/0": "0.0.0.0/0",
		"2001:db8::/32": "2001:db8::/32", "2001:DB8:0::/32": "2001:db8::/32", "::1": "::1/128", "::/0": "::/0",

		"": "", "192.0.2.1/24": "", "2001:db8::1/32": "", "::ffff:192.0.2.0/120": "", "::ffff:192.0.2.1": "", "fe80::1%eth0": "", "fe80::%eth0/64": "",
		"192.0.2.0/33": "", "192.0.2.0/-1": "", "192.0.2.0/024": "", "192.0.2.0/": "", "192.0.2/24": "", "192.0.2.0/24 ": "", "192.0.2.0-192.0.2.9": "", "example.com": "",
	} {
		network, err := ParseNetwork(text)
		if got := map[bool]string{true: network.String()}[err == nil]; got != want {
			t.Errorf("%q is %q (%v), want %q", text, got, err, want)
		}
		if err != nil && network.IsValid() {
			t.Errorf("%q is refused, and is %v", text, network)
		}
	}
}

// TestAddressInNetwork: the canonical address counts, and an unknown one is in no
// network.
func TestAddressInNetwork(t *testing.T) {
	for _, test := range []struct {
		address, network string
		want             bool
	}{
		{"192.0.2.255", "192.0.2.0/24", true},
		{"::ffff:192.0.2.1", "192.0.2.0/24", true},
		{"192.0.2.1:4711", "192.0.2.1/32", true},
		{"192.0.3.0", "192.0.2.0/24", false},
		{"192.0.2.1", "::/0", false},
		{"2001:db8::1%eth0", "2001:db8::/32", true},
		{"2001:db9::1", "2001:db8::/32", false},
		{"2001:db8::1", "0.0.0.0/0", false},
		{"unknown", "0.0.0.0/0", false},
		{"", "::/0", false},
	} {
		if got := ParseAddress(test.address).In(netip.MustParsePrefix(test.network)); got != test.want {
			t.Errorf("%q in %s: %t", test.address, test.network, got)
		}
	}
	if ParseAddress("192.0.2.1").In(netip.Prefix{}) {
		t.Error("an address is in the zero network")
	}
}

// TestClientOfRequest: the right entry of X-Forwarded-For is used.
func TestClientOfRequest(t *testing.T) {
	for _, test := range []struct {
		lines []string
		hops  int
		want  string
	}{
		{[]string{"9.9.9.9, 1.2.3.4"}, 0, "10.0.0.1"},
		{[]string{"9.9.9.9, 1.2.3.4"}, -1, "10.0.0.1"},
		{[]string{"9.9.9.9, 1.2.3.4"}, 1, "1.2.3.4"},
		{[]string{"9.9.9.9, 1.2.3.4"}, 2, "9.9.9.9"},
		{[]string{"9.9.9.9 ,\t1.2.3.4 "}, 2, "9.9.9.9"},
		{[]string{"9.9.9.9:80,1.2.3.4:4711"}, 1, "1.2.3.4"},
		{[]string{"[2001:DB8::1]:80, 1.2.3.4"}, 2, "2001:db8::1"},
		// A client that bypassed the outermost proxy.
		{[]string{"9.9.9.9, 1.2.3.4"}, 3, "9.9.9.9"},
		{nil, 1, "10.0.0.1"},
		{[]string{""}, 1, "10.0.0.1"},
		{[]string{" , ,"}, 1, "10.0.0.1"},
		// Lines form one list, and empty entries do not count.
		{[]string{"8.8.8.8", "9.9.9.9, 1.2.3.4"}, 1, "1.2.3.4"},
		{[]string{"8.8.8.8", "9.9.9.9, 1.2.3.4"}, 2, "9.9.9.9"},
		{[]string{"8.8.8.8", "9.9.9.9, 1.2.3.4"}, 3, "8.8.8.8"},
		{[]string{"8.8.8.8", "", "1.2.3.4"}, 2, "8.8.8.8"},
		{[]string{"9.9.9.9,, 1.2.3.4,"}, 1, "1.2.3.4"},
		// An entry that cannot be read is not replaced by the address of
		// another client or of the proxy.
		{[]string{"9.9.9.9, unknown"}, 1, ""},
		{[]string{"9.9.9.9, a\x01b"}, 1, ""},
		{[]string{"9.9.9.9", "unix:"}, 1, ""},
		{[]string{"9.9.9.9", "unix:"}, 2, "9.9.9.9"},
	} {
		r := &Request{Peer: "10.0.0.1", trustedHops: test.hops, Headers: []Header{{"accept", "1.1.1.1"}}}
		for _, line := range test.lines {
			r.Headers = append(r.Headers, Header{"x-forwarded-for", line})
		}
		if got := r.Client().Address().String(); got != test.want {
			t.Errorf("%q with %d hops: %q, want %q", test.lines, test.hops, got, test.want)
		}
	}
}

// FuzzAddress: an address has one canonical text, however it was written, and
// only the text of an address parses.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{
		"192.0.2.1", "192.0.2.1:80", "[2001:db8::1]:443", "2001:DB8:0:0::1%eth0", "::ffff:1.2.3.4", "64:ff9b::1.2.3.4", "[", "1:", "%", "unknown", "::%",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a := ParseAddress(text)
		canonical := a.String()
		if ParseAddress(canonical) != a {
			t.Fatalf("%q: the canonical %q is another address", text, canonical)
		}
		if !a.Known() {
			if canonical != "" || a != (Address{}) {
				t.Fatalf("%q: unknown, but has the text %q", text, canonical)
			}
			return
		}
		ip := netip.MustParseAddr(canonical)
		if ip.Is4In6() || ip.Zone() != "" || ip.String() != canonical || !a.Client().Contains(ip) || !a.Network().Contains(ip) {
			t.Fatalf("%q: %q is not canonical, or not within %v and %v", text, canonical, a.Client(), a.Network())
		}
		spellings := []string{"[%s]", "[%s]:80", " %s\t"}
		if ip.Is4() {
			spellings = append(spellings, "%s:4711", "%s:", "::ffff:%s", "[::ffff:%s]:80")
		} else {
			spellings = append(spellings, "%s%%eth0", "[%s%%1]:80")
			if got := ParseAddress(strings.ToUpper(ip.StringExpanded())); got != a {
				t.Fatalf("%q: %q spelled out is %q", text, canonical, got)
			}
		}
		for _, spelling := range spellings {
			if got := ParseAddress(fmt.Sprintf(spelling, canonical)); got != a {
				t.Fatalf("%q: %s of %q is %q", text, spelling, canonical, got)
			}
		}
	})
}

// TestAddressAllocations: finding, parsing and counting by an address allocates
// nothing.
func TestAddressAllocations(t *testing.T) {
	r := &Request{Peer: "10.0.0.1", trustedHops: 2, Headers: []Header{{"x-forwarded-for", "9.9.9.9"}, {"x-forwarded-for", "[2001:DB8::1%eth0]:80, 10.0.0.2"}}}
	want := netip.MustParsePrefix("2001:db8::/64")
	if allocs := testing.AllocsPerRun(1000, func() {
		if r.Client().Address().Client() != want {
			t.Fatal(r.Client())
		}
	}); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// TestClientIsOne: the limiter, the verifier and the log of one check get the
// same address, by this checker's number of hops and not by an earlier one's.
func TestClientIsOne(t *testing.T) {
	w, r := newFakeDeps(), request()
	var seen Address
	w.verify = func(c *Credential) (*Principal, error) { seen = c.Client.Address(); return alice(), nil }
	c := w.limited(t, &fakeLimiter{})
	for hops, want := range map[int]string{0: "10.0.0.1", 1: "2001:db8::1", 2: "9.9.9.9"} {
		r.Reset()
		*r = *request()
		r.Peer, r.Headers = "10.0.0.1:99", append(r.Headers, Header{"x-forwarded-for", "9.9.9.9:1, [2001:DB8:0::1]:2"})
		c.cfg.TrustedHops = hops
		if d := c.Check(context.Background(), r); d.Reason != OK || seen.String() != want || r.Client().Address() != seen {
			t.Errorf("%d hops: %s, the verifier got %s, others %s; want %s", hops, d.Reason, seen, r.Client().Address(), want)
		}
	}
}

// FuzzParseNetwork: what is accepted has one text, which is accepted.
func FuzzParseNetwork(f *testing.F) {
	for _, text := range []string{"192.0.2.0/24", "192.0.2.1", "2001:db8::/32", "::ffff:192.0.2.0/120", "fe80::1%eth0", "::/0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		network, err := ParseNetwork(text)
		if err != nil {
			return
		}
		again, err := ParseNetwork(network.String())
		if err != nil || again != network || network.Addr().Is4In6() || network != network.Masked() {
			t.Fatalf("%q is %v, which is %v (%v)", text, network, again, err)
		}
	})
}
