package main

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"keyward/apikey"
	"keyward/authz"
)

// checkRequest is one encoded request.
type checkRequest struct {
	fields []hpack.HeaderField
	body   []byte // nil: none
	want   verdict
}

type verdict string

const (
	none  verdict = ""
	allow verdict = "allow"
	deny  verdict = "deny"
)

// verdictOf returns the verdict of a CheckResponse, according to which of two
// fields it has.
func verdictOf(response []byte) verdict {
	const denied, ok = 2, 3
	for len(response) > 0 {
		number, _, n := protowire.ConsumeField(response)
		if n < 0 {
			return none
		}
		switch number {
		case denied:
			return deny
		case ok:
			return allow
		}
		response = response[n:]
	}
	return none
}

const checkPath = "/envoy.service.auth.v3.Authorization/Check"

// requestSource returns a source of the checks that Envoy sends for requests
// with the values of Authorization.
func requestSource(values []string, want verdict) func() checkRequest {
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: checkPath},
		{Name: ":authority", Value: "keyward"}, {Name: "te", Value: "trailers"}, {Name: "grpc-timeout", Value: "250m"}, {Name: "content-type", Value: "application/grpc"},
	}
	templates := map[int]template{}
	for _, value := range values {
		if n := len(value); templates[n].body == nil {
			templates[n] = newTemplate(n)
		}
	}
	return func() checkRequest {
		value := values[rand.IntN(len(values))]
		return checkRequest{fields: fields, body: templates[len(value)].with(value), want: want}
	}
}

// template is an encoded message, and the offset in it of the value of
// Authorization.
type template struct {
	body []byte
	at   int
}

func newTemplate(length int) template {
	placeholder := strings.Repeat("\x01", length)
	message, err := proto.Marshal(request(placeholder))
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

// mixed returns a source of common requests, with a share of rare ones.
func mixed(common, rare func() checkRequest, share float64) func() checkRequest {
	return func() checkRequest {
		if rand.Float64() < share {
			return rare()
		}
		return common()
	}
}

func bearers(secrets []string) []string {
	values := make([]string, len(secrets))
	for i, s := range secrets {
		values[i] = bearer(s)
	}
	return packed(values)
}

// packed returns the same texts in one piece of memory. This process's garbage
// collector would take a tenth of a second to mark a million pieces, on the
// client's only core, and its pauses would be attributed to the server.
func packed(texts []string) []string {
	all, from := strings.Join(texts, ""), 0
	for i, text := range texts {
		texts[i] = all[from : from+len(text)]
		from += len(text)
	}
	return texts
}

// unknownKeys are well-formed keys that do not exist, more than the negative
// cache holds.
func unknownKeys() []string {
	values := make([]string, 300_000)
	for i := range values {
		values[i] = bearer(must(apikey.Generate(randomBytes{}, keyPrefix, apikey.FormatKeyward)).Reveal())
	}
	return packed(values)
}

// junkKeys have the form of keys, but a wrong checksum.
func junkKeys() []string {
	values := unknownKeys()
	for i, v := range values {
		last := byte('0')
		if v[len(v)-1] == last {
			last = '1'
		}
		values[i] = v[:len(v)-1] + string(last)
	}
	return values
}

// randomBytes is the source for keys that are not secret.
type randomBytes struct{}

func (randomBytes) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(rand.Uint32())
	}
	return len(p), nil
}

func must(secret authz.Secret, err error) authz.Secret {
	if err != nil {
		panic(err) // the source of randomness does not fail
	}
	return secret
}
