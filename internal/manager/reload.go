// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/store"
)

// Reload takes over a new, valid configuration while the service works: runners are
// added, changed or removed; running jobs are not touched. A removed runner acquires
// nothing more and its jobs finish. An error means that nothing was changed.
func (m *Manager) Reload(ctx context.Context, cfg *config.Config) error {
	var fresh []*runner
	for _, rc := range cfg.Runners {
		r, err := m.newRunner(rc)
		if err != nil {
			return fmt.Errorf("runner %q: %w", rc.Name, err)
		}
		fresh = append(fresh, r)
	}
	var err error
	if !m.ask(func() { err = m.replace(ctx, cfg, fresh) }) {
		return ErrNotRunning
	}
	return err
}

// replace puts the new runners in the place of the old ones. Calls under way still hold
// the old ones, which is why they are replaced and not changed.
func (m *Manager) replace(ctx context.Context, cfg *config.Config, fresh []*runner) error {
	var records []store.RunnerRecord
	for _, r := range fresh {
		if !slices.ContainsFunc(m.recorded, func(rec store.RunnerRecord) bool { return rec.Owner == r.cfg.Owner }) {
			records = append(records, store.RunnerRecord{Owner: r.cfg.Owner, Name: r.cfg.Name, Coordinator: r.cfg.Coordinator})
		}
	}
	if len(records) > 0 {
		if !m.commit(ctx, store.Change{Name: "runners", Runners: records}) {
			return fmt.Errorf("the ledger can't be written")
		}
		m.recorded = append(m.recorded, records...)
	}
	old := m.runners
	m.cfg, m.runners = cfg, fresh
	for _, r := range fresh {
		was := predecessor(old, r)
		if was == nil {
			m.log.Info("reload: runner added", "runner", r.cfg.Name)
			m.recall(r)
			m.takeBack(r)
			continue
		}
		r.inherit(was)
		was.next, r.before = r, append(was.openBefore(), was)
		was.cutHeld()
		m.handOver(was, r)
	}
	for _, was := range old {
		if was.next != nil {
			continue
		}
		if !was.removed {
			m.log.Info("reload: runner removed; its jobs finish", "runner", was.cfg.Name)
		}
		was.removed = true
		if was.polling != nil || m.inUse(was) {
			m.runners = append(m.runners, was)
		}
	}
	return nil
}

// predecessor finds the runner that another one stands for now: the same registration, or
// the same name at the same coordinator with a rotated token.
func predecessor(old []*runner, r *runner) *runner {
	for _, was := range old {
		if was.next == nil && slices.Contains(was.owners, r.cfg.Owner) {
			return was
		}
	}
	for _, was := range old {
		if was.next == nil && was.cfg.Name == r.cfg.Name && was.cfg.Coordinator == r.cfg.Coordinator {
			return was
		}
	}
	return nil
}

// inherit takes over what was learnt about the registration, its cloud and its tenants.
func (r *runner) inherit(was *runner) {
	for _, owner := range was.owners {
		if !slices.Contains(r.owners, owner) {
			r.owners = append(r.owners, owner)
		}
	}
	r.lastUpdate, r.coordOK = was.lastUpdate, was.coordOK
	r.askedAt, r.madeAt, r.strictUntil = was.askedAt, was.madeAt, was.strictUntil
	if !r.sameCloud(was) {
		return
	}
	r.flavors = was.flavors
	if r.cfg.Clever.MultiTenant != was.cfg.Clever.MultiTenant || r.payer() != was.payer() {
		return // what was seen there proves nothing of what is here
	}
	r.discovered, r.found, r.surveyed = was.discovered, was.found, was.surveyed
	for group, p := range was.purses {
		kept := &purse{group: p.group, id: p.id, tenant: p.tenant, at: p.at, problem: p.problem, listed: p.listed, listedAt: p.listedAt, seen: p.seen}
		if !r.cfg.Clever.MultiTenant { // the configuration is the credential's source
			kept.tenant.ID, kept.tenant.Token = r.cfg.Payer()
		}
		r.purses[group] = kept
	}
}

// sameCloud tells whether a runner makes its instances where another one did.
func (r *runner) sameCloud(was *runner) bool {
	now, then := r.prov.Describe(), was.prov.Describe()
	return now.Name == then.Name && (!now.Apart || now.Zone == then.Zone) && r.cfg.Clever.APIURL == was.cfg.Clever.APIURL
}

// payer is the organisation of the configuration; "" where the groups tell it.
func (r *runner) payer() string {
	id, _ := r.cfg.Payer()
	return id
}

// handOver moves everything that belongs to a runner to its successor.
func (m *Manager) handOver(was, now *runner) {
	for _, j := range m.jobs {
		if j.runner == was {
			j.runner = now
		}
	}
	for _, vm := range m.machines {
		if vm.runner == was {
			vm.runner = now
		}
	}
	for _, x := range m.unrecorded {
		if x.runner == was {
			x.runner = now
		}
	}
}

// openBefore gives those that a runner replaced whose job request may still be granted.
func (r *runner) openBefore() []*runner {
	r.before = slices.DeleteFunc(r.before, func(was *runner) bool { return was.polling == nil })
	return r.before
}

// latest follows the replacements of a runner.
func (r *runner) latest() *runner {
	for r.next != nil {
		r = r.next
	}
	return r
}

// inUse tells whether jobs or instances of a runner are open, or something carries its key
// that no record explains.
func (m *Manager) inUse(r *runner) bool {
	for _, j := range m.jobs {
		if j.runner == r && j.rec.State != fleet.JobClosed {
			return true
		}
	}
	for _, vm := range m.machines {
		if vm.runner == r {
			return true
		}
	}
	for _, x := range m.unrecorded {
		if x.runner == r && !x.forgotten {
			return true
		}
	}
	return false
}

// dropRunners lets removed runners go that nothing needs any more.
func (m *Manager) dropRunners() {
	m.runners = slices.DeleteFunc(m.runners, func(r *runner) bool { return r.removed && r.polling == nil && !m.inUse(r) })
	maps.DeleteFunc(m.unrecorded, func(_ string, x *stranger) bool { return !slices.Contains(m.runners, x.runner) })
}
