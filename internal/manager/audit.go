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

// Audit puts every resource that the clouds say is ours, or looks like it, beside every
// record of the ledger that is not gone.
type Audit struct {
	At          time.Time
	ProvenAt    time.Time // of the oldest of the lists compared; zero = a cloud never answered
	Entries     []AuditEntry
	Unexplained int
	Problems    []string // tenants whose cloud can't be listed
	Fuse        string
}

// AuditEntry is one resource with its verdict.
type AuditEntry struct {
	Key       string
	Tenant    string
	Namespace string
	Job       int64  // 0 = none
	Cloud     string // what the last list showed: created, alive, ended; "" = nothing
	Ledger    string // the state of its record; "" = none
	Flavor    string
	Weight    fleet.Weight
	Verdict   string
	Explained bool
}

// Audit gives the present comparison. The clouds were listed first, the ledger is read
// now, so nothing that was made in between can be taken for a leak.
func (m *Manager) Audit() (Audit, error) {
	var out Audit
	if !m.ask(func() { out = m.audit() }) {
		return Audit{}, ErrNotRunning
	}
	return out, nil
}

func (m *Manager) audit() Audit {
	out := Audit{At: time.Now().UTC(), Fuse: m.fuse.text()}
	shown, told := map[string]cloud.Sighting{}, map[string]bool{}
	proven := true
	for _, r := range m.runners {
		for _, p := range r.purseList() {
			for _, s := range p.seen {
				vm, id := m.machines[s.Key], p.tenant.ID+" "+strangerID(s)
				switch {
				case told[id]: // two groups may have one organisation
				case vm == nil:
					out.Entries = append(out.Entries, m.unrecordedEntry(r, p, s))
				case vm.isTwin(s):
					out.Entries = append(out.Entries, twinEntry(vm, p, s))
				default:
					shown[s.Key] = s
				}
				told[id] = true
			}
			problem := cmp.Or(p.problem, p.unread, p.listError)
			if problem != "" {
				out.Problems = append(out.Problems, fmt.Sprintf("%s %s: %s", r.cfg.Name, cmp.Or(p.group, p.tenant.ID), problem))
			}
			proven = proven && (p.listed || p.tenant.ID == "")
			if p.listed && (out.ProvenAt.IsZero() || p.listedAt.Before(out.ProvenAt)) {
				out.ProvenAt = p.listedAt.UTC()
			}
		}
	}
	if !proven {
		out.ProvenAt = time.Time{}
	}
	for _, vm := range m.machineList() {
		out.Entries = append(out.Entries, recordedEntry(vm, shown))
	}
	out.Entries = append(out.Entries, m.orphans.audit()...)
	slices.SortFunc(out.Entries, func(a, b AuditEntry) int { return cmp.Compare(a.Key, b.Key) })
	for _, e := range out.Entries {
		if !e.Explained {
			out.Unexplained++
		}
	}
	return out
}

// recordedEntry judges a record.
func recordedEntry(vm *machine, shown map[string]cloud.Sighting) AuditEntry {
	e := AuditEntry{
		Key: vm.rec.Key, Tenant: vm.rec.Tenant, Namespace: vm.rec.Namespace, Job: vm.rec.Job.ID, Ledger: string(vm.rec.State),
		Cloud: string(shown[vm.rec.Key].Life), Flavor: vm.rec.Flavor, Weight: vm.rec.Weight, Explained: true,
	}
	_, err := vm.ref()
	switch {
	case vm.elsewhere():
		e.Verdict, e.Explained = err.Error()+"; its weight is held until that is back, or audit --forget "+vm.rec.Key, false
	case err != nil:
		e.Verdict, e.Explained = err.Error()+"; its weight is held", false
	case vm.foreign != "":
		e.Verdict, e.Explained = fmt.Sprintf("the Python program's state names it, and the cloud calls it %.80q, which is not ours: never touched, its weight is held until audit --forget %s",
			vm.foreign, vm.rec.Key), false
	case vm.rec.State == fleet.InstanceKept:
		e.Verdict = "kept, as configured; audit --forget " + vm.rec.Key + " gives its weight free"
	case vm.wanted():
		e.Verdict = fmt.Sprintf("in use by job %d", vm.rec.Job.ID)
	case vm.alarmed:
		e.Verdict, e.Explained = fmt.Sprintf("resists its deletion since %s (%d attempts): %s",
			round(time.Since(vm.rec.DeletingAt)), vm.rec.Destroys, vm.lastText), false
	case vm.rec.State == fleet.InstanceUnknown:
		e.Verdict = "nobody needs it, and it may not exist: being looked for"
	default:
		e.Verdict = "being deleted"
	}
	return e
}

// unrecordedEntry judges what the cloud shows and no record explains.
func (m *Manager) unrecordedEntry(r *runner, p *purse, s cloud.Sighting) AuditEntry {
	owner, id, exact := fleet.ParseKey(s.Key)
	e := AuditEntry{
		Key: s.Key, Tenant: p.tenant.ID, Namespace: p.group, Cloud: string(s.Life), Flavor: s.Flavor,
		Weight: m.flavorWeight(r, s.Flavor),
	}
	x := m.unrecorded[strangerID(s)]
	mark, of, python := fleet.ParsePythonKey(s.Key)
	switch {
	case python && fleet.PythonMark(r.cfg.Token.Reveal()) == mark:
		e.Job, e.Weight = of, 0
		e.Verdict = "made by the Python program, and not in its state: never touched; when its job has ended, delete it in the cloud's console"
	case !exact || !slices.Contains(r.owners, owner):
		e.Verdict, e.Explained, e.Weight = "looks like ours and is not: never touched", true, 0
	case x != nil && x.forgotten:
		e.Verdict, e.Explained, e.Weight = "kept and then forgotten: never touched", true, 0
	case x == nil:
		e.Job = id
		e.Verdict, e.Explained = "gone since the cloud was listed", true
	case x.unreadable && s.Life == cloud.LifeAlive:
		e.Job, e.Verdict = id, "ours by its key, alive, and its files can't be read back: left alone until its task ends"
	case m.fuse.stops(p.tenant.ID) != "":
		e.Job, e.Verdict = id, "ours by its key and in no record; the fuse keeps it from being destroyed"
	default:
		e.Job, e.Verdict = id, "ours by its key and in no record: being looked at"
	}
	return e
}

// ReleaseFuse lets unrecorded instances be destroyed again; somebody has looked.
func (m *Manager) ReleaseFuse() error {
	err := error(nil)
	if !m.ask(func() {
		if !m.commit(context.Background(), store.Change{Name: "release fuse", Meta: m.fuse.whole()}) {
			err = errors.New("the ledger can't be written")
			return
		}
		if why := m.fuse.text(); why != "" {
			m.log.Info("fuse released", "err", why)
		}
		m.fuse = fuse{released: time.Now()}
	}) {
		return ErrNotRunning
	}
	return err
}

// ErrNotKept is the answer to forgetting an instance that is not kept.
var ErrNotKept = errors.New("no kept instance has this key")

// Forget ends our care for an instance that the configuration asked to keep, that is not
// ours by its name, or that is on an engine which the runner does not use any more: its
// weight is free, and what is left of it is somebody else's.
func (m *Manager) Forget(key string) error {
	err := ErrNotKept
	if !m.ask(func() {
		vm := m.machines[key]
		if vm == nil {
			err = m.forgetOrphan(key)
			return
		}
		if vm.rec.State != fleet.InstanceKept && vm.foreign == "" && !vm.elsewhere() {
			return
		}
		err = errors.New("the ledger can't be written")
		if m.change(context.Background(), "forget", nil, vm, func(d draft) {
			d.vm.State = fleet.InstanceGone
			d.vm.GoneAt = stamp()
			d.vm.LastError = forgotten
		}) {
			err = nil
			m.forget(vm)
		}
	}) {
		return ErrNotRunning
	}
	return err
}

// forgotten marks the record of an instance that was kept and then forgotten: it may
// still exist, and is not taken for a deletion that was not done.
const forgotten = "kept, then forgotten"
