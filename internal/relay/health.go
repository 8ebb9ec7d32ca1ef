// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"cmp"
	"context"
	"net/http"
	"sync"
	"time"
)

// patience is how long the sub-runner is told about an outage before the relay
// takes it over. See the package comment.
const patience = 20 * time.Second

// health is what is known of the coordinator: whether it answers, and the last it
// said about the job.
type health struct {
	mu     sync.Mutex // never held while waiting
	since  time.Time  // of the first failure in a row; zero = it answers
	status string     // the last Job-Status
}

func (h *health) failed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.since.IsZero() {
		h.since = time.Now()
	}
}

// answered notes an answer; one that says "not now" counts as a failure.
func (h *health) answered(status int, header http.Header) {
	if isDown(status) {
		h.failed()
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.since = time.Time{}
	h.status = cmp.Or(header.Get("Job-Status"), h.status)
}

// down tells whether the last try failed, and whether they have for long.
func (h *health) down() (now, long bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.since.IsZero() {
		return false, false
	}
	return true, time.Since(h.since) >= patience
}

// jobStatus is the last Job-Status the coordinator gave; "" before the first.
func (h *health) jobStatus() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status
}

// isFinal tells whether a job of that status has ended.
func isFinal(status string) bool {
	return status == "success" || status == "failed" || status == "canceled"
}

// backoff waits between tries: 1 s, doubling, to 30 s, or as long as was asked for.
type backoff struct{ next time.Duration }

// wait returns false when the context ended first.
func (b *backoff) wait(ctx context.Context, asked time.Duration) bool {
	b.next = min(max(time.Second, b.next*2), 30*time.Second)
	return sleep(ctx, max(b.next, asked))
}

// sleep returns false when the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
