// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/schedule"
)

// job is an open job: its record, and what only matters while this process lives.
type job struct {
	rec    fleet.Job
	fresh  bool // not committed yet
	runner *runner
	vm     *machine

	trace  lane // appends and probes
	status lane // questions and updates about the job itself

	// since is when it was acquired, on the clock that does not jump. taken is when this life
	// of the service found it, while since is what the wall clock says alone; else zero.
	since    time.Time
	taken    time.Time
	touched  time.Time // last call that the coordinator takes as a sign of life
	answered time.Time // when the last question was asked to which it is not ended
	refused  []time.Time
	wait     schedule.Reason
	waitFrom time.Time
	hint     bool      // a notice arrived or a call was refused: ask now
	notices  int       // that arrived
	confirm  bool      // the question was refused: ask for the proof of the end
	asked    bool      // failing: the coordinator was asked whether it ended after all
	told     bool      // failing: the text for the user has arrived
	goesNext time.Time // failing: when the coordinator is asked while the instance goes
	ended    endSightings
	looked   bool // starting: the coordinator has told the size of the trace
}

// lane is a row of calls of which one is under way at most.
type lane struct {
	busy bool
	backoff
}

func (l *lane) idle() bool { return !l.busy && l.due() }

// advance brings one job as far as it can go now. Each case commits what it decides;
// the calls follow from the state.
func (m *Manager) advance(ctx context.Context, j *job) {
	switch j.rec.State {
	case fleet.JobAcquired:
		m.size(ctx, j)
	case fleet.JobWaiting:
		m.waited(ctx, j)
	case fleet.JobLaunching:
		m.launched(ctx, j)
	case fleet.JobStarting:
		m.starting(ctx, j)
	case fleet.JobRunning:
		m.running(ctx, j)
	case fleet.JobFailing:
		m.failing(ctx, j)
	}
	m.flushTrace(ctx, j)
	m.watchStatus(ctx, j)
}

// size gives an acquired job its flavor; the runner's flavors may have to be waited for.
func (m *Manager) size(ctx context.Context, j *job) {
	if j.status.busy || m.haunted(ctx, j) || m.canceled(ctx, j) {
		return
	}
	sizing, quota, ok := m.sizing(j.runner)
	if !ok {
		if m.longParked(j) {
			m.fail(ctx, j, reasonSystem, fmt.Sprintf("What flavors there are could not be found out within %s: the platform did not answer. Retry the job.", round(m.parkLimit(j))))
		}
		m.explainSlow(ctx, j, schedule.Flavors)
		return
	}
	tenant, ok := m.paidBy(ctx, j)
	if !ok {
		m.explainSlow(ctx, j, schedule.Payer)
		return
	}
	asked := ""
	if p, err := coordinator.ParsePayload(j.rec.Payload); err == nil {
		asked, _ = p.Variable(flavorVariable)
	}
	flavor, err := schedule.Size(sizing, asked, quota)
	if refused, ok := errors.AsType[*schedule.RefusedError](err); ok {
		m.fail(ctx, j, reasonScript, "This job can't run here: "+refused.Problem)
		return
	}
	if why, ok := m.hopeless(j, tenant, flavor.Name); ok {
		m.fail(ctx, j, reasonSystem, why)
		return
	}
	m.change(ctx, "size", j, nil, func(d draft) {
		d.job.State = fleet.JobWaiting
		d.job.Tenant = tenant
		d.job.Flavor, d.job.Weight = flavor.Name, flavor.Weight
		say(j.runner, d.job, fmt.Sprintf("acquired by %s; flavor %s (%s)", j.rec.Runner, flavor.Name, flavor.Size()))
	})
}

// waited handles a job that waits for room: the limit on waiting, and its cancel.
// Launching is decided for all waiting jobs together, in launchWaiting.
func (m *Manager) waited(ctx context.Context, j *job) {
	if m.canceled(ctx, j) {
		return
	}
	if m.longParked(j) {
		j.runner.strictUntil = time.Now().Add(strictFor)
		m.fail(ctx, j, reasonSystem, fmt.Sprintf(
			"No instance was free for this job within %s: it waited for %s. Retry it later, or ask for a smaller flavor with %s.",
			round(time.Since(j.since)), j.wait, flavorVariable))
	}
}

// launched handles a job whose instance is being made.
func (m *Manager) launched(ctx context.Context, j *job) {
	if m.canceled(ctx, j) {
		return
	}
	if j.vm == nil || j.vm.rec.State == fleet.InstanceGone {
		m.fail(ctx, j, reasonSystem, "The platform did not make an instance for this job. Retry the job; if it fails again, tell the operators of this runner.")
		return
	}
	if time.Now().After(m.launchBy(j)) {
		why := "the platform did not make an instance"
		if j.vm.lastText != "" {
			why += " (" + j.vm.lastText + ")"
		}
		m.fail(ctx, j, reasonSystem, fmt.Sprintf("After %s %s. Retry the job; if it fails again, tell the operators of this runner.",
			round(time.Since(j.rec.LaunchingAt)), why))
		return
	}
	if text := j.vm.lastText; text != "" && j.vm.rec.State != fleet.InstanceCreated {
		m.explainWait(ctx, j, schedule.Reason{Kind: schedule.Making, Problem: text})
	}
	// The prefix is frozen by Start: all of it must have arrived first.
	if j.vm.rec.State != fleet.InstanceCreated || j.trace.busy || j.rec.PrefixAcked < int64(len(j.rec.Prefix)) {
		return
	}
	m.change(ctx, "freeze", j, j.vm, func(d draft) {
		d.job.State = fleet.JobStarting
		d.job.PrefixFrozen = true
		d.job.StartingAt = stamp()
		d.vm.Started = true // from here on the start may have been sent
	})
}

// starting handles a job whose start is under way or done and that has no output yet.
func (m *Manager) starting(ctx context.Context, j *job) {
	if m.canceled(ctx, j) {
		return
	}
	if j.vm == nil || j.vm.rec.State == fleet.InstanceGone {
		m.fail(ctx, j, reasonSystem, "The instance of this job disappeared before the job began. Retry the job.")
		return
	}
	if j.ended.proven {
		m.fail(ctx, j, reasonSystem, "The instance of this job ended before the job began. Retry the job; if it fails again, tell the operators of this runner.")
		return
	}
	limit := j.runner.cfg.TraceWatch.Timeout
	begun := j.rec.StartingAt
	if !j.vm.rec.StartedAt.IsZero() {
		begun = j.vm.rec.StartedAt
	}
	if begun.Before(j.since) {
		begun = j.since // the clock was set since it was recorded
	}
	if !j.looked && begun.Before(m.attended) {
		begun = m.attended // what was written while nobody looked has to be seen first
	}
	if since := time.Since(begun); since > limit && !j.trace.busy && !j.vm.busy {
		what := "its sub-runner has written nothing"
		if j.vm.rec.State != fleet.InstanceStarted {
			what = "it could not be started"
			if j.vm.lastText != "" {
				what += " (" + j.vm.lastText + ")"
			}
		}
		m.fail(ctx, j, reasonSystem, fmt.Sprintf("The instance was made, but %s after %s. Retry the job; if it fails again, tell the operators of this runner.",
			what, round(since)))
	}
}

// running handles a job that its sub-runner answers for: only a cancel or a time limit
// that it does not obey, or the end of its instance, makes us speak for it.
func (m *Manager) running(ctx context.Context, j *job) {
	if !j.rec.CancelAt.IsZero() && time.Since(j.rec.CancelAt) > cancelGrace {
		m.fail(ctx, j, reasonSystem, fmt.Sprintf("The job was canceled, but its sub-runner did not end within %s.", round(cancelGrace)))
		return
	}
	if j.vm == nil || j.vm.rec.State == fleet.InstanceGone {
		m.fail(ctx, j, reasonSystem, "The instance of this job disappeared while the job was running. Retry the job.")
		return
	}
	if j.ended.proven {
		m.fail(ctx, j, reasonSystem, "The instance of this job ended without reporting a result. Retry the job; if it fails again, tell the operators of this runner.")
		return
	}
	m.overdue(ctx, j)
}

// canceled turns a cancel seen before the job ran into the end of the job.
func (m *Manager) canceled(ctx context.Context, j *job) bool {
	if j.rec.CancelAt.IsZero() {
		return false
	}
	m.fail(ctx, j, reasonScript, "The job was canceled before it began to run.")
	return true
}

// fail records that we have to end the job ourselves, and how.
func (m *Manager) fail(ctx context.Context, j *job, reason, text string) {
	ok := m.change(ctx, "fail", j, nil, func(d draft) {
		d.job.State = fleet.JobFailing
		d.job.FailureReason = reason
		d.job.FailureText = plain(text)
	})
	if ok && j.status.fails == 0 {
		j.status.next = time.Now() // the user waits for the answer
	}
}

// finish records the proven end of a job.
func (m *Manager) finish(ctx context.Context, j *job, result string) {
	m.change(ctx, "finish", j, nil, func(d draft) {
		d.job.State = fleet.JobFinished
		d.job.Result = result
		d.job.FinishedAt = stamp()
	})
}

// close ends our care for a job: its end is proven and its instance gone or kept.
func (m *Manager) close(ctx context.Context, j *job) {
	if j.rec.State != fleet.JobFinished {
		return
	}
	if j.vm != nil && j.vm.rec.State != fleet.InstanceGone && j.vm.rec.State != fleet.InstanceKept {
		return
	}
	if j.trace.busy || j.status.busy {
		return
	}
	ok := m.change(ctx, "close", j, nil, func(d draft) {
		d.job.State = fleet.JobClosed
		d.job.ClosedAt = stamp()
		d.job.Payload = nil
	})
	if !ok {
		return
	}
	m.counts[j.rec.Result]++
	delete(m.jobs, j.rec.JobID)
}
