// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"context"
	"slices"
	"time"
)

// Run drops jobs that are silent or late until the context ends.
func (s *Server) Run(ctx context.Context) error {
	for {
		wait := s.step(time.Now())
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.kick:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		timer.Stop()
	}
}

// idle is how long Run sleeps while there is nothing to watch.
const idle = 24 * time.Hour

// step drops what is due and tells how long nothing else can be.
func (s *Server) step(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := idle
	for _, j := range slices.Clone(s.open) {
		if !j.processing() {
			continue
		}
		at, reason := s.deadline(j)
		if left := at.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		s.finish(j, failed, reason, nil)
	}
	return wait
}

// deadline tells when a job is dropped if nothing happens, and why; the caller holds the lock.
func (s *Server) deadline(j *job) (at time.Time, reason string) {
	at = j.touchedAt.Add(idle * 365)
	if s.config.DropSilent > 0 {
		at, reason = j.touchedAt.Add(s.config.DropSilent), "no_updates_running"
	}
	if s.config.DropLate > 0 {
		if late := j.acquiredAt.Add(j.timeout + s.config.DropLate); late.Before(at) {
			at, reason = late, "server_timeout_running"
		}
	}
	return at, reason
}

// hurry tells Run to look again.
func (s *Server) hurry() {
	select {
	case s.kick <- struct{}{}:
	default: // it will look anyway
	}
}
