// SPDX-License-Identifier: Apache-2.0

package clever

import "sync"

const tailSize = 64 << 10

// tail is a writer that keeps the last bytes of what it is given.
type tail struct {
	mu   sync.Mutex
	data []byte
}

// Write implements io.Writer. It never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if extra := len(t.data) - tailSize; extra > 0 {
		t.data = append(t.data[:0], t.data[extra:]...)
	}
	return len(p), nil
}

// String gives what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.data)
}
