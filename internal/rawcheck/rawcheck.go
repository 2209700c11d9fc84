// Package rawcheck sends an ext_authz server requests of arbitrary bytes, as
// Envoy would if it let them through. A generated CheckRequest cannot hold a
// target that is not valid UTF-8. It is for tests only.
package rawcheck

import (
	"context"
	"fmt"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec for responses
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// Request is the request to check.
type Request struct {
	Method, Target string
	Headers        [][2]string
}

// Message returns the CheckRequest in wire format, with encode_raw_headers.
func (r *Request) Message() []byte {
	var headers, http []byte
	for _, h := range r.Headers {
		line := field(field(nil, 1, h[0]), 3, h[1])
		headers = field(headers, 1, string(line))
	}
	http = field(http, 2, r.Method)
	http = field(http, 4, r.Target)
	http = field(http, 6, "http")
	http = field(http, 13, string(headers))
	request := field(nil, 2, string(http))
	attributes := field(nil, 4, string(request))
	return field(nil, 1, string(attributes))
}

func field(to []byte, number protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(to, number, protowire.BytesType), value)
}

// Answer is the decision: the HTTP status, the reason and the response.
type Answer struct {
	Status   int
	Reason   string
	Response *authv3.CheckResponse
}

// String returns the answer as tests print it.
func (a Answer) String() string { return fmt.Sprintf("%d %s", a.Status, a.Reason) }

// Ask sends the request to the server at the other end of the connection.
func Ask(ctx context.Context, conn *grpc.ClientConn, r Request) (Answer, error) {
	var response authv3.CheckResponse
	err := conn.Invoke(ctx, "/envoy.service.auth.v3.Authorization/Check", r.Message(), &response,
		grpc.ForceCodecV2(rawCodec{encoding.GetCodecV2("proto")}), grpc.WaitForReady(true))
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Reason: response.GetDynamicMetadata().GetFields()["reason"].GetStringValue(), Response: &response}
	switch {
	case response.GetOkResponse() != nil && response.GetStatus().GetCode() == 0:
		a.Status = 200
	case response.GetDeniedResponse() != nil && response.GetStatus().GetCode() != 0:
		a.Status = int(response.GetDeniedResponse().GetStatus().GetCode())
	default:
		return Answer{}, fmt.Errorf("an answer that is neither allow nor deny: %v", &response)
	}
	return a, nil
}

// rawCodec sends messages that are already encoded.
type rawCodec struct{ encoding.CodecV2 }

func (c rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	if message, ok := v.([]byte); ok {
		return mem.BufferSlice{mem.SliceBuffer(message)}, nil
	}
	return c.CodecV2.Marshal(v)
}
