// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// lastUpdateHeader carries the queue value, which a client sends back as last_update.
const lastUpdateHeader = "X-Gitlab-Last-Update"

// requestJob is POST /jobs/request. A client that knows the present queue value is held
// until the queue changes; even then it gets no job and has to ask again. The answer to
// a held request has no queue value either: its client keeps the old one, and is thus
// not held the next time.
func (s *Server) requestJob(w http.ResponseWriter, r *http.Request) {
	var call runnerCall
	if !readJSON(w, r, &call) {
		return
	}
	if call.Token == "" {
		failure(http.StatusBadRequest, "token is missing").write(w)
		return
	}
	if s.config.LongPoll > 0 {
		w.Header().Set("Gitlab-Ci-Builds-Polling", "yes")
	}
	s.mu.Lock()
	known, ok := s.runnerOf(call.Token)
	latest := ok && call.LastUpdate == s.queueValue()
	changed := s.changed
	answer := forbidden()
	switch {
	case latest && s.config.LongPoll > 0: // held, below
	case latest:
		answer = nothing(call.LastUpdate)
	case ok:
		answer = s.grant(known, call)
	}
	s.mu.Unlock()
	if latest && s.config.LongPoll > 0 {
		hold(r, changed, s.config.LongPoll)
		answer = reply{status: http.StatusNoContent}
	}
	answer.write(w)
}

// hold waits for a change, a while, or the client to go.
func hold(r *http.Request, changed <-chan struct{}, longPoll time.Duration) {
	timer := time.NewTimer(longPoll)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-r.Context().Done():
	}
}

// nothing says that there is no job, as of a queue value.
func nothing(queueValue string) reply {
	return reply{status: http.StatusNoContent, headers: map[string]string{lastUpdateHeader: queueValue}}
}

// queueValue changes whenever a job is queued; the caller holds the lock.
func (s *Server) queueValue() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "queue %d %d", s.config.Seed, s.ticks))
	return hex.EncodeToString(sum[:8])
}

// grant gives the oldest job that is for a runner; the caller holds the lock.
func (s *Server) grant(to *runner, call runnerCall) reply {
	m := s.seen(to, call)
	if to.paused {
		return nothing(s.queueValue())
	}
	for _, j := range slices.Clone(s.open) {
		if j.status != pending || !to.takes(j.spec.Tags) || s.waits(j) {
			continue
		}
		if !j.supported(call.Info.Features) {
			s.finish(j, failed, "runner_unsupported", nil)
			continue
		}
		now := time.Now()
		j.status, j.runner, j.manager = running, to, m
		j.acquiredAt, j.touchedAt = now, now
		j.gracefulCancel = call.Info.Features["cancel_gracefully"]
		if to.maxTimeout > 0 {
			j.timeout = min(j.timeout, to.maxTimeout)
		}
		s.hurry()
		return reply{status: http.StatusCreated, body: s.payload(j)}
	}
	return nothing(s.queueValue())
}

// supported tells whether a runner that says it has these features can run the job.
func (j *job) supported(features map[string]bool) bool {
	if a := j.spec.Artifacts; a != nil && (len(a.Reports) > 0 && !features["upload_multiple_artifacts"] || len(a.Exclude) > 0 && !features["artifacts_exclude"]) {
		return false
	}
	for _, c := range j.spec.Cache {
		if len(c.FallbackKeys) > 0 && !features["fallback_cache_keys"] {
			return false
		}
	}
	return true
}

// waits tells whether a job still waits for another one; the caller holds the lock.
func (s *Server) waits(j *job) bool {
	return slices.ContainsFunc(j.spec.Dependencies, func(id int64) bool {
		needed, ok := s.find(id)
		return ok && !needed.ended()
	})
}
