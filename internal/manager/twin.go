// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"bytes"
	"context"
	"errors"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

// twin notes a second instance under a recorded key: a create whose answer was lost
// took effect after all, later than the platform's settle time. The recorded one is the
// job's; the other was never started by us and goes, as ours.
func (m *Manager) twin(vm *machine, s cloud.Sighting) {
	first, known := vm.twins[string(s.Handle)]
	if !known {
		first = time.Now()
		if vm.twins == nil {
			vm.twins = map[string]time.Time{}
		}
		vm.twins[string(s.Handle)] = first
	}
	if s.Life != cloud.LifeCreated || seenAge(s, first) < youngest {
		return
	}
	if vm.twin == nil || !bytes.Equal(vm.twin.Handle, s.Handle) {
		m.log.Warn("two instances carry one key; the one that was not started goes", "instance", s.Key)
	}
	vm.twin = &s
}

// isTwin tells whether a sighting is that of another instance than the recorded one.
func (vm *machine) isTwin(s cloud.Sighting) bool {
	return len(vm.rec.Handle) > 0 && !vm.foreignMade() && !bytes.Equal(vm.rec.Handle, s.Handle)
}

// twinEntry judges a second instance under a recorded key. One that was started is nothing
// that a lost answer leaves behind: somebody has to look at it.
func twinEntry(vm *machine, p *purse, s cloud.Sighting) AuditEntry {
	e := AuditEntry{
		Key: s.Key, Tenant: p.tenant.ID, Namespace: p.group, Job: vm.rec.Job.ID, Cloud: string(s.Life), Flavor: s.Flavor,
		Verdict: "a second instance under a recorded key, never started: it is destroyed when it is two minutes old", Explained: true,
	}
	if s.Life != cloud.LifeCreated {
		e.Verdict, e.Explained = "a second instance under a recorded key, and it was started, not by this service: never touched", false
	}
	return e
}

// destroyTwin removes a twin, at most one call at a time; the next list shows whether
// it is gone. The list that showed it may have been old: one that was started stays.
func (m *Manager) destroyTwin(ctx context.Context, vm *machine) {
	if vm.twin == nil || !vm.twinLane.idle() {
		return
	}
	ref, err := vm.ref()
	if err != nil {
		return
	}
	ref.Handle = vm.twin.Handle
	vm.twinLane.busy = true
	prov := vm.runner.prov
	m.do(ctx, "destroy twin", callTimeout, func(ctx context.Context) event {
		seen, err := prov.Inspect(ctx, ref)
		if err == nil && seen.Life == cloud.LifeCreated {
			err = prov.Destroy(ctx, ref)
		}
		return func() {
			vm.twinLane.busy = false
			if err != nil && !errors.Is(err, fleet.ErrNotFound) {
				vm.twinLane.failed(m, retryBase, deleteCap, fleet.RetryAfterOf(err))
				return
			}
			vm.twinLane.ok()
			vm.twin = nil
		}
	})
}
