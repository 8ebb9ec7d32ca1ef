// SPDX-License-Identifier: Apache-2.0

package subrunner

import (
	"fmt"
	"hash/crc32"
	"sync"
)

// trace is the whole output of a job: masked, limited, and kept so that any part
// of it can be sent again. Offsets count from the beginning of the job's log at
// the coordinator, where something may stand before it.
type trace struct {
	base    int64  // length of what stands before
	baseSum uint32 // and its checksum

	mu    sync.Mutex
	mask  *masker
	data  []byte
	limit int
	full  bool
}

func newTrace(p *payload, base int64, baseSum uint32, limit int) *trace {
	return &trace{base: base, baseSum: baseSum, limit: limit, mask: newMasker(p.secrets(), p.Features.TokenMaskPrefixes)}
}

// Write implements io.Writer. It never fails: what is too much is dropped.
func (t *trace) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keep(t.mask.write(p))
	return len(p), nil
}

// flush lets out what the masker held back.
func (t *trace) flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keep(t.mask.flush())
}

func (t *trace) keep(p []byte) {
	if t.full {
		return
	}
	if len(t.data)+len(p) > t.limit {
		p = p[:max(t.limit-len(t.data), 0)]
		t.full = true
	}
	t.data = append(t.data, p...)
	if t.full {
		t.data = fmt.Appendf(t.data, "\n\x1b[33;1mJob's log exceeded limit of %d bytes.\nJob execution will continue but no more output will be collected.\x1b[0;m\n", t.limit)
	}
}

// end gives the offset after the last byte.
func (t *trace) end() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.base + int64(len(t.data))
}

// from gives at most n bytes from an offset on.
func (t *trace) from(offset int64, n int) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := offset - t.base
	if at < 0 || at >= int64(len(t.data)) {
		return nil
	}
	return t.data[at:min(at+int64(n), int64(len(t.data)))]
}

// sum gives checksum and size of the whole log.
func (t *trace) sum() (uint32, int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return crc32.Update(t.baseSum, crc32.IEEETable, t.data), t.base + int64(len(t.data))
}

func (t *trace) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(t, format, args...) // never fails
}
