package server

import (
	"bytes"
	"slices"
	"testing"

	"golang.org/x/net/http2"
)

// FuzzFrameScanner: however the bytes are cut, the scanner finds the frames that
// the reader of a HTTP/2 connection does.
func FuzzFrameScanner(f *testing.F) {
	var some bytes.Buffer
	framer := http2.NewFramer(&some, nil)
	for _, err := range []error{
		framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1}),
		framer.WriteData(3, false, make([]byte, 300)),
		framer.WriteData(5, true, nil),
		framer.WriteRSTStream(3, http2.ErrCodeCancel),
	} {
		if err != nil {
			f.Fatal(err)
		}
	}
	f.Add(some.Bytes(), []byte{1, 2, 30})
	f.Add(some.Bytes(), []byte{255})
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		var want []frame
		reader := http2.NewFramer(nil, bytes.NewReader(stream))
		for rest := len(stream); rest >= frameHeaderSize; {
			h, err := reader.ReadFrameHeader()
			if err != nil {
				t.Skip("a frame that is too large for any reader")
			}
			want = append(want, frame{int(h.Length), byte(h.Type), byte(h.Flags), h.StreamID})
			if rest -= frameHeaderSize + int(h.Length); rest < 0 {
				break
			}
			stream2 := stream[len(stream)-rest:]
			reader = http2.NewFramer(nil, bytes.NewReader(stream2))
		}
		var got []frame
		scanner := frameScanner{skip: 3}
		rest := append([]byte("PRI"), stream...)
		for i := 0; len(rest) > 0; i++ {
			n := len(rest)
			if len(cuts) > 0 {
				n = min(n, int(cuts[i%len(cuts)]))
			}
			if i > len(cuts) && n == 0 {
				n = len(rest)
			}
			scanner.scan(rest[:n], func(f frame) { got = append(got, f) })
			rest = rest[n:]
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

// TestFrameBoundary: where a frame may be put in, and how far it is to there.
func TestFrameBoundary(t *testing.T) {
	var s frameScanner
	for _, step := range []struct {
		read string
		want int
	}{
		{"", 0},
		{"\x00\x00\x02\x00", 5},
		{"\x00\x00\x00\x00\x01", 2},
		{"x", 1},
		{"x", 0},
		{"\x00\x00\x00\x01\x01\x00\x00\x00\x03", frameHeaderSize}, // HEADERS, to be continued
		{"\x00\x00\x00\x09\x00\x00\x00\x00\x03", frameHeaderSize},
		{"\x00\x00\x01\x09\x04\x00\x00\x00\x03", 1},
		{"x", 0},
	} {
		if s.scan([]byte(step.read), func(frame) {}); s.toBoundary() != step.want {
			t.Errorf("after %q it is %d bytes to there, want %d", step.read, s.toBoundary(), step.want)
		}
	}
}
