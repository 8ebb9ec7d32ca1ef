// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

// lookFor settles an unknown create: found, it is taken over; absent in three lists
// over the platform's settle time, it was never made.
func (m *Manager) lookFor(ctx context.Context, vm *machine) {
	if vm.rec.State != fleet.InstanceUnknown {
		return
	}
	m.inspect(ctx, vm, "look for", func(ctx context.Context, seen cloud.Sighting, err error) {
		switch {
		case errors.Is(err, fleet.ErrNotFound):
			m.absentOnce(ctx, vm)
		case err != nil:
			vm.failed(m, retryBase, retryCap, fleet.RetryAfterOf(err))
			vm.lastText = userText(err)
		case vm.job != nil && vm.job.rec.State == fleet.JobAcquired:
			m.leftover(ctx, vm, seen)
		default:
			m.created(ctx, vm, seen)
		}
	})
}

// inspect asks the platform for one instance and hands on what it says.
func (m *Manager) inspect(ctx context.Context, vm *machine, why string, then func(context.Context, cloud.Sighting, error)) {
	ref, err := vm.ref()
	if err != nil {
		m.withoutCredential(vm, err)
		return
	}
	vm.busy = true
	prov := vm.runner.prov
	m.do(ctx, why, callTimeout, func(ctx context.Context) event {
		seen, err := prov.Inspect(ctx, ref)
		return func() {
			vm.busy = false
			vm.runner.refusedCredential(vm.rec.Namespace, err)
			if vm.rec.State != fleet.InstanceGone { // else it was forgotten meanwhile, by `audit --forget`
				then(ctx, seen, err)
			}
		}
	})
}

// readAgain gives an error's class: the first refusal of a tenant's credential only means
// that it has to be read again; a second one is remembered for the tenant's other jobs.
func (m *Manager) readAgain(vm *machine, err error) fleet.Class {
	class := fleet.ClassOf(err)
	if !vm.runner.cfg.Clever.MultiTenant || !errors.Is(err, fleet.ErrUnauthorized) {
		return class
	}
	if !vm.refusedOnce {
		vm.refusedOnce = true
		return fleet.Transient
	}
	p := vm.runner.purse(vm.rec.Namespace)
	p.refused, p.refusedAt = p.tenant.Token, time.Now()
	return class
}

// withoutCredential waits for the tenant's credential, which is looked up elsewhere.
func (m *Manager) withoutCredential(vm *machine, err error) {
	vm.failed(m, retryBase, retryCap, 0)
	vm.lastText = userText(err)
	m.alarm(vm, err.Error())
}

// ref names the instance for a call, with the tenant's credential.
func (vm *machine) ref() (cloud.Ref, error) {
	tenant, err := vm.runner.tenant(vm.rec.Namespace, vm.rec.Tenant)
	if vm.elsewhere() {
		err = &fleet.CallError{
			Class: fleet.Transient, UserText: "it is somewhere else than the service looks now",
			Err: fmt.Errorf("made on %s, and the runner uses %s now", vm.rec.Zone, vm.runner.prov.Describe().Zone),
		}
	}
	return cloud.Ref{Key: vm.rec.Key, Tenant: tenant, Handle: vm.rec.Handle}, err
}

// elsewhere tells whether the instance was made on another engine than the runner's present
// one, which does not know it: what is not found there may exist.
func (vm *machine) elsewhere() bool {
	here := vm.runner.prov.Describe()
	return here.Apart && vm.rec.Zone != "" && vm.rec.Zone != here.Zone && vm.rec.State != fleet.InstanceIntended
}

// userText is the sentence of an error that may stand in a job's log.
func userText(err error) string {
	if text := fleet.UserTextOf(err); text != "" {
		return text
	}
	switch fleet.ClassOf(err) {
	case fleet.Permanent:
		return "it refused the request"
	case fleet.Transient:
		return "it is not reachable or is busy"
	default:
		return "it did not answer clearly"
	}
}
