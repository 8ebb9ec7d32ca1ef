// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

const (
	createBase = 2 * time.Second
	createCap  = 30 * time.Second
	deleteCap  = 5 * time.Minute
	absences   = 3                // lists in which an unknown create is missing
	deleteSoon = 30 * time.Second // while a job's end waits for it
	alarmAfter = 10 * time.Minute // of failing deletions
)

// machine is an instance that is not confirmed absent: its record, and what only
// matters while this process lives.
type machine struct {
	rec    fleet.Instance
	fresh  bool
	runner *runner
	job    *job // nil: nobody needs it any more
	lane

	lastText   string // of the last failed call, fit for the job's log
	absent     int    // sightings of absence in a row
	absentAt   time.Time
	stillThere int       // looks after an accepted deletion that found it
	destroyed  bool      // a deletion was accepted; look whether it is done
	creation   *call     // under way, when it may be called off
	toldAt     time.Time // when it last told how far it is
	alarmed    bool
	unsure     bool   // a start may have taken effect whose answer is not known
	foreign    string // the name that the cloud gives it, when that is not one of ours
	// refusedOnce: the tenant's credential was refused for it and read again.
	refusedOnce bool
	missing     int // lists that should have shown it and did not

	twins    map[string]time.Time // handles of others under its key, and their first sighting
	twin     *cloud.Sighting      // a second, unstarted instance under the same key
	twinLane lane
}

// wanted tells whether the machine's job still needs it.
func (vm *machine) wanted() bool {
	if vm.job == nil {
		return false
	}
	switch vm.job.rec.State {
	case fleet.JobLaunching, fleet.JobStarting, fleet.JobRunning:
		return true
	}
	return false
}

// tendMachine hands out the one call that an instance's state asks for.
func (m *Manager) tendMachine(ctx context.Context, vm *machine) {
	if vm.rec.State == fleet.InstanceGone {
		m.forget(vm)
		return
	}
	if !vm.idle() {
		if vm.creation != nil && !vm.wanted() {
			vm.creation.cancel()
		}
		return
	}
	if vm.foreignMade() {
		m.identify(ctx, vm)
		return
	}
	if vm.wanted() {
		m.bringUp(ctx, vm)
	} else {
		m.takeDown(ctx, vm)
	}
}

// bringUp takes a wanted instance a step further.
func (m *Manager) bringUp(ctx context.Context, vm *machine) {
	switch vm.rec.State {
	case fleet.InstanceIntended:
		if until := m.breakers[vm.breakerKey()].holds(vm); !until.IsZero() {
			vm.next = until
			return
		}
		m.create(ctx, vm)
	case fleet.InstanceCreating: // sent by an earlier life of this process: the answer is lost
		m.change(ctx, "unknown", nil, vm, func(d draft) { d.vm.State = fleet.InstanceUnknown })
		m.lookFor(ctx, vm)
	case fleet.InstanceUnknown:
		m.lookFor(ctx, vm)
	case fleet.InstanceCreated:
		if vm.missing >= missedLists {
			m.checkMissing(ctx, vm)
		} else if vm.job.rec.State == fleet.JobStarting {
			m.start(ctx, vm)
		}
	case fleet.InstanceStarted:
		switch {
		case vm.missing >= missedLists:
			m.checkMissing(ctx, vm)
		case vm.job.ended.twice() && !vm.job.ended.proven:
			m.checkEnded(ctx, vm)
		}
	}
}

// takeDown takes an instance that nobody needs a step nearer to its end.
func (m *Manager) takeDown(ctx context.Context, vm *machine) {
	switch vm.rec.State {
	case fleet.InstanceIntended:
		m.gone(ctx, vm)
	case fleet.InstanceCreating:
		m.change(ctx, "unknown", nil, vm, func(d draft) { d.vm.State = fleet.InstanceUnknown })
		m.lookFor(ctx, vm)
	case fleet.InstanceUnknown:
		m.lookFor(ctx, vm)
	case fleet.InstanceCreated, fleet.InstanceStarted:
		if m.keep(vm) {
			m.change(ctx, "keep", nil, vm, func(d draft) { d.vm.State = fleet.InstanceKept })
			return
		}
		if m.change(ctx, "delete", nil, vm, func(d draft) {
			d.vm.State = fleet.InstanceDeleting
			d.vm.DeletingAt = stamp()
		}) {
			m.destroy(ctx, vm)
		}
	case fleet.InstanceDeleting:
		m.destroy(ctx, vm)
	case fleet.InstanceKept:
		if vm.missing >= missedLists { // somebody has deleted it
			m.checkMissing(ctx, vm)
		}
	}
}

// keep tells whether the configuration asks to keep this instance.
func (m *Manager) keep(vm *machine) bool {
	if m.cfg.KeepFinished {
		return true
	}
	return !m.cfg.DecommissionLaunchFailures && vm.job != nil &&
		vm.job.rec.RunningAt.IsZero() && vm.job.rec.FailureReason == reasonSystem
}

// create sends the create call; "creating" is committed before it.
func (m *Manager) create(ctx context.Context, vm *machine) {
	tenant, err := vm.runner.tenant(vm.rec.Namespace, vm.rec.Tenant)
	if err != nil {
		m.withoutCredential(vm, err)
		return
	}
	if !m.change(ctx, "create", nil, vm, func(d draft) {
		d.vm.State = fleet.InstanceCreating
		d.vm.Creates++
		d.vm.Zone = vm.runner.prov.Describe().Zone // a reload may have changed it since
	}) {
		return
	}
	vm.busy = true
	spec := cloud.Spec{Key: vm.rec.Key, Tenant: tenant, Flavor: vm.rec.Flavor, Progress: m.progress(ctx, vm)}
	prov := vm.runner.prov
	patience := prov.Describe().Patience
	sent := m.do(ctx, "create", cmp.Or(patience, startTimeout), func(ctx context.Context) event {
		seen, err := prov.Create(ctx, spec)
		return func() {
			vm.busy, vm.creation = false, nil
			if err != nil {
				m.createFailed(ctx, vm, seen.Handle, err)
				return
			}
			m.created(ctx, vm, seen)
		}
	})
	if patience > 0 {
		vm.creation = sent
	}
}

// created records the handle of an instance that exists and can be started.
func (m *Manager) created(ctx context.Context, vm *machine, seen cloud.Sighting) {
	vm.ok()
	m.createOutcome(vm, true, "")
	vm.runner.madeAt = time.Now()
	vm.lastText, vm.absent, vm.refusedOnce = "", 0, false
	j := vm.job
	if j != nil && j.rec.State != fleet.JobLaunching {
		j = nil
	}
	m.change(ctx, "created", j, vm, func(d draft) {
		d.vm.State = fleet.InstanceCreated
		d.vm.Handle = seen.Handle
		d.vm.CreatedAt = stamp()
		d.vm.LastError = ""
		if d.job != nil {
			say(j.runner, d.job, fmt.Sprintf("instance %s of flavor %s created in %s; starting the job on it",
				vm.rec.Key, vm.rec.Flavor, round(time.Since(j.rec.LaunchingAt))))
		}
	})
}

// createFailed acts by the class of the error: permanent, nothing exists; transient,
// nothing was done; unknown, it may exist and must be looked for, by its handle if that
// is known.
func (m *Manager) createFailed(ctx context.Context, vm *machine, handle []byte, err error) {
	vm.failed(m, createBase, createCap, fleet.RetryAfterOf(err))
	vm.lastText = userText(err)
	vm.runner.refusedCredential(vm.rec.Namespace, err)
	m.log.Warn("create failed", "instance", vm.rec.Key, "class", fleet.ClassOf(err).String(), "attempt", vm.rec.Creates, "err", err)
	many := vm.runner.cfg.Clever.MultiTenant
	if !fleet.IsCut(err) && !(many && errors.Is(err, fleet.ErrUnauthorized)) {
		m.createOutcome(vm, false, vm.lastText)
	}
	class := m.readAgain(vm, err)
	switch class {
	case fleet.Permanent:
		m.gone(ctx, vm)
		if vm.job != nil && vm.job.rec.State == fleet.JobLaunching && vm.rec.State == fleet.InstanceGone {
			m.fail(ctx, vm.job, reasonSystem, "The platform refuses to make an instance for this job: "+vm.lastText)
		}
	case fleet.Transient:
		if vm.rec.State == fleet.InstanceIntended {
			return
		}
		m.change(ctx, "not created", nil, vm, func(d draft) {
			d.vm.State = fleet.InstanceIntended
			d.vm.LastError = err.Error()
		})
	default:
		vm.absent = 0
		vm.next = time.Now() // look at once
		if vm.rec.State == fleet.InstanceIntended {
			return
		}
		m.change(ctx, "unknown", nil, vm, func(d draft) {
			d.vm.State = fleet.InstanceUnknown
			d.vm.Handle = handle
			d.vm.LastError = err.Error()
		})
	}
}

func (m *Manager) absentOnce(ctx context.Context, vm *machine) {
	now := time.Now()
	if vm.absent == 0 {
		vm.absentAt = now
	}
	vm.absent++
	settle := vm.runner.prov.Describe().Settle
	vm.ok()
	vm.next = now.Add(m.jitter(settle / (absences - 1)))
	if vm.absent < absences || now.Sub(vm.absentAt) < settle {
		return
	}
	if !vm.wanted() {
		m.gone(ctx, vm)
		return
	}
	vm.next = now
	m.change(ctx, "never created", nil, vm, func(d draft) {
		d.vm.State, d.vm.Handle = fleet.InstanceIntended, nil
	})
}

// gone records that an instance is confirmed absent: its weight is free.
func (m *Manager) gone(ctx context.Context, vm *machine) {
	m.change(ctx, "gone", nil, vm, func(d draft) {
		d.vm.State = fleet.InstanceGone
		d.vm.GoneAt = stamp()
	})
}

// forget drops a gone instance from memory.
func (m *Manager) forget(vm *machine) { delete(m.machines, vm.rec.Key) }
