package extauthz

import (
	"context"
	"testing"
	"time"

	"keyward/authz"
	"keyward/internal/race"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// everywhere is a policy of one route that lets everybody who is somebody in.
type everywhere struct{ route authz.Route }

func (e *everywhere) Route(*authz.Request, authz.Path) (*authz.Route, authz.Reason) {
	return &e.route, authz.OK
}
func (*everywhere) Permit(*authz.Principal, authz.Path, *authz.Route) authz.Reason { return authz.OK }

// TestAllocationsToTheWire: from a message's bytes to those of its answer there
// are two allocations, one copy of the message and one slice of buffers. A test
// and not a benchmark, since a third would be noticed by nobody.
func TestAllocationsToTheWire(t *testing.T) {
	if race.Detector {
		t.Skip("sync.Pool forgets on purpose")
	}
	identity, err := authz.NewIdentity(map[string]authz.Field{"x-auth-subject": authz.FieldSubject}, []string{"authorization"})
	if err != nil {
		t.Fatal(err)
	}
	checker, err := authz.NewChecker(authz.Config{
		Ready: func() error { return nil }, Policy: &everywhere{authz.Route{Auth: authz.AuthRequired}}, Identity: identity, Sources: authz.Sources{Bearer: true},
		Verifier: &stranger{p: &authz.Principal{Method: authz.MethodAPIKey, User: "alice", KeyID: "k_1"}},
		Now:      time.Now, Since: time.Since, NewID: func() string { return "id" },
	})
	if err != nil {
		t.Fatal(err)
	}
	core := &Core{Checker: checker}
	g := NewGRPC(func() *Core { return core })
	m := envoyRequest()
	m.Attributes.ContextExtensions = nil
	m.Attributes.Request.Http.HeaderMap.Headers = m.Attributes.Request.Http.HeaderMap.Headers[:2]
	m.Attributes.Request.Http.HeaderMap.Headers[1].Key = "authorization"
	m.Attributes.Request.Http.HeaderMap.Headers[1].RawValue = []byte("Bearer good")
	data := mem.BufferSlice{mem.SliceBuffer([]byte(marshal(t, m)))}
	codec := inPlaceCodec{encoding.GetCodecV2("proto")}
	decode := func(v any) error { return codec.Unmarshal(data, v) }
	call := func() mem.BufferSlice {
		answer, err := g.check(nil, context.Background(), decode, nil)
		if err != nil {
			t.Fatal(err)
		}
		out, err := codec.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := call(); verdictOf(out) != responseOK {
		t.Fatalf("%x", out.Materialize())
	}
	allocations := testing.AllocsPerRun(1000, func() { call().Free() })
	if allocations > 2 {
		t.Errorf("%v allocations a call, want 2 at most", allocations)
	}
}

// verdictOf is the field of a CheckResponse that has the answer.
func verdictOf(out mem.BufferSlice) uint64 {
	for f := (fields{rest: string(out[0].ReadOnlyData())}); f.next(); {
		if f.number == responseOK || f.number == responseDenied {
			return f.number
		}
	}
	return 0
}

// TestCallsAreUsedAgain: a call goes back to its pool when its answer was
// written, empty, and not before.
func TestCallsAreUsedAgain(t *testing.T) {
	g := NewGRPC(func() *Core { return nil })
	c := g.calls.Get().(*call)
	c.request.Method, c.answer = "GET", append(c.answer[:0], "answer"...)
	c.request.Headers = append(c.request.Headers, authz.Header{Name: "authorization", Value: "secret"})
	out, err := inPlaceCodec{}.Marshal(c)
	if err != nil || string(out[0].ReadOnlyData()) != "answer" {
		t.Fatalf("%v, %v", out, err)
	}
	out[0].Ref()
	out.Free()
	if c.request.Method != "GET" {
		t.Fatal("given back while somebody still reads the answer")
	}
	out[0].Free()
	if c.request.Method != "" || len(c.request.Headers) != 0 || c.request.Headers[:1][0].Value != "" {
		t.Errorf("the next call sees %+v", c.request)
	}
}
