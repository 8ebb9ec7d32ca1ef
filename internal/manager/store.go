// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"fmt"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/store"
)

const repairEvery = 5 * time.Second

// draft is a change to one job and its instance, worked out on copies: memory
// follows the ledger, never the other way.
type draft struct {
	job *fleet.Job
	vm  *fleet.Instance
}

// change lets f edit copies of the records, checks that every move is legal, commits
// and only then takes them over. false = nothing changed anywhere; the caller tries
// again when commits work.
func (m *Manager) change(ctx context.Context, name string, j *job, vm *machine, f func(d draft)) bool {
	if !m.brokenSince.IsZero() {
		return false
	}
	m.needed = nil
	d := draft{}
	change := store.Change{Name: name}
	if j != nil {
		rec := j.rec
		d.job = &rec
	}
	if vm != nil {
		rec := vm.rec
		d.vm = &rec
	}
	f(d)
	if j != nil {
		m.mustMove(j.rec.State == d.job.State || j.fresh || j.rec.State.CanMove(d.job.State), "job", string(j.rec.State), string(d.job.State))
		change.Jobs = []fleet.Job{*d.job}
	}
	if vm != nil {
		m.mustMove(vm.rec.State == d.vm.State || vm.fresh || vm.rec.State.CanMove(d.vm.State), "instance", string(vm.rec.State), string(d.vm.State))
		change.Instances = []fleet.Instance{*d.vm}
	}
	if !m.commit(ctx, change) {
		return false
	}
	if j != nil {
		m.logJob(j, *d.job)
		j.rec, j.fresh = *d.job, false
	}
	if vm != nil {
		m.logMachine(vm, *d.vm)
		vm.rec, vm.fresh = *d.vm, false
	}
	return true
}

// mustMove stops the program on a move that the table forbids: a bug whose
// consequences can't be foreseen. The ledger still holds the last legal state.
func (m *Manager) mustMove(legal bool, what, from, to string) {
	if !legal {
		panic(fmt.Sprintf("illegal move of %s from %s to %s", what, from, to))
	}
}

// commit writes a change. On failure the service stops acquiring and launching until
// a commit works again; what is under way goes on.
func (m *Manager) commit(ctx context.Context, change store.Change) bool {
	err := m.deps.Ledger.Commit(context.WithoutCancel(ctx), change)
	if err == nil {
		return true
	}
	if m.brokenSince.IsZero() {
		m.brokenSince = time.Now()
		m.nextRepair = m.brokenSince.Add(m.jitter(repairEvery))
		m.log.Error("the ledger can't be written: no job is acquired until it can", "err", err)
	}
	return false
}

// repair tries a commit again after one failed; true when commits work.
func (m *Manager) repair(ctx context.Context) bool {
	if m.brokenSince.IsZero() {
		return true
	}
	if time.Now().Before(m.nextRepair) {
		return false
	}
	m.nextRepair = time.Now().Add(m.jitter(repairEvery))
	meta := m.fuse.meta() // it may have blown meanwhile
	meta["repaired_at"] = time.Now().UTC().Format(time.RFC3339)
	err := m.deps.Ledger.Commit(context.WithoutCancel(ctx), store.Change{Name: "repair", Meta: meta})
	if err != nil {
		return false
	}
	m.log.Info("the ledger can be written again", "took", time.Since(m.brokenSince))
	m.brokenSince = time.Time{}
	return true
}
