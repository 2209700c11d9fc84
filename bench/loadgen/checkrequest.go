package loadgen

import (
	"encoding/base64"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// newCheckRequest returns what Envoy 1.40 sends for an ordinary call with that
// value of Authorization, reproduced from a capture, and with that Cookie unless it is
// "". Without allowed_headers all headers are sent, including the pseudo-headers; with
// encode_raw_headers, as in envoy.yaml, they are sent one by one.
func newCheckRequest(authorization, cookie string) *authv3.CheckRequest {
	line := func(name, value string) *corev3.HeaderValue {
		return &corev3.HeaderValue{Key: name, RawValue: []byte(value)}
	}
	peer := func(address string, port uint32) *authv3.AttributeContext_Peer {
		return &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}}
	}
	var cookies []*corev3.HeaderValue
	if cookie != "" {
		cookies = []*corev3.HeaderValue{line("cookie", cookie)}
	}
	const target = "/api/v1/items/4711?fields=name"
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: peer("10.1.2.3", 41234), Destination: peer("10.1.0.1", 443),
		Request: &authv3.AttributeContext_Request{
			Time: &timestamppb.Timestamp{Seconds: 1795366903, Nanos: 860214000},
			Http: &authv3.AttributeContext_HttpRequest{
				Id: "7385159230611111232", Method: "GET", Path: target, Host: "api.example.com", Scheme: "https", Protocol: "HTTP/2",
				HeaderMap: &corev3.HeaderMap{Headers: append([]*corev3.HeaderValue{
					line(":method", "GET"), line(":scheme", "https"), line(":path", target), line(":authority", "api.example.com"),
					line("user-agent", "curl/8.5.0"), line("accept", "*/*"), line("authorization", authorization),
					line("x-forwarded-for", "10.1.2.3"), line("x-forwarded-proto", "https"), line("x-request-id", "7231c281-5092-41a5-a077-f6c146eabba5"),
				}, cookies...)},
			},
		},
		MetadataContext: &corev3.Metadata{}, RouteMetadataContext: &corev3.Metadata{},
	}}
}

// NewLoginRequest returns what Envoy sends for a call with a password, from that
// client.
func NewLoginRequest(user, password, client string) *authv3.CheckRequest {
	r := newCheckRequest("", "")
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	for _, h := range r.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders() {
		switch h.GetKey() {
		case "authorization":
			h.RawValue = []byte(basic)
		case "x-forwarded-for":
			h.RawValue = []byte(client)
		}
	}
	return r
}
