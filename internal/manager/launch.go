// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"fmt"
	"strings"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/schedule"
)

// strictFor is how long a runner asks only while its largest flavor would fit, after
// one of its jobs was parked for too long.
const strictFor = time.Hour

// surveyLimit is how long a start waits for all clouds to be listed: one that does not
// answer must not hold up the others for ever.
const surveyLimit = 2 * time.Minute

// surveyed tells whether what exists in the clouds is known: after a lost ledger it
// counts against the quota before anything is launched.
func (m *Manager) surveyed() bool {
	if time.Since(m.surveyFrom()) > surveyLimit {
		return true
	}
	for _, r := range m.runners {
		if !r.listed() && !r.removed {
			return false
		}
	}
	return true
}

// surveyFrom is since when somebody can look what exists.
func (m *Manager) surveyFrom() time.Time {
	if m.attended.After(m.lookedAgain) {
		return m.attended
	}
	return m.lookedAgain
}

// lookAgain is called when a coordinator answers that did not: tenants that could not be
// found since the start are looked for at once, and nothing is launched before what they
// have is counted.
func (m *Manager) lookAgain() {
	for _, r := range m.runners {
		if r.cfg.Clever.MultiTenant && !r.found && r.discovery.fails > 0 {
			m.lookedAgain = time.Now()
			r.discovery.next, r.discovered, r.surveyed = m.lookedAgain, false, false
		}
	}
}

// launchWaiting launches waiting jobs in order of acquisition while the limits allow,
// and tells each of the others in its log what it waits for.
func (m *Manager) launchWaiting(ctx context.Context) {
	if m.draining || !m.recovered {
		return
	}
	if _, known := m.quota(); !known || !m.surveyed() {
		for _, j := range m.jobList() {
			m.explainSlow(ctx, j, schedule.Survey)
		}
		return
	}
	for {
		waiting, limits, usage := m.waiting(), m.limits(), m.usage()
		id, reason := schedule.MayLaunch(limits, usage, waiting, time.Now())
		if reason.OK() && m.launch(ctx, m.jobs[id]) {
			continue
		}
		for _, j := range m.held(nil) {
			if m.unseen(j) {
				m.explainSlow(ctx, j, schedule.Survey)
				continue
			}
			m.explainWait(ctx, j, m.heldReason(j))
		}
		for _, w := range waiting {
			m.explainWait(ctx, m.jobs[w.ID], schedule.WhyWaiting(limits, usage, waiting, w.ID, time.Now()))
		}
		return
	}
}

// launch records the instance under its key, its weight included, before the call
// that creates it (I2, I3).
func (m *Manager) launch(ctx context.Context, j *job) bool {
	key := j.rec.Owner.Key(j.rec.ID)
	now := stamp()
	vm := &machine{fresh: true, runner: j.runner, job: j, rec: fleet.Instance{
		Key: key, Job: j.rec.JobID, Owner: j.rec.Owner, Runner: j.rec.Runner, Tenant: j.rec.Tenant,
		Namespace: j.rec.Namespace, NamespaceID: j.rec.NamespaceID,
		Provisioner: j.runner.prov.Describe().Name, Zone: j.runner.prov.Describe().Zone,
		Flavor: j.rec.Flavor, Weight: j.rec.Weight, State: fleet.InstanceIntended, IntendedAt: now,
	}}
	ok := m.change(ctx, "launch", j, vm, func(d draft) {
		d.job.State = fleet.JobLaunching
		d.job.LaunchingAt = now
		if waited := now.Sub(d.job.AcquiredAt); waited >= time.Second || j.wait.Kind != schedule.Free {
			say(j.runner, d.job, fmt.Sprintf("waited %s in all", round(waited)))
		}
		say(j.runner, d.job, "creating an instance of flavor "+d.job.Flavor)
	})
	if !ok {
		return false
	}
	j.vm = vm
	m.machines[key] = vm
	if b := m.breakers[vm.breakerKey()]; b != nil && !b.next.IsZero() {
		b.probe = vm
	}
	m.lastLaunch = time.Now()
	return true
}

// explainPause keeps a job's log from being filled where reasons take turns.
const explainPause = time.Minute

// slowFrom is how long something that should take moments may take without a word.
const slowFrom = 10 * time.Second

// explainWait writes to the job's log what it waits for, when that is another reason
// than the one said last.
func (m *Manager) explainWait(ctx context.Context, j *job, reason schedule.Reason) {
	if reason.OK() || j.wait.Same(reason) || j.wait.Kind != schedule.Free && time.Since(j.waitFrom) < explainPause {
		return
	}
	j.wait, j.waitFrom = reason, time.Now()
	text := "waiting for " + reason.String()
	if strings.HasSuffix(j.rec.Prefix, line(text)) { // said by an earlier life of this process
		return
	}
	m.change(ctx, "wait", j, nil, func(d draft) { say(j.runner, d.job, text) })
}

// explainSlow explains what a job that is not launched yet waits for, though it is there
// within moments as a rule. An acquired job's own reasons go before that of the whole service.
func (m *Manager) explainSlow(ctx context.Context, j *job, kind schedule.Kind) {
	unplaced := j.rec.State == fleet.JobWaiting || j.rec.State == fleet.JobAcquired && kind != schedule.Survey
	if unplaced && time.Since(j.since) >= slowFrom && time.Since(m.surveyFrom()) >= slowFrom {
		m.explainWait(ctx, j, schedule.Reason{Kind: kind})
	}
}

// waiting lists the jobs that want an instance, but for those of a kind that the platform
// fails to make, or whose cloud was not listed yet: they must not stand before the others.
func (m *Manager) waiting() []schedule.Waiting {
	var out []schedule.Waiting
	for _, j := range m.jobList() {
		if _, broken := m.brokenFor(j); !broken && !m.unseen(j) && j.rec.State == fleet.JobWaiting && j.rec.CancelAt.IsZero() {
			out = append(out, schedule.Waiting{ID: j.rec.JobID, Seq: j.rec.Seq, Weight: j.rec.Weight})
		}
	}
	return out
}

// limits are the ceilings of the service; the quota is zero until it is known.
func (m *Manager) limits() schedule.Limits {
	quota, _ := m.quota()
	return schedule.Limits{
		Quota: quota, Concurrent: m.cfg.Concurrent,
		MaxProvisioning: m.cfg.MaxProvisioning, MinBetween: m.cfg.MinBetweenLaunches,
	}
}

// usage counts what counts: every recorded instance until it is confirmed absent, and
// those that carry our key though no record explains them.
func (m *Manager) usage() schedule.Usage {
	u := schedule.Usage{
		Jobs: len(m.jobs) + len(m.orphans.jobs), LastLaunch: m.lastLaunch,
		Weight: m.orphans.weight(), Instances: len(m.orphans.instances),
	}
	for _, vm := range m.machines {
		if vm.rec.State.Counts() {
			u.Weight += vm.rec.Weight
			u.Instances++
		}
	}
	for _, s := range m.unrecorded {
		if s.forgotten {
			continue
		}
		u.Weight += s.weight
		u.Instances++
	}
	for _, j := range m.jobs {
		if j.rec.State == fleet.JobLaunching || j.rec.State == fleet.JobStarting {
			u.Provisioning++
		}
	}
	return u
}
