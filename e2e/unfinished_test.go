package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"sync"
	"testing"
	"time"

	"keyward/e2e/stack"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestUnfinishedCalls: clients that send all but the last byte of their
// messages, repeatedly and on several connections, use no more memory than the
// bound, and other clients' checks are answered meanwhile.
func TestUnfinishedCalls(t *testing.T) {
	k := startLogging(t, logOutput{open: openLogFile, shell: runProgram})
	before, err := k.metric("process_resident_memory_bytes")
	if err != nil {
		t.Fatal(err)
	}
	l := k.startLoad()
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	var hoarding sync.WaitGroup
	for range 8 {
		hoarding.Go(func() {
			for ctx.Err() == nil {
				k.hoard(ctx)
			}
		})
	}
	peak := 0.0
	for ctx.Err() == nil {
		now, err := k.metric("process_resident_memory_bytes")
		if err != nil {
			t.Fatal(err)
		}
		peak = max(peak, now-before)
	}
	hoarding.Wait()
	l.stop()
	// Five times the bound: dropped messages stay until the garbage collector
	// runs, which allows the heap to double. Without the bound it is 1,600 MiB.
	if peak > 320<<20 {
		t.Errorf("%.0f MiB of memory in use", peak/(1<<20))
	}
	k.eventually(func() error {
		return k.atLeast(`keyward_connections_rejected_total{cause="memory",listener="grpc"}`, 1)
	})
}

// hoard makes a connection occupy as much memory as it can, until it is closed
// or the context ends.
func (k *loggingKeyward) hoard(ctx context.Context) {
	config := k.tls()
	config.NextProtos = []string{"h2"}
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", stack.Address(k.ports.GRPC))
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	frames := http2.NewFramer(conn, nil)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil || frames.WriteSettings() != nil {
		return
	}
	const length, frame = 1 << 20, 16 << 10
	message := append(binary.BigEndian.AppendUint32([]byte{0}, length), make([]byte, length-1)...)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for stream := uint32(1); stream < 2*200; stream += 2 {
		block.Reset()
		for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/envoy.service.auth.v3.Authorization/Check"},
			{":authority", "keyward"}, {"content-type", "application/grpc"}} {
			_ = encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}) // writes to memory
		}
		if frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true}) != nil {
			return
		}
		for rest := message; len(rest) > 0; rest = rest[min(len(rest), frame):] {
			if frames.WriteData(stream, false, rest[:min(len(rest), frame)]) != nil {
				return
			}
		}
	}
	<-ctx.Done()
}
