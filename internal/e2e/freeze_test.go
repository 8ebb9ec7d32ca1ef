// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A process that is stopped (SIGSTOP, a paused virtual machine, a disk that hangs) does
// nothing for a while, and then goes on as if no time had passed: calls that were answered
// meanwhile find their answers, all timers are late. Here the goroutine that owns the state
// sleeps when it looks at the clock, which it does in each step, and calls sleep before they
// are sent and before their answers are seen.

// drawFreeze stops the service for a while, up to longer than coordinators keep a job of
// which they hear nothing.
func drawFreeze(t *rapid.T) deed {
	at := within(t, 6*time.Minute, "at")
	long := rapid.SampledFrom([]time.Duration{5 * time.Second, 40 * time.Second, 2 * time.Minute, 10 * time.Minute, 40 * time.Minute}).Draw(t, "long")
	return deed{
		at: at, name: "frozen: for " + long.String(), do: func(w *world) { w.freeze(long) },
		until: at + long, undo: func(*world) {},
	}
}

// freeze stops the service for a while.
func (w *world) freeze(long time.Duration) {
	until := time.Now().Add(long)
	if before := w.frozen.Load(); before == nil || before.Before(until) {
		w.frozen.Store(&until)
		w.book.freezes(until)
	}
}

// thaw waits until the service is not frozen.
func (w *world) thaw() {
	if until := w.frozen.Load(); until != nil {
		time.Sleep(time.Until(*until))
	}
}

// awake waits until the service is not frozen, and a little longer: what somebody asks it at
// the instant at which it wakes would come before or after what it does by itself.
func (w *world) awake(after time.Duration) {
	if until := w.frozen.Load(); until != nil && time.Now().Before(*until) {
		time.Sleep(time.Until(*until) + 5*time.Millisecond + after)
	}
}

// Limits that ran out while the service was stopped rest on nothing but that: a job whose
// instance was being made runs on it, one that waited for room gets it.
func TestFrozenWhileLaunching(t *testing.T) {
	run(t, func(w *world) {
		w.cfg.Concurrent = 1
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
		w.begin("")
		for len(w.clever.Applications()) == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
		w.freeze(20 * time.Minute)
		time.Sleep(21 * time.Minute)
	}, func(w *world) {
		if !strings.Contains(w.log.String(), "this process did nothing for a while") {
			t.Error("nothing is said of the gap")
		}
	})
}

// A service that was stopped for longer than the coordinator waits goes on with what is left:
// the job that ran has ended as its script does, and new ones run.
func TestFrozenForLong(t *testing.T) {
	run(t, func(w *world) {
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 400, "timeout": 3000}, "success")
		w.begin("")
		time.Sleep(2 * time.Minute)
		w.freeze(40 * time.Minute)
		time.Sleep(41 * time.Minute)
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
	}, func(w *world) {
		if strings.Contains(w.log.String(), "fuse blown") {
			t.Error("a late clock is taken for one that was set")
		}
	})
}
