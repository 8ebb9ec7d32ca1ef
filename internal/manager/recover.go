// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"fmt"
	"slices"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/store"
)

// load reads the ledger and records the owners of the configured runners. Nothing is
// decided here: every job and instance goes on from its recorded state.
func (m *Manager) load(ctx context.Context) error {
	snap, err := m.deps.Ledger.Load(context.WithoutCancel(ctx)) // a disk read, even when a stop is asked for already
	if err != nil {
		return fmt.Errorf("read the ledger: %w", err)
	}
	m.nextSeq, m.recorded = snap.NextSeq, snap.Runners
	if snap.Meta != nil {
		m.meta = snap.Meta
		m.fuse.load(snap.Meta)
	}
	for _, r := range m.runners {
		m.recall(r)
		if m.ownerRunner(r.cfg.Owner, true) == nil {
			m.unsaved = append(m.unsaved, store.RunnerRecord{Owner: r.cfg.Owner, Name: r.cfg.Name, Coordinator: r.cfg.Coordinator})
		}
	}
	m.recorded = append(m.recorded, m.unsaved...)
	if measureAll(&snap, time.Now()) {
		m.log.Warn("the ledger holds times that are still to come: the clock was set back; they count as now")
	}
	m.launchedAt(snap.LastLaunch)
	m.adoptRecords(snap)
	m.recovered = true
	m.log.Info("recovered", "jobs", len(m.jobs), "instances", len(m.machines), "runners", len(m.runners))
	return nil
}

// recall gives a runner the owner marks that were recorded under its name: its token may
// have been rotated since.
func (m *Manager) recall(r *runner) {
	for _, rec := range m.recorded {
		if rec.Name == r.cfg.Name && rec.Coordinator == r.cfg.Coordinator && !slices.Contains(r.owners, rec.Owner) {
			r.owners = append(r.owners, rec.Owner)
		}
	}
}

// recordRunners writes down the owner marks that are new, before anything is acquired
// under them. A disk that is full at the start is no reason to end: what runs is to be
// watched.
func (m *Manager) recordRunners(ctx context.Context) bool {
	if len(m.unsaved) > 0 && !m.commit(ctx, store.Change{Name: "runners", Runners: m.unsaved}) {
		return false
	}
	m.unsaved = nil
	return true
}

// adoptRecords puts the recorded jobs and instances into memory. Records of a runner
// that the configuration no longer names stay in the ledger, untouched and counted.
func (m *Manager) adoptRecords(snap store.Snapshot) {
	for _, rec := range snap.Jobs {
		r := m.ownerRunner(rec.Owner, false)
		if r == nil {
			m.orphans.jobs = append(m.orphans.jobs, rec)
			m.log.Error("a job in the ledger belongs to a runner that is not configured", "runner", rec.Runner, "job", rec.ID)
			continue
		}
		j := &job{rec: rec, runner: r, since: m.started.Add(-m.started.Sub(rec.AcquiredAt)), taken: time.Now(), touched: time.Now().Add(-touchEvery)}
		j.status.next = time.Now().Add(m.jitter(time.Second))
		m.jobs[rec.JobID] = j
	}
	for _, rec := range snap.Instances {
		r := m.ownerRunner(rec.Owner, false)
		if r == nil {
			m.orphans.instances = append(m.orphans.instances, rec)
			m.log.Error("an instance in the ledger belongs to a runner that is not configured: it is not touched", "runner", rec.Runner, "instance", rec.Key)
			continue
		}
		vm := &machine{rec: rec, runner: r, job: m.jobs[rec.Job], unsure: rec.Started && rec.State == fleet.InstanceCreated}
		if vm.job != nil {
			vm.job.vm = vm
		}
		m.machines[rec.Key] = vm
	}
	m.settleRecords()
}

// launchedAt takes a launch of an earlier life of this process, from which the next one
// has to keep its distance.
func (m *Manager) launchedAt(at time.Time) {
	if at.After(m.lastLaunch) && !at.After(m.started) {
		m.lastLaunch = at
	}
}

// settleRecords looks after jobs whose instance was confirmed absent before the restart.
func (m *Manager) settleRecords() {
	for _, j := range m.jobList() {
		if j.vm != nil || j.rec.LaunchingAt.IsZero() {
			continue
		}
		// Its instance is gone: keep a tombstone, so that it is not launched again.
		j.vm = &machine{runner: j.runner, job: j, rec: fleet.Instance{Key: j.rec.Owner.Key(j.rec.ID), State: fleet.InstanceGone}}
	}
}

// ownerRunner finds the configured runner of an owner: its present one, or one that it
// had before its token was rotated. With recorded, it tells whether the owner is in the
// ledger already.
func (m *Manager) ownerRunner(owner fleet.Owner, recorded bool) *runner {
	if recorded {
		for _, rec := range m.recorded {
			if rec.Owner == owner {
				return m.ownerRunner(owner, false)
			}
		}
		return nil
	}
	for _, r := range m.runners {
		if slices.Contains(r.owners, owner) {
			return r
		}
	}
	return nil
}
