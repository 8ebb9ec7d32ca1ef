// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"slices"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/store"
)

// orphans are the records whose runner is not in the configuration: shown and counted,
// and not touched, since neither the coordinator nor the cloud can be asked for them.
type orphans struct {
	jobs      []fleet.Job
	instances []fleet.Instance
}

// weight is what the instances count.
func (o orphans) weight() fleet.Weight {
	var sum fleet.Weight
	for _, vm := range o.instances {
		sum += vm.Weight
	}
	return sum
}

// orphanWait is what an orphan waits for, in the words of a Status.
const orphanWait = "its runner, which is not in the configuration"

func (o orphans) status() []JobStatus {
	var out []JobStatus
	for _, rec := range o.jobs {
		rec.Payload = nil
		s := JobStatus{Job: rec, WaitsFor: orphanWait, WaitSince: rec.AcquiredAt}
		for _, vm := range o.instances {
			if vm.Job == rec.JobID {
				s.Instance = vm.Key
			}
		}
		out = append(out, s)
	}
	return out
}

func (o orphans) audit() []AuditEntry {
	var out []AuditEntry
	for _, vm := range o.instances {
		out = append(out, AuditEntry{
			Key: vm.Key, Tenant: vm.Tenant, Namespace: vm.Namespace, Job: vm.Job.ID, Ledger: string(vm.State),
			Flavor: vm.Flavor, Weight: vm.Weight,
			Verdict: "its runner " + vm.Runner + " is not in the configuration: its weight is held until the runner is back, or audit --forget " + vm.Key,
		})
	}
	return out
}

// takeBack goes on with the orphans of a runner that a reload has put back into the
// configuration.
func (m *Manager) takeBack(r *runner) {
	var snap store.Snapshot
	m.orphans.jobs = slices.DeleteFunc(m.orphans.jobs, func(rec fleet.Job) bool {
		mine := slices.Contains(r.owners, rec.Owner)
		if mine {
			snap.Jobs = append(snap.Jobs, rec)
		}
		return mine
	})
	m.orphans.instances = slices.DeleteFunc(m.orphans.instances, func(rec fleet.Instance) bool {
		mine := slices.Contains(r.owners, rec.Owner)
		if mine {
			snap.Instances = append(snap.Instances, rec)
		}
		return mine
	})
	m.adoptRecords(snap)
}

// forgetOrphan ends our care for an orphan and its job: whoever asks for it looks after
// the instance.
func (m *Manager) forgetOrphan(key string) error {
	i := slices.IndexFunc(m.orphans.instances, func(vm fleet.Instance) bool { return vm.Key == key })
	if i < 0 {
		return ErrNotKept
	}
	vm := m.orphans.instances[i]
	vm.State, vm.GoneAt, vm.LastError = fleet.InstanceGone, stamp(), forgotten
	change := store.Change{Name: "forget", Instances: []fleet.Instance{vm}}
	of := func(job fleet.Job) bool { return job.JobID == vm.Job }
	for _, job := range m.orphans.jobs {
		if of(job) {
			job.State, job.Result, job.ClosedAt = fleet.JobClosed, resultUnknown, stamp()
			change.Jobs = append(change.Jobs, job)
		}
	}
	if !m.commit(context.Background(), change) {
		return errors.New("the ledger can't be written")
	}
	m.orphans.instances = slices.Delete(m.orphans.instances, i, i+1)
	m.orphans.jobs = slices.DeleteFunc(m.orphans.jobs, of)
	m.log.Info("an instance of a runner that is not configured is forgotten", "instance", key)
	return nil
}
