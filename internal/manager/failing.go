// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"time"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
)

// failing ends a job ourselves. An instance on which the job was started goes first
// and is seen to be gone, so that nothing can speak after us; then the coordinator is
// asked once more, since the sub-runner may have reported; then the text for the user
// and the final update.
func (m *Manager) failing(ctx context.Context, j *job) {
	if j.maySpeak() {
		m.whileItGoes(ctx, j)
		return
	}
	if j.status.busy || !j.status.due() {
		return
	}
	switch {
	case j.rec.PrefixFrozen && !j.asked:
		m.lastQuestion(ctx, j)
	case !j.told && j.rec.FailureMark == 0:
		m.chooseMark(ctx, j)
	case !j.told:
		m.tell(ctx, j)
	default:
		u := coordinator.Update{State: "failed", FailureReason: j.rec.FailureReason}
		if u.FailureReason == reasonScript {
			u.ExitCode = userExitCode
		}
		m.update(ctx, j, u)
	}
}

// maySpeak tells whether the instance of a failing job may still report for it: the job
// was started there, and it is not seen to be gone.
func (j *job) maySpeak() bool {
	return j.vm != nil && j.vm.rec.Started && j.vm.rec.State != fleet.InstanceGone && j.vm.rec.State != fleet.InstanceKept
}

// goesAsk is how often the coordinator is asked while an instance goes. That takes seconds,
// unless the platform is in trouble or its credential is gone.
const goesAsk = time.Minute

// whileItGoes asks how the job stands while its instance, which tendMachine is removing,
// may still report, or the coordinator has given the job up: then nobody has to wait.
func (m *Manager) whileItGoes(ctx context.Context, j *job) {
	if j.goesNext.IsZero() {
		j.goesNext = time.Now().Add(m.jitter(goesAsk))
	}
	switch {
	case j.status.busy || !j.status.due():
	case j.confirm:
		j.confirm = false
		m.update(ctx, j, coordinator.Update{State: "running"})
	case !time.Now().Before(j.goesNext):
		j.goesNext = time.Now().Add(m.jitter(goesAsk))
		m.askStatus(ctx, j)
	}
}

// lastQuestion asks for the proof that the sub-runner has ended the job after all.
func (m *Manager) lastQuestion(ctx context.Context, j *job) {
	j.status.busy = true
	id, token, client := j.rec.ID, j.rec.Token, j.runner.client
	m.do(ctx, "last question", callTimeout, func(ctx context.Context) event {
		answer, err := client.Update(ctx, id, token, coordinator.Update{State: "running"})
		return func() {
			j.status.busy = false
			if err != nil {
				m.updateFailed(ctx, j, err)
				return
			}
			j.status.ok()
			j.asked = true
			m.sawStatus(ctx, j, answer.JobStatus)
		}
	})
}

// chooseMark learns the size of the trace and records where the text will go: after a
// crash the size tells whether it arrived.
func (m *Manager) chooseMark(ctx context.Context, j *job) {
	j.status.busy = true
	id, token, client := j.rec.ID, j.rec.Token, j.runner.client
	m.do(ctx, "probe for the failure text", callTimeout, func(ctx context.Context) event {
		answer, err := client.ProbeTrace(ctx, id, token)
		return func() {
			j.status.busy = false
			if err != nil {
				m.updateFailed(ctx, j, err)
				return
			}
			j.status.ok()
			m.change(ctx, "mark", j, nil, func(d draft) { d.job.FailureMark = answer.Size + 1 })
		}
	})
}

// tell appends what is still missing of our lines, then the text.
func (m *Manager) tell(ctx context.Context, j *job) {
	j.status.busy = true
	id, token, client := j.rec.ID, j.rec.Token, j.runner.client
	offset := j.rec.FailureMark - 1
	text := failureLine(j.rec.FailureText)
	if !j.rec.PrefixFrozen && offset < int64(len(j.rec.Prefix)) {
		text = j.rec.Prefix[offset:] + text
	}
	m.do(ctx, "append failure text", callTimeout, func(ctx context.Context) event {
		answer, err := client.AppendTrace(ctx, id, token, offset, []byte(text))
		return func() {
			j.status.busy = false
			switch {
			case err != nil && fleet.ClassOf(err) == fleet.Permanent && !refused(err):
				j.told = true // the text can't be written (a full trace): the result still can
			case err != nil:
				m.updateFailed(ctx, j, err)
			case answer.Conflict && answer.Size < offset+int64(len(text)):
				// The trace changed since: choose again, at its present end.
				m.change(ctx, "mark", j, nil, func(d draft) { d.job.FailureMark = answer.Size + 1 })
			default:
				j.told = true
				j.status.ok()
			}
		}
	})
}
