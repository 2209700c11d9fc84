// Package syncbuffer has a buffer for tests that read what other goroutines
// log. It is for tests only.
package syncbuffer

import (
	"bytes"
	"sync"
)

// Buffer is a buffer that several goroutines may use. Its zero value is empty.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *Buffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(text)
}

// String returns all that was written.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
