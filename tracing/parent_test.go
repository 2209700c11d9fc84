package tracing

import (
	"regexp"
	"testing"

	"keyward/authz"
)

// wellFormed is a traceparent of version 00 as in section 3.2 of the W3C
// recommendation. Ids of zeros are invalid, and two flags are defined.
var wellFormed = regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-0[0-3]$`)

const zeros = "00000000000000000000000000000000"

// FuzzParent: nothing that a client sends causes an error. A well-formed header
// is the parent exactly, the call's before the request's, and of version 00 no
// other header is one.
func FuzzParent(f *testing.F) {
	const sampled, other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
	for _, seed := range [][2]string{{sampled, other}, {"", other}, {"00", sampled}, {"---", "ff" + sampled[2:]}, {"cc" + sampled[2:] + "-x", ""}, {"00-" + zeros + sampled[35:], ""}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, call, request string) {
		parent := parentOf(&authz.Request{TraceParent: call, Headers: []authz.Header{{Name: "traceparent", Value: request}}})
		for _, header := range []string{call, request} {
			ids := wellFormed.FindStringSubmatch(header)
			if len(header) < 2 || header[:2] != "00" {
				ids = nil
				if parse(header).IsValid() { // a future version, read by its first four parts
					return
				}
			}
			if ids == nil || ids[1] == zeros || ids[2] == zeros[:16] {
				continue
			}
			if parent.TraceID().String() != ids[1] || parent.SpanID().String() != ids[2] || parent.IsSampled() != (header[len(header)-1]&1 == 1) {
				t.Errorf("%q parses to %v", header, parent)
			}
			return
		}
		if parent.IsValid() {
			t.Errorf("%q and %q give a parent: %v", call, request, parent)
		}
	})
}
