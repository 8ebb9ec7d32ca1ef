// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/schedule"
)

// idleWake bounds how long the loop sleeps without an event.
const idleWake = time.Minute

// nextWake is when the next thing falls due that no event announces.
func (m *Manager) nextWake() time.Time {
	w := waker{now: m.stepAt, at: m.stepAt.Add(idleWake)}
	if !m.brokenSince.IsZero() {
		w.add(m.nextRepair)
	}
	for _, l := range m.unrecordable {
		w.lane(&l.lane)
	}
	if !m.brokenSince.IsZero() {
		return w.at
	}
	for _, r := range m.runners {
		if r.polling == nil && r.why.OK() {
			w.add(r.nextPoll)
		}
		if r.why.Kind == schedule.Broken {
			w.add(r.askedAt.Add(heldPoll))
		}
		w.lane(&r.flavorLane)
		if r.doubted {
			w.lane(&r.health)
		}
		if r.searchesGrants() {
			w.lane(&r.grants.lane)
		}
		for _, p := range r.purses {
			w.lane(&p.list)
			if r.cfg.Clever.MultiTenant && m.neededTenant(r, p.group) {
				w.lane(&p.lane)
				w.add(p.at.Add(tenantFor))
			}
		}
		if r.cfg.Clever.MultiTenant {
			w.lane(&r.discovery)
		}
	}
	for _, b := range m.breakers {
		w.add(b.next)
	}
	for _, vm := range m.machines {
		if !vm.resting() {
			w.lane(&vm.lane)
		}
		if vm.twin != nil {
			w.lane(&vm.twinLane)
		}
	}
	for _, j := range m.jobs {
		m.jobWake(&w, j)
	}
	w.add(m.surveyFrom().Add(slowFrom))
	w.add(m.surveyFrom().Add(surveyLimit + time.Millisecond))
	w.add(m.attended.Add(startChance + time.Millisecond))
	if m.cfg.MinBetweenLaunches > 0 {
		w.add(m.lastLaunch.Add(m.cfg.MinBetweenLaunches))
	}
	return w.at
}

// jobWake adds the times at which a job's state has a limit, and its retries.
func (m *Manager) jobWake(w *waker, j *job) {
	w.lane(&j.status)
	if j.rec.State != fleet.JobFinished {
		w.lane(&j.trace)
	}
	watch := j.runner.cfg.TraceWatch.Timeout + time.Millisecond
	switch j.rec.State {
	case fleet.JobAcquired:
		w.add(j.since.Add(unsizedFor))
		w.add(j.since.Add(slowFrom))
		w.add(j.since.Add(m.parkLimit(j) + time.Millisecond))
	case fleet.JobWaiting:
		w.add(j.since.Add(slowFrom))
		w.add(j.since.Add(m.parkLimit(j) + time.Millisecond))
	case fleet.JobLaunching:
		w.add(m.launchBy(j).Add(time.Millisecond))
	case fleet.JobStarting:
		if j.vm != nil && !j.vm.rec.StartedAt.IsZero() {
			w.add(j.vm.rec.StartedAt.Add(watch))
		}
		w.add(j.rec.StartingAt.Add(watch))
		w.add(m.attended.Add(watch))
	case fleet.JobFailing:
		w.add(j.goesNext)
	case fleet.JobRunning:
		w.add(j.overdueAt())
		if !j.rec.CancelAt.IsZero() {
			w.add(j.rec.CancelAt.Add(cancelGrace + time.Millisecond))
		}
	}
}

// resting tells whether only its job's next state makes the instance need a call.
func (vm *machine) resting() bool {
	if vm.foreignMade() {
		return false
	}
	switch vm.rec.State {
	case fleet.InstanceKept:
		return true
	case fleet.InstanceStarted:
		return vm.wanted()
	case fleet.InstanceCreated:
		return vm.wanted() && vm.job.rec.State == fleet.JobLaunching
	}
	return false
}

// waker keeps the earliest time that is still to come. What is past is not a reason to
// wake: the step that just ran has seen it. Past means before the step began, so that
// nothing that fell due while it ran is overlooked.
type waker struct {
	now, at time.Time
}

func (w *waker) add(t time.Time) {
	if t.After(w.now) && t.Before(w.at) {
		w.at = t
	}
}

func (w *waker) lane(l *lane) {
	if !l.busy {
		w.add(l.next)
	}
}
