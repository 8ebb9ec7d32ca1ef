// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"net/http"
	"time"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
)

const (
	touchEvery  = 4 * time.Minute  // the coordinator drops a job that is silent for 30
	cancelGrace = 10 * time.Minute // for after_script of a canceled job
	// A bare refusal counts as the job's end after refusals of it within refusedWithin.
	refusals      = 3
	refusedWithin = 60 * time.Second
	refusedEvery  = 15 * time.Second
	// The coordinator ends a job itself so long after its timeout (gitlab-runner-api.md section 8).
	serverGrace = 15 * time.Minute
)

// Results of jobs as the ledger keeps them.
const (
	resultSuccess  = "success"
	resultFailed   = "failed"
	resultCanceled = "canceled"
	resultUnknown  = "unknown" // ended, but the coordinator does not say how
)

// watchStatus hands out the one call about the job itself that its state asks for: is
// it canceled or ended, a sign of life while it waits.
func (m *Manager) watchStatus(ctx context.Context, j *job) {
	if j.status.busy || !(j.status.due() || j.confirm || j.hint && j.status.fails == 0) {
		return
	}
	if j.confirm && j.rec.State.CanMove(fleet.JobFinished) && j.rec.State != fleet.JobFailing {
		// An update is the question whose refusal carries the final status.
		j.confirm, j.hint = false, false
		m.update(ctx, j, coordinator.Update{State: "running"})
		return
	}
	switch j.rec.State {
	case fleet.JobAcquired, fleet.JobWaiting, fleet.JobLaunching, fleet.JobStarting:
		j.hint = false
		if time.Since(j.touched) >= touchEvery && j.rec.State != fleet.JobStarting {
			m.update(ctx, j, coordinator.Update{State: "running"})
			return
		}
		m.askStatus(ctx, j)
	case fleet.JobRunning:
		j.hint = false
		m.askStatus(ctx, j)
	}
}

// askStatus asks with the job's own token how the job stands; 401 is the answer for a
// job that has ended, and for a broken proxy, so it must be confirmed.
func (m *Manager) askStatus(ctx context.Context, j *job) {
	j.status.busy = true
	id, token, client, asked := j.rec.ID, j.rec.Token, j.runner.client, time.Now()
	m.do(ctx, "status", callTimeout, func(ctx context.Context) event {
		standing, err := client.JobStatus(ctx, id, token)
		return func() {
			j.status.busy = false
			if err == nil {
				j.answered = asked
				m.tellAge(j, standing.Age)
				m.statusAnswered(ctx, j, standing.Status)
				return
			}
			if !refused(err) {
				j.status.failed(m, retryBase, retryCap, fleet.RetryAfterOf(err))
				return
			}
			j.confirm = true
		}
	})
}

// update sends a job update.
func (m *Manager) update(ctx context.Context, j *job, u coordinator.Update) {
	j.status.busy = true
	id, token, client := j.rec.ID, j.rec.Token, j.runner.client
	m.do(ctx, "update "+u.State, callTimeout, func(ctx context.Context) event {
		answer, err := client.Update(ctx, id, token, u)
		return func() {
			j.status.busy = false
			m.updated(ctx, j, u, answer, err)
		}
	})
}

func (m *Manager) updated(ctx context.Context, j *job, u coordinator.Update, answer coordinator.Answer, err error) {
	if err != nil {
		m.updateFailed(ctx, j, err)
		return
	}
	j.touched = time.Now()
	if u.State == "running" && answer.JobStatus == "" { // a proxy may have said that
		j.status.failed(m, retryBase, retryCap, answer.Interval)
		return
	}
	if u.State == "running" {
		m.statusAnswered(ctx, j, answer.JobStatus)
		return
	}
	if answer.Status == http.StatusAccepted { // stored, but its trace is not yet: say it again
		j.status.failed(m, max(answer.Interval, retryBase), retryCap, answer.Interval)
		return
	}
	if !final(answer.JobStatus) {
		// A good answer that does not name the job's status may be a proxy's. Asked again,
		// the coordinator refuses, and says how the job ended.
		j.status.failed(m, retryBase, retryCap, 0)
		return
	}
	j.status.ok()
	m.finish(ctx, j, answer.JobStatus)
}

func (m *Manager) updateFailed(ctx context.Context, j *job, err error) {
	if status, ok := finalStatus(err); ok {
		m.provenEnd(ctx, j, status)
		return
	}
	if refused(err) {
		m.countRefusal(ctx, j)
		return
	}
	j.status.failed(m, retryBase, retryCap, fleet.RetryAfterOf(err))
	m.log.Debug("job update failed", "job", j.rec.ID, "err", err)
}

// statusAnswered takes a good answer about a job.
func (m *Manager) statusAnswered(ctx context.Context, j *job, status string) {
	j.status.ok()
	j.refused = nil
	j.runner.coordOK = time.Now()
	pause := j.runner.cfg.TraceWatch.PollStep
	switch j.rec.State {
	case fleet.JobRunning:
		pause = m.cfg.JobProgressInterval
	case fleet.JobFailing:
		pause = 0 // what is next waits for something else
	}
	j.status.next = time.Now().Add(m.jitter(pause))
	m.sawStatus(ctx, j, status)
}

// sawStatus acts on a status that came with any answer.
func (m *Manager) sawStatus(ctx context.Context, j *job, status string) {
	switch {
	case final(status):
		m.provenEnd(ctx, j, status)
	case status == "canceling" && j.rec.CancelAt.IsZero() && j.rec.State.CanMove(fleet.JobFinished):
		m.change(ctx, "cancel", j, nil, func(d draft) { d.job.CancelAt = stamp() })
	}
}

// provenEnd closes the question how a job ended: the coordinator said it.
func (m *Manager) provenEnd(ctx context.Context, j *job, status string) {
	if j.rec.State.CanMove(fleet.JobFinished) {
		m.finish(ctx, j, status)
	}
}

// countRefusal handles a bare refusal, which says nothing about the end by itself.
func (m *Manager) countRefusal(ctx context.Context, j *job) {
	now := time.Now()
	recent := j.refused[:0]
	for _, at := range j.refused {
		if now.Sub(at) < refusedWithin {
			recent = append(recent, at)
		}
	}
	j.refused = append(recent, now)
	j.status.next = now.Add(m.jitter(refusedEvery))
	if len(j.refused) < refusals || !j.rec.State.CanMove(fleet.JobFinished) {
		return
	}
	if m.refusalsMeanEnd(j) {
		m.finish(ctx, j, resultUnknown)
		return
	}
	j.runner.doubted = true // asked in the next step: this one's context is that of a call that has ended
}

// refusalsMeanEnd tells whether refusals can be taken as the job's end. A broken proxy
// refuses everything, and must not destroy everything: the coordinator must have answered
// somebody well since, and more than half of its jobs must not be refused, unless this is
// the only one. What the coordinator must have ended itself by now has ended; of a job whose
// time limit nobody told, that is never known.
func (m *Manager) refusalsMeanEnd(j *job) bool {
	if m.outlived(j) {
		return true
	}
	all, out := 0, 0
	for _, other := range m.jobs {
		if other.rec.Coordinator != j.rec.Coordinator || !other.rec.State.CanMove(fleet.JobFinished) {
			continue
		}
		all++
		if len(other.refused) > 0 {
			out++
		}
	}
	return (2*out <= all || out == 1) && m.coordinatorWell(j.rec.Coordinator, j.refused[0])
}

// askHealth asks the coordinator something that it answers well unless something stands
// before it: does it know the runner? Nobody else may be asking it anything just now.
func (m *Manager) askHealth(ctx context.Context, r *runner) {
	if !r.doubted || !r.health.idle() {
		return
	}
	r.doubted, r.health.busy = false, true
	client, token, begun := r.client, r.cfg.Token, time.Now()
	m.do(ctx, "ask whether the coordinator is well", callTimeout, func(ctx context.Context) event {
		_, err := client.Verify(ctx, token, client.SystemID())
		return func() {
			r.health.busy = false
			if err != nil {
				r.health.failed(m, retryBase, retryCap, fleet.RetryAfterOf(err))
				return
			}
			r.health.ok()
			r.coordOK = begun
		}
	})
}

// coordinatorWell tells whether a coordinator has answered any call well since a time.
func (m *Manager) coordinatorWell(url string, since time.Time) bool {
	for _, r := range m.runners {
		if r.cfg.Coordinator == url && r.coordOK.After(since) {
			return true
		}
	}
	return false
}

// final tells whether a status is a job's end.
func final(status string) bool {
	return status == resultSuccess || status == resultFailed || status == resultCanceled
}

// finalStatus finds the end of the job in a refusal.
func finalStatus(err error) (string, bool) {
	if e, ok := errors.AsType[*coordinator.StatusError](err); ok && e.Status == http.StatusForbidden && final(e.JobStatus) {
		return e.JobStatus, true
	}
	return "", false
}

// refused tells whether the coordinator refuses the job's token or does not know it.
func refused(err error) bool {
	e, ok := errors.AsType[*coordinator.StatusError](err)
	return ok && !e.Foreign && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden || e.Status == http.StatusNotFound)
}
