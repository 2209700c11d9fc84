package extauthz

import (
	"fmt"
	"strings"
	"sync"
	"unsafe"

	"keyward/authz"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that inPlaceCodec wraps
	"google.golang.org/grpc/mem"
)

// This file has everything that gRPC calls reuse, by these rules:
//
//   - check takes a call from its pool, and Unmarshal fills it. When gRPC has
//     written the response, it frees the buffer that Marshal returned, once,
//     and that puts the call back. A call that does not get that far is left
//     to the garbage collector: nothing is put back early, or twice.
//   - The request is reset before the call goes back, so that no call sees
//     data of another.
//   - The strings of a request are substrings of its message, whose memory is
//     not reused, so they may be kept. In general the message is a copy of
//     gRPC's memory, which gRPC reuses. A frame of up to a kilobyte is in
//     memory made for it alone (a mem.SliceBuffer, which cannot be freed), and
//     a message in one such buffer is used without a copy. messageString does
//     this, and is unsafe; tests keep strings of many messages and check that
//     they do not change.
//   - The bytes of the response belong to the call, and to gRPC until it frees
//     them. Their capacity is above a kilobyte from the start, since gRPC does
//     not report when it is done with smaller buffers
//     (mem.IsBelowBufferPoolingThreshold).

// call is one CheckRequest and its response.
type call struct {
	request  authz.Request
	readErr  error  // why the request could not be read, nil if it could
	response []byte // the encoded CheckResponse
	pool     *sync.Pool
}

const responseSize = 2 << 10 // initial capacity, in bytes

func newCall(pool *sync.Pool) *call {
	return &call{pool: pool, response: make([]byte, 0, responseSize)}
}

// Get implements mem.BufferPool. gRPC does not call it.
func (c *call) Get(length int) *[]byte {
	fresh := make([]byte, length)
	return &fresh
}

// Put implements mem.BufferPool. gRPC calls it when the response is written.
func (c *call) Put(*[]byte) {
	c.request.Reset()
	c.pool.Put(c)
}

// ServerCodec returns the server option that GRPC requires. It decodes and
// encodes Check in place and leaves all other messages (health) to the standard
// codec.
func ServerCodec() grpc.ServerOption {
	return grpc.ForceServerCodecV2(inPlaceCodec{encoding.GetCodecV2("proto")})
}

type inPlaceCodec struct{ encoding.CodecV2 }

// MaxMessage is the length in bytes of the longest CheckRequest that is
// checked. It includes the headers, and the part of the body that Envoy sends
// (with_request_body).
const MaxMessage = 16 << 20

// MaxReadable is the length of the longest CheckRequest that is received; pass
// it to grpc.MaxRecvMsgSize. If the length is between the two, the log names
// the request and the client gets Keyward's denial.
const MaxReadable = 2 * MaxMessage

// tooLarge is the error for a message of that length, which is over MaxMessage.
type tooLarge int

// Error implements error.
func (n tooLarge) Error() string {
	return fmt.Sprintf("the CheckRequest is %d bytes long, the maximum is %d: see Envoy's with_request_body.max_request_bytes", int(n), MaxMessage)
}

// Unmarshal implements encoding.CodecV2.
func (c inPlaceCodec) Unmarshal(data mem.BufferSlice, v any) error {
	call, ok := v.(*call)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	call.readErr = readCheckRequest(messageString(data), &call.request)
	if length := data.Len(); length > MaxMessage {
		call.readErr = tooLarge(length)
	}
	return nil // gRPC would make a status of an error, in place of our denial
}

// messageString returns the message as one string whose memory does not change,
// see the rules above.
func messageString(data mem.BufferSlice) string {
	if len(data) == 1 {
		if small, ok := data[0].(mem.SliceBuffer); ok {
			return unsafe.String(unsafe.SliceData(small), len(small))
		}
	}
	var message strings.Builder
	message.Grow(data.Len())
	for _, buffer := range data {
		message.Write(buffer.ReadOnlyData())
	}
	return message.String()
}

// Marshal implements encoding.CodecV2.
func (c inPlaceCodec) Marshal(v any) (mem.BufferSlice, error) {
	call, ok := v.(*call)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	return mem.BufferSlice{mem.NewBuffer(&call.response, call)}, nil
}
