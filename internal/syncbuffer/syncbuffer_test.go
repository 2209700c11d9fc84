package syncbuffer_test

import (
	"io"
	"strings"
	"sync"
	"testing"

	"keyward/internal/syncbuffer"
)

func TestBuffer(t *testing.T) {
	var b syncbuffer.Buffer
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for range 100 {
				_, _ = io.WriteString(&b, "line\n")
				_ = b.String()
			}
		})
	}
	writers.Wait()
	if got := b.String(); got != strings.Repeat("line\n", 800) {
		t.Errorf("%d bytes, want 800 complete lines", len(got))
	}
}
