package loadgen

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Request is one encoded request.
type Request struct {
	Fields []hpack.HeaderField
	Body   []byte  // nil: none
	Want   Verdict // of the reply
}

// Verdict is what a reply says.
type Verdict string

// The verdicts.
const (
	None  Verdict = "" // no reply, or neither of the others
	Allow Verdict = "allow"
	Deny  Verdict = "deny"
)

// verdictOf returns the verdict of a CheckResponse, according to which of two
// fields it has.
func verdictOf(response []byte) Verdict {
	const denied, ok = 2, 3
	for len(response) > 0 {
		number, _, n := protowire.ConsumeField(response)
		if n < 0 {
			return None
		}
		switch number {
		case denied:
			return Deny
		case ok:
			return Allow
		}
		response = response[n:]
	}
	return None
}

// CheckPath is the path of the gRPC method.
const CheckPath = "/envoy.service.auth.v3.Authorization/Check"

// RequestSource returns a source of the checks that Envoy sends for requests
// with the values of Authorization.
func RequestSource(values []string, want Verdict) func() Request {
	return CookieRequestSource(values, "", want)
}

// CookieRequestSource is RequestSource for requests that have a Cookie too.
func CookieRequestSource(values []string, cookie string, want Verdict) func() Request {
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: CheckPath},
		{Name: ":authority", Value: "keyward"}, {Name: "te", Value: "trailers"}, {Name: "grpc-timeout", Value: "250m"}, {Name: "content-type", Value: "application/grpc"},
	}
	templates := map[int]template{}
	for _, value := range values {
		if n := len(value); templates[n].body == nil {
			templates[n] = newTemplate(n, cookie)
		}
	}
	return func() Request {
		value := values[rand.IntN(len(values))]
		return Request{Fields: fields, Body: templates[len(value)].with(value), Want: want}
	}
}

// template is an encoded message, and the offset in it of the value of
// Authorization.
type template struct {
	body []byte
	at   int
}

func newTemplate(length int, cookie string) template {
	placeholder := strings.Repeat("\x01", length)
	message, err := proto.Marshal(newCheckRequest(placeholder, cookie))
	if err != nil {
		panic(err) // the message is a constant
	}
	body := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	body = append(body, message...)
	return template{body, bytes.Index(body, []byte(placeholder))}
}

func (t template) with(value string) []byte {
	body := bytes.Clone(t.body)
	copy(body[t.at:], value)
	return body
}

// Mixed returns a source of common requests, with a share of rare ones.
func Mixed(common, rare func() Request, share float64) func() Request {
	return func() Request {
		if rand.Float64() < share {
			return rare()
		}
		return common()
	}
}
