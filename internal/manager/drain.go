// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"time"
)

// drain lets the calls under way end: a poll that may still bring a job, a create
// whose answer names an instance. A held long poll never grants a job and is cut at
// once. A job that such a poll brings and that can't be recorded is ended, as ever. After the
// grace everything left is cut; the ledger already says that such a call was sent, which a
// restart reads as unknown.
func (m *Manager) drain(work context.Context, cancel context.CancelFunc) {
	m.draining = true
	m.log.Info("draining", "calls", len(m.calls))
	grace := time.NewTimer(drainGrace)
	defer grace.Stop()
	for _, l := range m.unrecordable {
		l.next = time.Time{} // its last chance
	}
	m.endLost(work)
	for m.pending() {
		select {
		case ev := <-m.events:
			ev()
			m.endLost(work)
			continue
		case <-grace.C:
		}
		break
	}
	cancel()
	// Every worker ends once its context is cut; their last answers are still taken.
	for len(m.calls) > 0 {
		ev := <-m.events
		ev()
	}
	m.log.Info("stopped", "jobs", len(m.jobs), "instances", len(m.machines))
}

// pending tells whether a call is under way; polls that are held are cut here.
func (m *Manager) pending() bool {
	for _, r := range m.runners {
		r.cutHeld()
	}
	return len(m.calls) > 0
}

// cutHeld ends a held long poll, which never grants a job.
func (r *runner) cutHeld() {
	if r.polling != nil && r.lastUpdate != "" && time.Since(r.polling.started) >= heldAfter {
		r.polling.cancel()
	}
}
