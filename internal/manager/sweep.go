// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"slices"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

const (
	sweepEvery  = time.Minute
	endedApart  = 30 * time.Second // two sightings of an ended task are so far apart
	missedLists = 1                // the instance itself is asked then, and its own "not found" is what counts
)

// endSightings counts lists in which a running job's instance was shown ended. Lists
// may say so for a moment after a start, so the instance itself is asked at the end.
type endSightings struct {
	first, last time.Time
	proven      bool
}

// twice tells whether the instance was shown ended in two lists far enough apart.
func (e endSightings) twice() bool {
	return !e.first.IsZero() && e.last.Sub(e.first) >= endedApart
}

// sweep lists a runner's instances in O(1) calls: at the start, then every minute. The
// list is taken first and compared with the records after, so that an instance made in
// between is never taken for a stranger.
func (m *Manager) sweep(ctx context.Context, r *runner) {
	// Without the flavors the weight of what a list shows is not known.
	if !m.recovered || len(r.flavors) == 0 {
		return
	}
	for _, p := range r.purseList() {
		needed := m.neededTenant(r, p.group)
		if r.cfg.Clever.MultiTenant && needed {
			p.neededAt = m.stepAt
			if soon := m.stepAt.Add(2 * sweepEvery); p.list.next.After(soon) {
				p.list.next = m.stepAt.Add(m.jitter(sweepEvery)) // it was looked at seldom, and has a job now
			}
		}
		if p.list.idle() && p.tenant.ID != "" && (needed || !r.cfg.Clever.MultiTenant || p.fresh()) {
			m.sweepTenant(ctx, r, p)
		}
	}
}

func (m *Manager) sweepTenant(ctx context.Context, r *runner, p *purse) {
	tenant, err := r.tenant(p.group, p.tenant.ID)
	if err != nil {
		p.listError = err.Error()
		p.list.failed(m, retryBase, retryCap, 0)
		return
	}
	p.list.busy = true
	owners := append(slices.Clone(r.owners), m.pythonMarks(r)...)
	begun := time.Now()
	m.do(ctx, "list", callTimeout, func(ctx context.Context) event {
		var all []cloud.Sighting
		for _, owner := range owners {
			seen, err := r.prov.List(ctx, tenant, owner)
			if err != nil {
				return func() { m.swept(ctx, r, p, begun, nil, err) }
			}
			all = append(all, seen...)
		}
		return func() { m.swept(ctx, r, p, begun, all, nil) }
	})
}

// swept compares what the cloud shows with what the ledger knows.
func (m *Manager) swept(ctx context.Context, r *runner, p *purse, begun time.Time, seen []cloud.Sighting, err error) {
	p.list.busy = false
	if err != nil {
		if p.list.fails == 0 {
			m.log.Warn("instances can't be listed; trying again", "runner", r.cfg.Name, "tenant", p.tenant.ID, "err", err)
		}
		p.listError, p.listRefused = err.Error(), fleet.ClassOf(err) == fleet.Permanent
		p.list.failed(m, retryBase, retryCap, fleet.RetryAfterOf(err))
		r.refusedCredential(p.group, err)
		return
	}
	p.list.ok()
	p.list.next = time.Now().Add(m.jitter(m.listAgain(r, p)))
	p.listed, p.listedAt, p.listError, p.listRefused, p.seen = true, begun, "", false, seen
	m.watchAccount(ctx, r, p)
	shown, strange := map[string]bool{}, map[string]bool{}
	for _, s := range seen {
		if vm := m.machines[s.Key]; vm != nil {
			if vm.runner == r {
				shown[s.Key] = true
				m.sighted(vm, s)
			}
			continue
		}
		owner, id, ok := fleet.ParseKey(s.Key)
		if !ok || m.ownerRunner(owner, false) != r {
			continue // a look-alike: reported by audit, never touched
		}
		shown[s.Key] = true
		strange[strangerID(s)] = true
		m.stranger(ctx, r, p, owner, id, s)
	}
	for id, x := range m.unrecorded {
		if x.runner == r && x.group == p.group && !strange[id] && !x.busy {
			delete(m.unrecorded, id)
		}
	}
	m.notShown(ctx, r, p, begun, shown)
	if m.looksAgain(r, p) {
		p.list.next = time.Now().Add(m.jitter(endedApart))
	}
}

// watchAccount blows the fuse of both accounts when a list is that of another one than
// instances of the same runner and group are recorded in: somebody changed whom it acts
// for, and what the lists show may be somebody else's.
func (m *Manager) watchAccount(ctx context.Context, r *runner, p *purse) {
	for _, vm := range m.machineList() {
		if vm.runner == r && vm.rec.Namespace == p.group && vm.rec.Tenant != "" && vm.rec.Tenant != p.tenant.ID {
			why := "runner " + r.cfg.Name + " acts for " + p.tenant.ID + " now, and has instances that are recorded in " + vm.rec.Tenant
			m.fuse.blow(ctx, m, p.tenant.ID, why)
			m.fuse.blow(ctx, m, vm.rec.Tenant, why)
			return
		}
	}
}

// looksAgain tells whether something in a tenant's list has to be seen twice, 30 s apart.
func (m *Manager) looksAgain(r *runner, p *purse) bool {
	for _, j := range m.jobs {
		if j.runner == r && j.rec.Namespace == p.group && !j.ended.first.IsZero() && !j.ended.proven {
			return true
		}
	}
	for _, x := range m.unrecorded {
		if x.runner == r && x.group == p.group && !x.forgotten {
			return true
		}
	}
	return false
}

// sighted takes a sighting of a recorded instance.
func (m *Manager) sighted(vm *machine, s cloud.Sighting) {
	vm.missing = 0
	if vm.foreignMade() {
		return
	}
	if vm.isTwin(s) {
		m.twin(vm, s)
		return
	}
	j := vm.job
	if j == nil || vm.rec.State != fleet.InstanceStarted {
		return
	}
	if s.Life != cloud.LifeEnded {
		j.ended = endSightings{}
		return
	}
	if j.rec.State != fleet.JobStarting && j.rec.State != fleet.JobRunning {
		return
	}
	j.hint = true // the sub-runner has probably reported: ask
	now := time.Now()
	if j.ended.first.IsZero() {
		j.ended.first = now
	}
	j.ended.last = now
}

// notShown looks after instances that the list should have shown: the instance
// itself is asked for; only the platform's own "not found" counts.
func (m *Manager) notShown(ctx context.Context, r *runner, p *purse, begun time.Time, shown map[string]bool) {
	lost := 0
	for _, vm := range m.machines {
		if vm.runner == r && vm.rec.Namespace == p.group && vm.shouldShow(begun) && !shown[vm.rec.Key] && vm.rec.State != fleet.InstanceKept {
			lost++ // what is kept, people delete by hand
		}
	}
	if lost >= emptySuspicious && len(shown) == 0 && (m.fuse.released.IsZero() || time.Since(m.fuse.released) > fuseWindow) {
		m.fuse.blow(ctx, m, p.tenant.ID, "the cloud shows none of our instances, the ledger several")
		return
	}
	for _, vm := range m.machineList() {
		if vm.runner == r && vm.rec.Namespace == p.group && vm.shouldShow(begun) && !shown[vm.rec.Key] {
			vm.missing++
		}
	}
}

// checkMissing asks for an instance that several lists did not show.
func (m *Manager) checkMissing(ctx context.Context, vm *machine) {
	m.inspect(ctx, vm, "check missing", func(ctx context.Context, _ cloud.Sighting, err error) {
		switch {
		case errors.Is(err, fleet.ErrNotFound):
			m.log.Warn("an instance vanished", "instance", vm.rec.Key)
			m.gone(ctx, vm)
		case err != nil:
			vm.failed(m, retryBase, retryCap, fleet.RetryAfterOf(err))
		default:
			vm.missing = 0
		}
	})
}

// checkEnded asks for an instance that two lists showed ended.
func (m *Manager) checkEnded(ctx context.Context, vm *machine) {
	m.inspect(ctx, vm, "check ended", func(ctx context.Context, seen cloud.Sighting, err error) {
		switch {
		case errors.Is(err, fleet.ErrNotFound):
			m.gone(ctx, vm)
		case err != nil:
			vm.failed(m, retryBase, retryCap, fleet.RetryAfterOf(err))
		case vm.job == nil:
		case seen.Life == cloud.LifeEnded:
			vm.job.ended.proven = true
		default:
			vm.job.ended = endSightings{}
		}
	})
}

// shouldShow tells whether a list begun then has to show the instance.
func (vm *machine) shouldShow(begun time.Time) bool {
	exists := vm.rec.State == fleet.InstanceCreated || vm.rec.State == fleet.InstanceStarted || vm.rec.State == fleet.InstanceKept
	return exists && !vm.foreignMade() && !vm.elsewhere() &&
		!vm.rec.CreatedAt.IsZero() && begun.Sub(vm.rec.CreatedAt) > vm.runner.prov.Describe().Settle
}
