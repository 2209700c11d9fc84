package extauthz

import (
	"math/rand/v2"
	"testing"

	"keyward/authz"
	"keyward/internal/prove"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// TestReaderMatchesGeneratedDecoder compares the reader with the generated
// decoder, on messages whose parts are reordered, missing, duplicate, unknown,
// or corrupt. Unlike FuzzCheckRequest it is not guided by coverage, and so runs
// a hundred times as many messages.
func TestReaderMatchesGeneratedDecoder(t *testing.T) {
	n := prove.Size(50_000, 10_000_000)
	seed := rand.Uint64()
	m := messageFuzzer{rand.New(rand.NewPCG(seed, 0))}
	read, r := 0, new(authz.Request)
	for i := range n {
		message := m.corrupt(m.message())
		r.Reset()
		both, complaint := compareDecoders(message, r)
		if complaint != "" {
			t.Fatalf("seed %d, message %d: %x: %s", seed, i, message, complaint)
		}
		if both {
			read++
		}
	}
	t.Logf("%d of %d messages were read by both", read, n)
	if read < n/20 {
		t.Errorf("only %d of %d messages were read, too few to compare", read, n)
	}
}

// compareDecoders returns how the two decoders differ, if both read the
// message.
func compareDecoders(message []byte, r *authz.Request) (both bool, complaint string) {
	var oracle authv3.CheckRequest
	if readCheckRequest(string(message), r) != nil || proto.Unmarshal(message, &oracle) != nil {
		return false, ""
	}
	return true, diffRequest(r, &oracle)
}

// messageFuzzer generates random messages.
type messageFuzzer struct{ *rand.Rand }

func (m *messageFuzzer) message() []byte {
	http := func() []byte {
		return m.shuffled(
			m.text(httpID), m.text(httpMethod), m.text(httpPath), m.text(httpHost), m.text(httpScheme), m.text(10), m.number(9),
			m.nested(httpHeaders, m.mapEntry), m.nested(httpHeaders, m.mapEntry), m.nested(httpHeaders, m.mapEntry),
			m.optional(m.nested(httpHeaderMap, func() []byte {
				return m.shuffled(m.nested(headerMapHeaders, m.headerEntry), m.nested(headerMapHeaders, m.headerEntry), m.nested(headerMapHeaders, m.headerEntry))
			})))
	}
	address := func() []byte {
		return m.shuffled(m.nested(addressSocketAddress, func() []byte { return m.shuffled(m.text(socketAddressAddress), m.number(3)) }), m.optional(m.nested(addressPipe, m.mapEntry)))
	}
	return m.shuffled(m.nested(checkAttributes, func() []byte {
		return m.shuffled(
			m.nested(attributesSource, func() []byte { return m.shuffled(m.nested(peerAddress, address), m.text(2)) }),
			m.nested(2, func() []byte { return m.shuffled(m.nested(peerAddress, address)) }),
			m.nested(attributesRequest, func() []byte { return m.shuffled(m.nested(1, m.time), m.nested(requestHTTP, http)) }),
			m.optional(m.nested(attributesContextExtensions, m.extension)), m.optional(m.nested(attributesContextExtensions, m.mapEntry)))
	}), m.optional(m.text(99)))
}

// shuffled joins the parts in a random order, seldom without one of them or
// with one twice.
func (m *messageFuzzer) shuffled(parts ...[]byte) (all []byte) {
	m.Shuffle(len(parts), func(i, j int) {
		if m.IntN(4) == 0 {
			parts[i], parts[j] = parts[j], parts[i]
		}
	})
	for _, part := range parts {
		switch m.IntN(60) {
		case 0:
		case 1:
			all = append(append(all, part...), part...)
		default:
			all = append(all, part...)
		}
	}
	return all
}

func (m *messageFuzzer) optional(part []byte) []byte {
	if m.IntN(2) == 0 {
		return nil
	}
	return part
}

func (m *messageFuzzer) nested(number protowire.Number, content func() []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), content())
}

var words = []string{"", "a", ":path", "GET", "/a/b?c=d", "authorization", "Authorization", "x-api-key", "keyward.route", "admin", "10.0.0.7", "é", "x_y"}

func (m *messageFuzzer) word() string { return words[m.IntN(len(words))] }

func (m *messageFuzzer) text(number protowire.Number) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), m.word())
}

func (m *messageFuzzer) number(number protowire.Number) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), m.Uint64()>>m.IntN(64))
}

func (m *messageFuzzer) mapEntry() []byte { return m.shuffled(m.text(mapKey), m.text(mapValue)) }

func (m *messageFuzzer) headerEntry() []byte {
	return m.shuffled(m.text(headerKey), m.optional(m.text(headerValue)), m.text(headerRawValue))
}

func (m *messageFuzzer) extension() []byte {
	return m.shuffled(protowire.AppendString(protowire.AppendTag(nil, mapKey, protowire.BytesType), routeExtension), m.text(mapValue))
}

func (m *messageFuzzer) time() []byte { return m.shuffled(m.number(1), m.number(2)) }

// corrupt changes some bytes of one in four messages, and truncates some of
// these.
func (m *messageFuzzer) corrupt(message []byte) []byte {
	if len(message) == 0 || m.IntN(4) > 0 {
		return message
	}
	for range 1 + m.IntN(3) {
		message[m.IntN(len(message))] = byte(m.Uint32())
	}
	if m.IntN(4) == 0 {
		message = message[:m.IntN(len(message)+1)]
	}
	return message
}
