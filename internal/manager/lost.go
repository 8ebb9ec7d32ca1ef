// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"time"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// lostTimeout bounds one try to end a job that could not be recorded.
const lostTimeout = 2 * callTimeout

// lostJob is an acquired job that the ledger does not know.
type lostJob struct {
	runner *runner
	id     int64
	token  secret.String
	text   string
	begun  time.Time
	// size is that of the trace before the text, when it is known: we are its only
	// writer, so a larger one has the text already.
	size     int64
	refusals int // bare ones
	lane
	done bool
}

// endLost reports the end of jobs that could not be recorded.
func (m *Manager) endLost(ctx context.Context) {
	left := m.unrecordable[:0]
	for _, l := range m.unrecordable {
		if l.done {
			continue
		}
		left = append(left, l)
		if !l.idle() {
			continue
		}
		l.busy = true
		client := l.runner.client
		m.do(ctx, "end unrecorded job", lostTimeout, func(ctx context.Context) event {
			told := l.tell(ctx, client)
			answer, err := client.Update(ctx, l.id, l.token, coordinator.Update{State: "failed", FailureReason: reasonSystem})
			return func() { m.lostEnded(l, answer.JobStatus, err, fleet.RetryAfterOf(told)) }
		})
	}
	m.unrecordable = left
}

// tell writes the text to the job's log, once. It is a courtesy: the result does not
// depend on it. Only one call for a job is under way at a time.
func (l *lostJob) tell(ctx context.Context, client *coordinator.Client) error {
	answer, err := client.ProbeTrace(ctx, l.id, l.token)
	if err != nil {
		return err
	}
	if l.size < 0 {
		l.size = answer.Size
	}
	if answer.Size == l.size {
		_, err = client.AppendTrace(ctx, l.id, l.token, l.size, []byte(l.text)) // the next try looks what arrived
	}
	return err
}

// lostEnded takes the answer to the update of a lost job. pause is how long the coordinator
// wants to be left alone with its log. A good answer that names no end may be a proxy's: asked
// again, the coordinator refuses, and says how the job ended.
func (m *Manager) lostEnded(l *lostJob, status string, err error, pause time.Duration) {
	l.busy = false
	_, ended := finalStatus(err)
	if refused(err) && !ended && l.refusals < refusals-1 { // a broken proxy refuses everything
		l.refusals++
		l.next = time.Now().Add(m.jitter(max(refusedEvery, pause)))
		return
	}
	if err == nil && final(status) || err != nil && fleet.ClassOf(err) == fleet.Permanent {
		l.done = true
		m.log.Error("ended a job that could not be recorded", "runner", l.runner.cfg.Name, "job", l.id, "took", time.Since(l.begun))
		return
	}
	l.failed(m, retryBase, retryCap, max(pause, fleet.RetryAfterOf(err)))
}
