package extauthz

import (
	"fmt"
	"strings"
	"sync"
	"unsafe"

	"keyward/authz"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that ours stands before
	"google.golang.org/grpc/mem"
)

// What is used over and over on the way of a gRPC call is all in this file, by these rules:
//
//   - A call is taken out of its pool by check, filled in by Unmarshal, and put
//     back by whoever frees the buffer that Marshal returned, which gRPC does once,
//     after the answer is written. A call that gets no so far is left to the
//     garbage collector: nothing is ever put back early, or twice.
//   - Before it goes back the request is emptied, so that no call sees what
//     another one left.
//   - The strings of a request are parts of its message, whose memory nobody uses
//     again: they may be kept. It is a copy of what gRPC has in memory that it uses
//     over and over. A frame of up to a kilobyte gRPC reads into memory made for it
//     (a mem.SliceBuffer, which can't be given back), and a message that is in one
//     such piece is taken as it is: messageOf is what is unsafe here, and tests keep
//     strings of many messages and look whether they stay as they were.
//   - The answer's bytes are the call's own, and gRPC's until it frees them. They
//     are more than a kilobyte from the start, since gRPC does not say when it is
//     done with less (mem.IsBelowBufferPoolingThreshold).

// call is one CheckRequest on its way, and its answer.
type call struct {
	request authz.Request
	unread  error  // why the request could not be read
	answer  []byte // a CheckResponse
	pool    *sync.Pool
}

const answerSize = 2 << 10 // bytes; a longer answer makes it grow

func newCall(pool *sync.Pool) *call { return &call{pool: pool, answer: make([]byte, 0, answerSize)} }

// Get implements mem.BufferPool; nobody asks a call for a buffer.
func (c *call) Get(length int) *[]byte {
	fresh := make([]byte, length)
	return &fresh
}

// Put implements mem.BufferPool: the answer is written.
func (c *call) Put(*[]byte) {
	c.request.Reset()
	c.pool.Put(c)
}

// ServerCodec is the server option without which a call can't be read: it
// decodes and encodes Check in place and leaves all other messages (health) to the usual codec.
func ServerCodec() grpc.ServerOption {
	return grpc.ForceServerCodecV2(inPlaceCodec{encoding.GetCodecV2("proto")})
}

type inPlaceCodec struct{ encoding.CodecV2 }

// MaxMessage is the length of the longest CheckRequest that is judged, in bytes.
// The headers count, and as much of the body as Envoy sends along
// (with_request_body).
const MaxMessage = 16 << 20

// MaxReadable is the length of the longest one that is received. For a length
// between the two, the log names the request, and the client gets Keyward's
// denial. It is for grpc.MaxRecvMsgSize.
const MaxReadable = 2 * MaxMessage

// tooLarge is a message that is longer than MaxMessage.
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
	call.unread = readCheckRequest(messageOf(data), &call.request)
	if length := data.Len(); length > MaxMessage {
		call.unread = tooLarge(length)
	}
	return nil // of an error gRPC would make a status, in place of our denial
}

// messageOf is the message in one piece that nobody changes, see the rules above.
func messageOf(data mem.BufferSlice) string {
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
	return mem.BufferSlice{mem.NewBuffer(&call.answer, call)}, nil
}
