package extauthz

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"keyward/authz"
	"keyward/chars"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// envoyRequest returns a CheckRequest as Envoy 1.40 sends it with
// encode_raw_headers.
func envoyRequest() *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: "10.0.0.7", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 40000}},
		}}},
		Destination: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: "10.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 10000}},
		}}},
		Request: &authv3.AttributeContext_Request{
			Time: timestamppb.Now(),
			Http: &authv3.AttributeContext_HttpRequest{
				Id: "1234", Method: "GET", Path: "/a/b?c=d", Host: "api.example.com:8080", Scheme: "https", Protocol: "HTTP/1.1", Size: -1,
				HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
					{Key: ":path", RawValue: []byte("/a/b?c=d")},
					{Key: "Authorization", RawValue: []byte("Bearer kw_abc")},
					{Key: "x-api-key", RawValue: []byte("one")},
					{Key: "x-api-key", RawValue: []byte("two\xff")},
					{Key: "empty"},
				}},
			},
		},
		ContextExtensions: map[string]string{"keyward.route": "admin", "other": "x"},
	}}
}

func marshal(t testing.TB, m *authv3.CheckRequest) string {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestReadCheckRequest(t *testing.T) {
	var r authz.Request
	if err := readCheckRequest(marshal(t, envoyRequest()), &r); err != nil {
		t.Fatal(err)
	}
	if r.Method != "GET" || r.Target != "/a/b?c=d" || r.Host != "api.example.com:8080" || r.Scheme != "https" ||
		r.Peer != "10.0.0.7" || r.RequestID != "1234" || r.RouteName != "admin" {
		t.Errorf("read %+v", r)
	}
	want := []authz.Header{{Name: "authorization", Value: "Bearer kw_abc"}, {Name: "x-api-key", Value: "one"}, {Name: "x-api-key", Value: "two\xff"}, {Name: "empty"}}
	if !slices.Equal(r.Headers, want) {
		t.Errorf("headers %v, want %v", r.Headers, want)
	}
}

func TestHeadersMapWithoutHeaderMap(t *testing.T) {
	m := envoyRequest()
	http := m.Attributes.Request.Http
	http.Headers = map[string]string{":method": "GET", "Cookie": "a=b"}
	both := marshal(t, m)
	http.HeaderMap = nil
	var r authz.Request
	if err := readCheckRequest(marshal(t, m), &r); err != nil || !slices.Equal(r.Headers, []authz.Header{{Name: "cookie", Value: "a=b"}}) {
		t.Errorf("headers alone: %v, %v", r.Headers, err)
	}
	r.Reset()
	if err := readCheckRequest(both, &r); err != nil || len(r.Headers) != 4 {
		t.Errorf("both: %v, %v: want those of header_map only", r.Headers, err)
	}
	// The map may come last on the wire. It must not be added to the headers
	// then.
	entry := protowire.AppendString(protowire.AppendTag(nil, mapKey, protowire.BytesType), "x-api-key")
	last := nested([]protowire.Number{httpHeaderMap}, 1) + wrapped([]protowire.Number{httpHeaders}, entry)
	r.Reset()
	if err := readCheckRequest(wrapped([]protowire.Number{checkAttributes, attributesRequest, requestHTTP}, []byte(last)), &r); err != nil || len(r.Headers) != 0 {
		t.Errorf("an empty header_map, then the map: %v, %v: want no headers", r.Headers, err)
	}
}

func TestReadRefuses(t *testing.T) {
	good := marshal(t, envoyRequest())
	route := func(value string) string {
		return marshal(t, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{ContextExtensions: map[string]string{"keyward.route": value}}})
	}
	headers := func(name string) string {
		return marshal(t, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
			Http: &authv3.AttributeContext_HttpRequest{Headers: map[string]string{"a": "1", name: "2"}}}}})
	}
	many := &corev3.HeaderMap{}
	for range maxHeaders + 1 {
		many.Headers = append(many.Headers, &corev3.HeaderValue{Key: "a"})
	}
	tests := map[string]string{
		"attributes twice":    good + good,
		"cut short":           good[:len(good)-1],
		"group":               good + "\x0b\x0c",
		"field number 0":      good + "\x02\x00",
		"endless varint":      good + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"length past the end": "\x0a\x7f",
		"varint of 65 bits":   good + "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
		"varint cut short":    good + "\x10\xff",
		"64 bits cut short":   good + "\x11\x01\x02\x03\x04\x05\x06\x07",
		"32 bits cut short":   good + "\x15\x01\x02\x03",
		"field number 2^29":   good + "\x82\x80\x80\x80\x10\x00",
		"route name twice":    wrapped([]protowire.Number{1}, []byte(strings.Repeat(routeEntry, 2))),
		"empty route name":    route(""),
		"names equal but for case in the headers map": headers("A"),
		"more than 1024 headers": marshal(t, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
			Http: &authv3.AttributeContext_HttpRequest{HeaderMap: many}}}}),
	}
	for name, message := range tests {
		var r authz.Request
		if err := readCheckRequest(message, &r); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}

// TestReadRefusesRepetition has the fields that may occur once only, by the
// numbers of their path.
func TestReadRefusesRepetition(t *testing.T) {
	for _, path := range [][]protowire.Number{
		{1}, {1, 1}, {1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 1, 2}, {1, 4}, {1, 4, 2},
		{1, 4, 2, 1}, {1, 4, 2, 2}, {1, 4, 2, 4}, {1, 4, 2, 5}, {1, 4, 2, 6}, {1, 4, 2, 13},
		{1, 4, 2, 3, 1}, {1, 4, 2, 3, 2}, {1, 4, 2, 13, 1, 1}, {1, 4, 2, 13, 1, 2}, {1, 4, 2, 13, 1, 3}, {1, 10, 1}, {1, 10, 2},
	} {
		for times, refused := range map[int]bool{1: false, 2: true} {
			var r authz.Request
			if err := readCheckRequest(nested(path, times), &r); (err != nil) != refused {
				t.Errorf("field %v %d times: %v, want refused %v", path, times, err, refused)
			}
		}
	}
}

// routeEntry is the context extension keyward.route with the value "x".
const routeEntry = "\x52\x12\x0a\x0dkeyward.route\x12\x01x"

// TestReadSkipsOtherFields checks that fields with other numbers are skipped,
// whatever their content, and so are headers without a name.
func TestReadSkipsOtherFields(t *testing.T) {
	http := wrapped([]protowire.Number{4, 2, 2}, []byte("PUT"))
	lines := marshal(t, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Value: "nameless"}, {Key: "a", Value: "1"}}}}}}})
	for name, message := range map[string]string{
		"beside attributes": wrapped([]protowire.Number{2}, []byte(http)) + lines,
		"beside request":    wrapped([]protowire.Number{1, 3, 2, 2}, []byte("PUT")),
		"beside http":       wrapped([]protowire.Number{1, 4, 3, 2}, []byte("PUT")),
		"beside address":    wrapped([]protowire.Number{1, 1, 2, 1, 2}, []byte("10.0.0.1")),
		"beside a header":   wrapped([]protowire.Number{1, 4, 2, 13, 2, 1}, []byte("b")),
		"in a header":       wrapped([]protowire.Number{1, 4, 2, 13, 1, 70}, []byte("b")),
		"other wire types":  "\x08\x01\x11\x01\x02\x03\x04\x05\x06\x07\x08\x15\x01\x02\x03\x04" + lines,
	} {
		var r authz.Request
		err := readCheckRequest(message, &r)
		if err != nil || r.Method != "" || r.Peer != "" || len(r.Headers) > 1 || len(r.Headers) == 1 && r.Headers[0] != (authz.Header{Name: "a", Value: "1"}) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if strings.HasSuffix(message, lines) && len(r.Headers) != 1 {
			t.Errorf("%s: the header is lost", name)
		}
	}
}

// TestCheckErrors checks that calls without a handler or with a panic get an
// error, and that no call sees data of another.
func TestCheckErrors(t *testing.T) {
	read := func(v any) error {
		r := &v.(*call).request
		if r.Method != "" || r.Target != "" || len(r.Headers) != 0 {
			t.Errorf("a call begins with %+v", r)
		}
		r.Method, r.Target, r.Headers = "GET", "/", append(r.Headers, authz.Header{Name: "authorization"})
		return nil
	}
	for name, test := range map[string]struct {
		handler *Handler
		decode  func(any) error
		want    codes.Code
	}{
		"no handler": {nil, read, codes.Unavailable},
		"a panic":    {&Handler{}, read, codes.Internal},
	} {
		g := NewGRPC(func() *Handler { return test.handler })
		for range 4 {
			response, err := g.check(nil, t.Context(), test.decode, nil)
			if response != nil || status.Code(err) != test.want {
				t.Errorf("%s: %v, %v, want %s", name, response, err, test.want)
			}
		}
	}
}

// nested returns a message with the field at the end of the path so many times,
// empty.
func nested(path []protowire.Number, times int) string {
	var b []byte
	for range times {
		b = protowire.AppendBytes(protowire.AppendTag(b, path[len(path)-1], protowire.BytesType), nil)
	}
	return wrapped(path[:len(path)-1], b)
}

// wrapped returns the content within the messages along the path.
func wrapped(path []protowire.Number, content []byte) string {
	for i := len(path) - 1; i >= 0; i-- {
		content = protowire.AppendBytes(protowire.AppendTag(nil, path[i], protowire.BytesType), content)
	}
	return string(content)
}

// TestUnreadableMessageIsDenied checks that the response is a 503 like that of
// any other internal error, and that the decision is observed.
func TestUnreadableMessageIsDenied(t *testing.T) {
	var observed []authz.Reason
	checker, err := authz.NewChecker(authz.Config{
		Ready: func() error { return nil }, Policy: uncalledDeps{}, Verifier: uncalledDeps{}, Identity: &authz.IdentityHeaders{},
		Observers: []authz.Observer{observerFunc(func(d *authz.Decision) { observed = append(observed, d.Reason) })},
		Now:       time.Now, Since: time.Since, NewID: func() string { return "id" },
	})
	if err != nil {
		t.Fatal(err)
	}
	g := NewGRPC(func() *Handler { return &Handler{Checker: checker} })
	response, err := g.check(nil, t.Context(), func(any) error { return errWire }, nil)
	if err != nil {
		t.Fatal(err)
	}
	said := new(authv3.CheckResponse)
	if err := proto.Unmarshal(response.(*call).response, said); err != nil || said.GetDeniedResponse().GetStatus().GetCode() != 503 {
		t.Errorf("%v, %v", said, err)
	}
	if !slices.Equal(observed, []authz.Reason{authz.Internal}) {
		t.Errorf("observed %v", observed)
	}
}

type observerFunc func(*authz.Decision)

func (f observerFunc) Observe(_ *authz.Request, d *authz.Decision) { f(d) }

// uncalledDeps is a policy and a verifier that must not be called.
type uncalledDeps struct {
	authz.Policy
	authz.Verifier
}

// TestForwardedHeadersOverrideFields checks that the headers of Envoy count,
// since over HTTP/2 without TLS a client chooses its :scheme.
func TestForwardedHeadersOverrideFields(t *testing.T) {
	proto := func(values ...string) *authz.Request {
		r := &authz.Request{Scheme: "https", RequestID: "field", Headers: []authz.Header{{Name: "x-request-id", Value: "header"}}}
		for _, v := range values {
			r.Headers = append(r.Headers, authz.Header{Name: "x-forwarded-proto", Value: v})
		}
		applyForwardedHeaders(r)
		return r
	}
	if r := proto("http"); r.Scheme != "http" || r.RequestID != "header" {
		t.Errorf("scheme %q, request id %q", r.Scheme, r.RequestID)
	}
	if r := proto("https", "https"); r.Scheme != "" {
		t.Errorf("the header twice: scheme %q, want none", r.Scheme)
	}
	if r := proto(); r.Scheme != "https" {
		t.Errorf("without the header: scheme %q", r.Scheme)
	}
}

func TestReadAllocatesNothing(t *testing.T) {
	m := envoyRequest()
	for _, h := range m.Attributes.Request.Http.HeaderMap.Headers {
		h.Key = chars.LowerASCII(h.Key)
	}
	message := marshal(t, m)
	var r authz.Request
	if n := testing.AllocsPerRun(100, func() {
		r.Reset()
		if err := readCheckRequest(message, &r); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// FuzzCheckRequest compares the in-place reader with the generated decoder: the
// reader returns the same, or refuses the message.
func FuzzCheckRequest(f *testing.F) {
	f.Add([]byte(marshal(f, envoyRequest())))
	m := envoyRequest()
	m.Attributes.Request.Http.HeaderMap = nil
	m.Attributes.Request.Http.Headers = map[string]string{"a": "b", ":path": "/"}
	f.Add([]byte(marshal(f, m)))
	f.Add([]byte(marshal(f, m) + marshal(f, envoyRequest())))
	f.Fuzz(func(t *testing.T, message []byte) {
		if _, complaint := compareDecoders(message, new(authz.Request)); complaint != "" {
			t.Fatal(complaint)
		}
	})
}

// diffRequest returns how the request differs from what the generated decoder
// has read.
func diffRequest(r *authz.Request, oracle *authv3.CheckRequest) string {
	http := oracle.GetAttributes().GetRequest().GetHttp()
	if r.Method != http.GetMethod() || r.Target != http.GetPath() || r.Host != http.GetHost() || r.Scheme != http.GetScheme() ||
		r.RequestID != http.GetId() || r.Peer != oracle.GetAttributes().GetSource().GetAddress().GetSocketAddress().GetAddress() ||
		r.RouteName != oracle.GetAttributes().GetContextExtensions()[routeExtension] {
		return fmt.Sprintf("read %+v, want %v", r, oracle)
	}
	if want := oracleHeaders(http); !slices.Equal(sortUnlessOrdered(r.Headers, http.GetHeaderMap() != nil), want) {
		return fmt.Sprintf("headers %q, want %q", r.Headers, want)
	}
	return ""
}

func oracleHeaders(http *authv3.AttributeContext_HttpRequest) []authz.Header {
	var all []authz.Header
	add := func(name, value string) {
		if name != "" && name[0] != ':' {
			all = append(all, authz.Header{Name: chars.LowerASCII(name), Value: value})
		}
	}
	if http.GetHeaderMap() != nil {
		for _, h := range http.HeaderMap.GetHeaders() {
			if len(h.GetRawValue()) > 0 {
				add(h.GetKey(), string(h.GetRawValue()))
			} else {
				add(h.GetKey(), h.GetValue())
			}
		}
		return all
	}
	for name, value := range http.GetHeaders() {
		add(name, value)
	}
	return sortUnlessOrdered(all, false)
}

// sortUnlessOrdered sorts headers by name, unless they are ordered: those of a
// map are not.
func sortUnlessOrdered(headers []authz.Header, ordered bool) []authz.Header {
	if ordered {
		return headers
	}
	slices.SortFunc(headers, func(a, b authz.Header) int { return slices.Compare([]byte(a.Name), []byte(b.Name)) })
	return headers
}

func BenchmarkReadCheckRequest(b *testing.B) {
	message := marshal(b, envoyRequest())
	var r authz.Request
	b.ReportAllocs()
	for b.Loop() {
		r.Reset()
		if err := readCheckRequest(message, &r); err != nil {
			b.Fatal(err)
		}
	}
}
