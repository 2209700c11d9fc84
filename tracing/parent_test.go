package tracing

import (
	"regexp"
	"testing"

	"keyward/authz"
)

// wellFormed is a traceparent of version 00 as the recommendation's section
// 3.2 has it; an id of zeros is none, and of the flags there are two.
var wellFormed = regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-0[0-3]$`)

const zeros = "00000000000000000000000000000000"

// FuzzParent: of what a client may send nothing is an error; what is well
// formed is the parent to the letter, the call's before the request's, and of version 00 nothing else is.
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
				if parse(header).IsValid() { // a version to come, read by its first four parts
					return
				}
			}
			if ids == nil || ids[1] == zeros || ids[2] == zeros[:16] {
				continue
			}
			if parent.TraceID().String() != ids[1] || parent.SpanID().String() != ids[2] || parent.IsSampled() != (header[len(header)-1]&1 == 1) {
				t.Errorf("%q is read as %v", header, parent)
			}
			return
		}
		if parent.IsValid() {
			t.Errorf("%q and %q make a parent, %v", call, request, parent)
		}
	})
}
