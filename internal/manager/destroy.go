// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

const (
	confirmAfter = time.Second
	rareLooks    = 5 // looks that found it, after which half a minute passes between two
)

// destroy takes the next step of a deletion: the call, then looks until the instance
// is confirmed absent; an accepted deletion that was not done is asked for again.
// It never gives up.
func (m *Manager) destroy(ctx context.Context, vm *machine) {
	ref, err := vm.ref()
	if err != nil {
		m.withoutCredential(vm, err)
		return
	}
	if vm.destroyed {
		m.confirmGone(ctx, vm)
		return
	}
	if !m.change(ctx, "destroy", nil, vm, func(d draft) { d.vm.Destroys++ }) {
		return
	}
	vm.busy = true
	prov := vm.runner.prov
	m.do(ctx, "destroy", callTimeout, func(ctx context.Context) event {
		err := prov.Destroy(ctx, ref)
		return func() {
			vm.busy = false
			if err != nil {
				m.destroyFailed(vm, err)
				return
			}
			vm.destroyed = true
			vm.next = time.Now() // look at once; later looks wait longer
		}
	})
}

// confirmGone looks whether the deleted instance is absent.
func (m *Manager) confirmGone(ctx context.Context, vm *machine) {
	m.inspect(ctx, vm, "confirm gone", func(ctx context.Context, _ cloud.Sighting, err error) {
		switch {
		case errors.Is(err, fleet.ErrNotFound):
			m.gone(ctx, vm)
		case err != nil:
			m.destroyFailed(vm, err)
		default:
			vm.stillThere++
			// Accepted, but not done: asked for again after some looks, and with each one
			// when they have become rare.
			if vm.stillThere >= absences || vm.fails >= rareLooks {
				vm.destroyed, vm.stillThere = false, 0
			}
			vm.failed(m, confirmAfter, vm.deleteLimit(), 0)
			m.alarm(vm, "the platform accepts its deletion but does not do it")
		}
	})
}

func (m *Manager) destroyFailed(vm *machine, err error) {
	vm.destroyed = false
	vm.failed(m, retryBase, vm.deleteLimit(), fleet.RetryAfterOf(err))
	vm.lastText = userText(err)
	vm.runner.refusedCredential(vm.rec.Namespace, err)
	m.log.Debug("destroy failed", "instance", vm.rec.Key, "attempt", vm.rec.Destroys, "err", err)
	m.alarm(vm, err.Error())
}

// deleteLimit is the longest pause between two attempts at a deletion: short while
// somebody waits for the end of the job.
func (vm *machine) deleteLimit() time.Duration {
	if vm.job != nil && vm.job.rec.State == fleet.JobFailing && vm.job.maySpeak() {
		return deleteSoon
	}
	return deleteCap
}

// alarm says once that an instance resists its deletion; trying goes on.
func (m *Manager) alarm(vm *machine, why string) {
	if vm.alarmed || vm.rec.DeletingAt.IsZero() || time.Since(vm.rec.DeletingAt) < alarmAfter {
		return
	}
	vm.alarmed = true
	m.log.Error("an instance can't be deleted; it costs money until it is", "instance", vm.rec.Key,
		"tenant", vm.rec.Tenant, "attempt", vm.rec.Destroys, "err", why)
}
