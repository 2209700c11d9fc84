package extauthz

import (
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"

	"keyward/authz"
)

// TestKeyExpiryHeader: clients learn in the last 14 days when their key ends, if the
// operator has enabled that; the upstream never does.
func TestKeyExpiryHeader(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	const days = 24 * time.Hour
	for name, test := range map[string]struct {
		on    bool
		until time.Time
		want  string
	}{
		"off":                 {false, now.Add(time.Hour), ""},
		"never":               {true, time.Time{}, ""},
		"more than 14 days":   {true, now.Add(14*days + 1), ""},
		"14 days":             {true, now.Add(14 * days), "2026-11-15T12:00:00Z"},
		"an hour":             {true, now.Add(time.Hour), "2026-11-01T13:00:00Z"},
		"in another timezone": {true, now.Add(time.Hour).In(time.FixedZone("", 3600)), "2026-11-01T13:00:00Z"},
	} {
		d := &authz.Decision{Reason: authz.OK, At: now, Principal: &authz.Principal{KeyID: "k_1", AcceptedUntil: test.until}}
		n := Renderer{KeyExpiry: test.on, Now: func() time.Time { return now }}
		response := new(authv3.CheckResponse)
		if err := proto.Unmarshal(n.appendCheckResponse(nil, &authz.Request{}, d), response); err != nil {
			t.Fatal(err)
		}
		ok := response.GetOkResponse()
		if got := header(ok.GetResponseHeadersToAdd(), "x-keyward-key-expires"); got != test.want {
			t.Errorf("%s: the client gets %q, want %q", name, got, test.want)
		}
		if got := header(ok.GetHeaders(), "x-keyward-key-expires"); got != "" {
			t.Errorf("%s: the upstream gets %q", name, got)
		}
		if n := testing.AllocsPerRun(100, func() { n.Allow(d) }); test.want == "" && n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	n := Renderer{KeyExpiry: true}
	if got := n.Allow(&authz.Decision{Reason: authz.Anonymous}); len(got.ResponseHeaders) > 0 {
		t.Errorf("without a principal: %+v", got)
	}
}
