// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"time"

	"heptapod-paas-runner/internal/fleet"
)

// Limits on calls. Every outside call has a timeout of its own; these are for what
// the packages below do not know.
const (
	callTimeout  = 60 * time.Second
	startTimeout = 5 * time.Minute // a push of some megabytes over a slow line
	drainGrace   = 3 * time.Second
	heldAfter    = 3 * time.Second // a poll that is unanswered for so long is held
)

// call is one outside call under way.
type call struct {
	name    string
	started time.Time
	cancel  context.CancelFunc
	done    bool
}

// do runs work on a goroutine of its own and hands its result, an event, back to
// the goroutine that owns the state.
func (m *Manager) do(ctx context.Context, name string, timeout time.Duration, work func(context.Context) event) *call {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	m.callSeq++
	id := m.callSeq
	c := &call{name: name, started: time.Now(), cancel: cancel}
	m.calls[id] = c
	go func() {
		ev := work(ctx)
		cancel()
		m.events <- func() {
			delete(m.calls, id)
			c.done = true
			ev()
		}
	}()
	return c
}

// progress gives what a create tells its progress to: lines for the job's log, while it
// still waits for this very instance.
func (m *Manager) progress(ctx context.Context, vm *machine) func(string) {
	return func(text string) {
		select {
		case m.events <- func() {
			if j := vm.job; j != nil && j.vm == vm && j.rec.State == fleet.JobLaunching {
				vm.toldAt = time.Now()
				m.change(ctx, "progress", j, nil, func(d draft) { say(j.runner, d.job, text) })
			}
		}:
		case <-m.stopped:
		}
	}
}

// ask runs f on the goroutine that owns the state and waits for it; false when the
// manager is not running.
func (m *Manager) ask(f func()) bool {
	done := make(chan struct{})
	select {
	case m.events <- func() { f(); close(done) }:
	case <-m.stopped:
		return false
	}
	select {
	case <-done:
		return true
	case <-m.stopped:
		return false
	}
}

// backoff is the state of retrying one thing.
type backoff struct {
	fails int
	first time.Time // of this row of failures
	next  time.Time // not before
}

// failed notes a failure and sets the next attempt: base, doubling up to the cap,
// with jitter; what the other side asked for is obeyed when it is longer.
func (b *backoff) failed(m *Manager, base, limit, asked time.Duration) {
	now := time.Now()
	if b.fails == 0 {
		b.first = now
	}
	wait := base << min(b.fails, 20)
	if wait > limit || wait <= 0 {
		wait = limit
	}
	b.fails++
	b.next = now.Add(m.jitter(max(wait, asked)))
}

// ok resets the row.
func (b *backoff) ok() { *b = backoff{} }

// due tells whether the next attempt may be made.
func (b *backoff) due() bool { return !time.Now().Before(b.next) }
