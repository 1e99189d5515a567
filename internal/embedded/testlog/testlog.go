// Package testlog keeps what a program logs, for tests that read it while it is being written. It touches nothing.
package testlog

import (
	"bytes"
	"sync"
)

// Buffer is everything that was written to it. It is safe for concurrent use; the zero value is empty.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write adds to the text and never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String is the text so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
