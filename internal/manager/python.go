// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/store"
)

// foreignMade tells an instance that the Python program made and that was not looked at
// yet: its record has a name and an id, and no more. Nothing is done with it before.
func (vm *machine) foreignMade() bool { return vm.rec.Provisioner == "" }

// identify asks the cloud for such an instance, and records what the Python program's
// state did not tell: who pays, its handle, its flavor, and its name, when it was made for
// another job.
func (m *Manager) identify(ctx context.Context, vm *machine) {
	ref, err := vm.ref()
	if err != nil {
		m.withoutCredential(vm, err)
		return
	}
	if len(vm.runner.flavors) == 0 { // its weight could not be told
		vm.next = m.stepAt.Add(m.jitter(time.Second))
		return
	}
	vm.busy = true
	prov := vm.runner.prov
	m.do(ctx, "identify", callTimeout, func(ctx context.Context) event {
		seen, err := prov.Inspect(ctx, ref)
		return func() {
			vm.busy = false
			switch {
			case errors.Is(err, fleet.ErrNotFound):
				m.notThere(ctx, vm, ref.Tenant.ID)
			case err != nil:
				vm.failed(m, retryBase, retryCap, fleet.RetryAfterOf(err))
				vm.lastText = userText(err)
				vm.runner.refusedCredential(vm.rec.Namespace, err)
				m.alarm(vm, err.Error())
			case seen.Key != vm.rec.Key:
				m.rename(ctx, vm, seen)
			default:
				m.identified(ctx, vm, ref.Tenant.ID, seen)
			}
		}
	})
}

// notThere: the platform says that there is no such instance. One whose name alone is
// known may still show up: it is looked for like one whose create was not answered.
func (m *Manager) notThere(ctx context.Context, vm *machine, tenant string) {
	if vm.rec.State != fleet.InstanceUnknown {
		m.log.Warn("an instance of the Python program is gone", "instance", vm.rec.Key)
		m.gone(ctx, vm)
		return
	}
	m.identified(ctx, vm, tenant, cloud.Sighting{})
}

// identified records what the cloud shows.
func (m *Manager) identified(ctx context.Context, vm *machine, tenant string, seen cloud.Sighting) {
	vm.ok()
	j := vm.job
	if j != nil && j.rec.State == fleet.JobAcquired {
		j = nil // it is sized as if it had just been acquired
	}
	m.change(ctx, "identify", j, vm, func(d draft) {
		d.vm.Provisioner, d.vm.Tenant = vm.runner.prov.Describe().Name, tenant
		d.vm.Zone = cmp.Or(seen.Zone, vm.runner.prov.Describe().Zone)
		d.vm.Flavor = seen.Flavor
		if len(seen.Handle) > 0 {
			d.vm.Handle = seen.Handle
		}
		if !seen.CreatedAt.IsZero() {
			d.vm.CreatedAt = seen.CreatedAt.UTC().Truncate(time.Microsecond)
		}
		for _, f := range vm.runner.flavors {
			if f.Name == seen.Flavor {
				d.vm.Weight = f.Weight
			}
		}
		if d.job != nil {
			d.job.Tenant, d.job.Flavor, d.job.Weight = tenant, d.vm.Flavor, d.vm.Weight
		}
	})
}

// rename records an instance under the name that it has: the Python program lets a
// second job have the instance that was made for a first. It has to be a name that
// the program gives to instances of one of our runners; else nothing is done with it.
func (m *Manager) rename(ctx context.Context, vm *machine, seen cloud.Sighting) {
	mark, _, python := fleet.ParsePythonKey(seen.Key)
	if !python || !m.knowsMark(mark) || m.machines[seen.Key] != nil {
		if vm.fails == 0 {
			m.log.Error("an instance of the Python program has a name that is not ours: it is not touched", "instance", vm.rec.Key, "err", fmt.Sprintf("it is named %.80q", seen.Key))
		}
		vm.failed(m, retryCap, deleteCap, 0)
		vm.lastText = fmt.Sprintf("it is named %.80q, which is not ours", seen.Key)
		vm.foreign = seen.Key
		return
	}
	vm.foreign = ""
	old, now := vm.rec, vm.rec
	old.State, old.GoneAt, old.LastError = fleet.InstanceGone, stamp(), "recorded under its name "+seen.Key
	now.Key = seen.Key
	if !m.commit(ctx, store.Change{Name: "rename", Instances: []fleet.Instance{old, now}}) {
		return
	}
	m.log.Info("an instance of the Python program is recorded under its own name", "instance", now.Key, "from", old.Key)
	delete(m.machines, old.Key)
	vm.rec = now
	m.machines[now.Key] = vm
}

// knowsMark tells whether a runner of the configuration has this name in the Python
// program.
func (m *Manager) knowsMark(mark string) bool {
	return slices.ContainsFunc(m.runners, func(r *runner) bool { return fleet.PythonMark(r.cfg.Token.Reveal()) == mark })
}

// pythonMarks are the marks under which a runner's instances of the Python program are
// listed, as long as there are any.
func (m *Manager) pythonMarks(r *runner) []fleet.Owner {
	var out []fleet.Owner
	for _, vm := range m.machineList() {
		mark, _, python := fleet.ParsePythonKey(vm.rec.Key)
		if owner := fleet.Owner(mark); python && vm.runner == r && !slices.Contains(out, owner) {
			out = append(out, owner)
		}
	}
	return out
}

// haunted tells whether the Python program may have made an instance for an acquired job:
// that is settled first, for as long as a job may be parked.
func (m *Manager) haunted(ctx context.Context, j *job) bool {
	if j.vm == nil || j.vm.rec.State == fleet.InstanceGone {
		return false
	}
	if m.longParked(j) {
		m.fail(ctx, j, reasonSystem, fmt.Sprintf("Whether an instance was made for this job before the service was exchanged could not be found out within %s. Retry the job.", round(m.parkLimit(j))))
	}
	return true
}

// leftover removes an instance that was made for a job when the Python program stopped;
// the job is launched anew once it is gone. Where the job may have begun, it fails.
func (m *Manager) leftover(ctx context.Context, vm *machine, seen cloud.Sighting) {
	j := vm.job
	ok := m.change(ctx, "leftover", nil, vm, func(d draft) {
		d.vm.State, d.vm.Handle, d.vm.DeletingAt = fleet.InstanceDeleting, seen.Handle, stamp()
	})
	if ok && seen.Life != cloud.LifeCreated {
		m.fail(ctx, j, reasonSystem, "The service that runs this job was exchanged while the job was being started. Retry the job.")
	}
}
