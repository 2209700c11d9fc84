package extauthz

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"keyward/authz"
	"keyward/authz/urlpath"
	"keyward/internal/race"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// allowAllPolicy is a policy with one route that authorizes every principal.
type allowAllPolicy struct{ route authz.Route }

func (e *allowAllPolicy) Route(*authz.Request, urlpath.Path) (*authz.Route, authz.Reason) {
	return &e.route, authz.OK
}
func (*allowAllPolicy) Authorize(*authz.Principal, urlpath.Path, *authz.Route) authz.Reason {
	return authz.OK
}

// aliceVerifier is a verifier for which every credential is that of alice.
type aliceVerifier struct{}

var alicePrincipal = &authz.Principal{AuthMethod: authz.AuthMethodAPIKey, User: "alice", KeyID: "k_1"}

func (aliceVerifier) Verify(context.Context, *authz.Credential, time.Time) (*authz.Principal, error) {
	return alicePrincipal, nil
}

// newAllowAllService returns a service that allows every request with a
// credential, with observers.
func newAllowAllService(t *testing.T, observers ...authz.Observer) *GRPC {
	t.Helper()
	identity, err := authz.NewIdentityHeaders(map[string]authz.IdentityAttribute{"x-auth-subject": authz.AttributeSubject}, []string{"authorization"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	checker, err := authz.NewChecker(authz.Config{
		Ready: func() error { return nil }, Policy: &allowAllPolicy{authz.Route{Auth: authz.AuthRequired}}, Identity: identity, Sources: authz.CredentialSources{Schemes: authz.NewSchemeSet(authz.SchemeBearer)},
		Verifier: aliceVerifier{}, Observers: observers,
		Now: time.Now, Since: time.Since, NewID: func() string { return "id" },
	})
	if err != nil {
		t.Fatal(err)
	}
	handler := &Handler{Checker: checker}
	return NewGRPC(func() *Handler { return handler })
}

// requestWithNote returns a message with a credential and another header.
func requestWithNote(note string) *authv3.CheckRequest {
	m := envoyRequest()
	m.Attributes.ContextExtensions = nil
	m.Attributes.Request.Http.HeaderMap.Headers = []*corev3.HeaderValue{
		{Key: "authorization", RawValue: []byte("Bearer good")}, {Key: "x-note", RawValue: []byte(note)},
	}
	return m
}

// TestCheckAllocations checks the allocations from the bytes of a message to
// those of its response: a slice of buffers, and a copy of the message if gRPC
// reuses its memory. It is a test, since nothing would fail if a benchmark
// showed one more.
func TestCheckAllocations(t *testing.T) {
	if race.Detector {
		t.Skip("sync.Pool drops values at random under the race detector")
	}
	g := newAllowAllService(t)
	codec := inPlaceCodec{encoding.GetCodecV2("proto")}
	text := []byte(marshal(t, requestWithNote("")))
	pooled := append(make([]byte, 0, 2<<10), text...)
	for limit, message := range map[float64]mem.Buffer{1: mem.SliceBuffer(text), 2: mem.NewBuffer(&pooled, mem.DefaultBufferPool())} {
		data := mem.BufferSlice{message}
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
		if out := call(); answerField(out) != responseOK {
			t.Fatalf("%x", out.Materialize())
		}
		allocations := testing.AllocsPerRun(1000, func() { call().Free() })
		if allocations > limit {
			t.Errorf("%T: %v allocations per call, want %v at most", message, allocations, limit)
		}
	}
}

// stringRecorder keeps strings of requests, and copies of them.
type stringRecorder struct {
	mu           sync.Mutex
	kept, copies []string
}

// Observe implements authz.Observer.
func (k *stringRecorder) Observe(r *authz.Request, _ *authz.Decision) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, h := range r.Headers {
		k.kept, k.copies = append(k.kept, h.Value), append(k.copies, strings.Clone(h.Value))
	}
}

// check checks that the strings are unchanged, and that there were least to
// most requests.
func (k *stringRecorder) check(t *testing.T, least, limit int) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := len(k.kept); n < 2*least || n > 2*limit {
		t.Fatalf("%d headers were seen, want %d to %d", n, 2*least, 2*limit)
	}
	for i, text := range k.kept {
		if text != k.copies[i] {
			t.Fatalf("%q was %q", text, k.copies[i])
		}
	}
}

// startServer returns the address of a server that records strings of its
// requests.
func startServer(t *testing.T, k *stringRecorder) net.Addr {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "grpc.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(ServerCodec(), grpc.NumStreamWorkers(4))
	newAllowAllService(t, k).Register(server)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr()
}

// TestRequestStringsStayValid checks that gRPC does not reuse the memory of
// strings that are kept, from short and long messages, on several connections
// at once.
func TestRequestStringsStayValid(t *testing.T) {
	all := &stringRecorder{}
	address := startServer(t, all)
	const clients, each = 4, 300
	var wg sync.WaitGroup
	for n := range clients {
		wg.Go(func() {
			conn, err := grpc.NewClient("unix://"+address.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			for i := range each {
				note := strings.Repeat(string(rune('a'+(n+i)%26)), 1+(i*37)%3000)
				answer, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), requestWithNote(note))
				if err != nil || answer.GetOkResponse() == nil {
					t.Errorf("%v, %v", answer, err)
					return
				}
			}
		})
	}
	wg.Wait()
	all.check(t, clients*each, clients*each)
}

// TestFragmentedMessages checks that a message that is padded, or in several
// frames, is read like one in a single frame. Two messages in one frame are an
// error.
func TestFragmentedMessages(t *testing.T) {
	all := &stringRecorder{}
	conn, err := net.Dial("unix", startServer(t, all).String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	frames := http2.NewFramer(conn, conn)
	frames.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := frames.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	ways := []func(id uint32, message []byte) error{
		func(id uint32, m []byte) error { return frames.WriteData(id, true, m) },
		func(id uint32, m []byte) error { return frames.WriteDataPadded(id, true, m, make([]byte, 100)) },
		func(id uint32, m []byte) error {
			return errors.Join(frames.WriteData(id, false, m[:3]), frames.WriteData(id, false, m[3:9]), frames.WriteData(id, true, m[9:]))
		},
		func(id uint32, m []byte) error { return frames.WriteData(id, true, append(m, m...)) },
	}
	const times = 100
	for i := range times * len(ways) {
		id, way := uint32(2*i+1), i%len(ways)
		block.Reset()
		for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/" + ServiceName + "/Check"}, {":authority", "keyward"},
			{"content-type", "application/grpc"}, {"te", "trailers"}} {
			if err := encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
				t.Fatal(err)
			}
		}
		text := marshal(t, requestWithNote(strings.Repeat(string(rune('a'+i%26)), 1+i%300)))
		message := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text))), text...)
		if err := frames.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
		if err := ways[way](id, message); err != nil {
			t.Fatal(err)
		}
		if answer := readStream(t, frames, id); strings.Contains(answer, "alice") != (way < len(ways)-1) {
			t.Fatalf("way %d: %q", way, answer)
		}
	}
	// The first of two messages is checked, unless the second is found before
	// that.
	all.check(t, times*(len(ways)-1), times*len(ways))
}

// readStream returns the data of a stream after its end.
func readStream(t *testing.T, frames *http2.Framer, id uint32) (answer string) {
	t.Helper()
	for {
		frame, err := frames.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := frame.(*http2.DataFrame); ok {
			answer += string(data.Data())
		}
		headers, ok := frame.(*http2.MetaHeadersFrame)
		if frame.Header().StreamID == id && (frame.Header().Type == http2.FrameRSTStream || ok && headers.StreamEnded()) {
			return answer
		}
	}
}

// answerField returns the number of the field that has the answer of a
// CheckResponse.
func answerField(out mem.BufferSlice) uint64 {
	for f := (fields{rest: string(out[0].ReadOnlyData())}); f.next(); {
		if f.number == responseOK || f.number == responseDenied {
			return f.number
		}
	}
	return 0
}

// TestCallsAreReused checks that a call goes back to its pool reset, once its
// response was written and not before.
func TestCallsAreReused(t *testing.T) {
	g := NewGRPC(func() *Handler { return nil })
	c := g.calls.Get().(*call)
	c.request.Method, c.response = "GET", append(c.response[:0], "answer"...)
	c.request.Headers = append(c.request.Headers, authz.Header{Name: "authorization", Value: "secret"})
	out, err := inPlaceCodec{}.Marshal(c)
	if err != nil || string(out[0].ReadOnlyData()) != "answer" {
		t.Fatalf("%v, %v", out, err)
	}
	out[0].Ref()
	out.Free()
	if c.request.Method != "GET" {
		t.Fatal("put back while the response was still in use")
	}
	out[0].Free()
	if c.request.Method != "" || len(c.request.Headers) != 0 || c.request.Headers[:1][0].Value != "" {
		t.Errorf("the next call sees %+v", c.request)
	}
}
