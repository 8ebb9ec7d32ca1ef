// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/hostfile"
	"heptapod-paas-runner/internal/secret"
)

// youngest is the age below which an unrecorded instance that was never started is left
// alone: another life of this program may be about to record it.
const youngest = 2 * time.Minute

// stranger is an instance with exactly our key that no record explains: the ledger was
// lost, or another manager shares the registration. Its weight counts.
type stranger struct {
	seen       cloud.Sighting
	runner     *runner
	owner      fleet.Owner
	group      string // of the tenant in whose list it was seen
	groupID    int64
	tenant     string // its organisation
	jobID      int64
	weight     fleet.Weight
	first      time.Time // first sighting in its present life
	sightings  int
	busy       bool
	fetch      bool // its files are to be fetched back
	ask        bool // it is to be asked for itself: lists showed it ended, or never started
	unreadable bool // its files can't be fetched back
	forgotten  bool // it was kept and then forgotten: it is not ours any more
	recorded   bool // the ledger knows it as gone: a deletion that was not done
}

// strangerID tells strangers apart: several may carry one key.
func strangerID(s cloud.Sighting) string { return s.Key + " " + string(s.Handle) }

// stranger applies the rules of adoption (DESIGN section 5) to one sighting.
func (m *Manager) stranger(ctx context.Context, r *runner, p *purse, owner fleet.Owner, id int64, s cloud.Sighting) {
	x := m.unrecorded[strangerID(s)]
	if x == nil || x.seen.Life != s.Life {
		known := x != nil
		x = &stranger{runner: r, group: p.group, groupID: p.id, tenant: p.tenant.ID, owner: owner, jobID: id, weight: m.flavorWeight(r, s.Flavor), first: time.Now()}
		rec, ok, err := m.deps.Ledger.Instance(context.WithoutCancel(ctx), s.Key) // the call that brought the list is over
		if err != nil {
			m.log.Warn("the ledger can't be read: nothing is decided about an instance", "instance", s.Key, "err", err)
			return
		}
		if ok {
			x.recorded = rec.LastError != forgotten
			x.forgotten = !x.recorded
			x.weight = rec.Weight
		} else if !known {
			m.log.Warn("an instance with our key is not in the ledger", "instance", s.Key, "state", string(s.Life))
		}
		m.unrecorded[strangerID(s)] = x
	}
	x.seen = s
	x.sightings++
	if x.busy || x.forgotten {
		return
	}
	old := x.sightings >= 2 && time.Since(x.first) >= endedApart
	switch {
	case x.recorded:
		if x.sightings >= 2 {
			m.takeOver(ctx, x, "it was deleted before, and is back", false)
		}
	case s.Life == cloud.LifeCreated:
		x.ask = old && seenAge(s, x.first) >= youngest
	case !x.unreadable:
		x.fetch = true
	case s.Life == cloud.LifeEnded:
		x.ask = old
	}
}

// seenAge is how old an instance is at least: by the date that the cloud gives it or, where
// that is missing or still to come, by how long it has been seen.
func seenAge(s cloud.Sighting, first time.Time) time.Duration {
	if s.CreatedAt.IsZero() {
		return time.Since(first)
	}
	return max(time.Since(s.CreatedAt), time.Since(first))
}

// takeOver records an unrecorded instance as one to be destroyed. The fuse limits how
// many may go that way.
func (m *Manager) takeOver(ctx context.Context, x *stranger, why string, fused bool) {
	if m.machines[x.seen.Key] != nil {
		return // another one with this key goes first; this one is its twin then
	}
	if fused && !m.fuse.allow(ctx, m, x.tenant, len(m.machines)+len(m.unrecorded)) {
		return
	}
	now := stamp()
	vm := &machine{fresh: true, runner: x.runner, rec: x.instance(fleet.InstanceDeleting)}
	if !m.change(ctx, "take over", nil, vm, func(d draft) { d.vm.DeletingAt = now }) {
		return
	}
	m.log.Info("destroying an instance that no job needs", "instance", x.seen.Key, "reason", why)
	m.machines[x.seen.Key] = vm
	delete(m.unrecorded, strangerID(x.seen))
	if j := m.jobs[vm.rec.Job]; j != nil && (j.rec.State == fleet.JobFailing || j.rec.State == fleet.JobFinished) {
		vm.job, j.vm = j, vm // it ends after what came back under its key
	}
}

// instance is the record of a stranger.
func (x *stranger) instance(state fleet.InstanceState) fleet.Instance {
	made := measured(x.seen.CreatedAt, time.Now())
	if made.IsZero() || time.Since(made) < 0 {
		made = x.first
	}
	return fleet.Instance{
		Key: x.seen.Key, Job: fleet.JobID{Coordinator: x.runner.cfg.Coordinator, ID: x.jobID},
		Owner: x.owner, Runner: x.runner.cfg.Name, Tenant: x.tenant, Namespace: x.group, NamespaceID: x.groupID,
		Provisioner: x.runner.prov.Describe().Name, Zone: x.seen.Zone, Flavor: x.seen.Flavor, Weight: x.weight,
		State: state, Handle: x.seen.Handle, Started: x.seen.Life != cloud.LifeCreated,
		IntendedAt: made, CreatedAt: made,
	}
}

// flavorWeight is the weight of a flavor by name; the heaviest when it is not known.
func (m *Manager) flavorWeight(r *runner, name string) fleet.Weight {
	var most fleet.Weight
	for _, f := range r.flavors {
		if f.Name == name {
			return f.Weight
		}
		most = max(most, f.Weight)
	}
	return most
}

// tendStrangers hands out the calls that the rules of adoption ask for.
func (m *Manager) tendStrangers(ctx context.Context) {
	for _, key := range slices.Sorted(maps.Keys(m.unrecorded)) {
		if x := m.unrecorded[key]; x.fetch && !x.busy {
			x.fetch = false
			m.fetchBack(ctx, x)
		} else if x.ask && !x.busy {
			x.ask = false
			m.askAgain(ctx, x)
		}
	}
}

// askAgain asks for a stranger that two lists showed ended, or never started, and takes it
// over when it is so. Lists may be old: one that was started since is read back.
func (m *Manager) askAgain(ctx context.Context, x *stranger) {
	tenant, err := x.runner.tenant(x.group, x.tenant)
	if err != nil {
		return
	}
	x.busy = true
	ref := cloud.Ref{Key: x.seen.Key, Tenant: tenant, Handle: x.seen.Handle}
	prov := x.runner.prov
	m.do(ctx, "ask a stranger", callTimeout, func(ctx context.Context) event {
		seen, err := prov.Inspect(ctx, ref)
		return func() {
			x.busy = false
			switch {
			case err != nil || m.unrecorded[strangerID(x.seen)] != x:
			case seen.Life == cloud.LifeAlive:
				x.seen.Life, x.fetch = seen.Life, !x.unreadable
			case seen.Life != x.seen.Life:
			case seen.Life == cloud.LifeCreated:
				m.takeOver(ctx, x, "it was never started", true)
			default:
				m.takeOver(ctx, x, "its task has ended", true)
			}
		}
	})
}

// fetchBack asks for the files that were put on a started stranger: job.json has the
// job's token, so the job can be watched to its end.
func (m *Manager) fetchBack(ctx context.Context, x *stranger) {
	tenant, err := x.runner.tenant(x.group, x.tenant)
	if err != nil {
		return
	}
	x.busy = true
	ref := cloud.Ref{Key: x.seen.Key, Tenant: tenant, Handle: x.seen.Handle}
	prov := x.runner.prov
	m.do(ctx, "fetch back", callTimeout, func(ctx context.Context) event {
		files, err := prov.Recover(ctx, ref)
		return func() {
			x.busy = false
			var rec fleet.Job
			if err == nil {
				rec, err = jobFromFiles(files, x)
			}
			switch {
			case err == nil:
				m.adopt(ctx, x, rec)
			case errors.Is(err, errUnreadable) || fleet.ClassOf(err) == fleet.Permanent:
				x.unreadable = true
				m.log.Warn("an unrecorded instance can't be read back: it is left alone while it lives", "instance", x.seen.Key, "err", err)
			}
		}
	})
}

var errUnreadable = errors.New("its files are not ours to read")

// jobFromFiles rebuilds a job's record from what was put on its instance.
func jobFromFiles(files []fleet.File, x *stranger) (fleet.Job, error) {
	var payload *coordinator.Payload
	for _, f := range files {
		if f.Path == "job.json" {
			p, err := coordinator.ParsePayload(f.Data)
			if err != nil {
				return fleet.Job{}, fmt.Errorf("%w: %w", errUnreadable, err)
			}
			payload = p
		}
	}
	if payload == nil || payload.ID != x.jobID {
		return fleet.Job{}, fmt.Errorf("%w: no job.json of job %d", errUnreadable, x.jobID)
	}
	rec := fleet.Job{
		JobID: fleet.JobID{Coordinator: x.runner.cfg.Coordinator, ID: x.jobID},
		Owner: x.owner, Runner: x.runner.cfg.Name, State: fleet.JobStarting,
		Token: payload.Token, Name: payload.Name, Project: payload.Project, WebURL: payload.WebURL,
		Tenant: x.tenant, Namespace: x.group, NamespaceID: x.groupID, Timeout: payload.Timeout, PrefixFrozen: true,
		Nonce: secret.String{},
	}
	if relay, err := hostfile.ParseRelay(files); err == nil {
		rec.PrefixAcked = relay.PrefixBytes
		rec.AcquiredAt = relay.AcquiredAt
	}
	return rec, nil
}

// adopt records a stranger and its job: both are watched as usual from here on.
func (m *Manager) adopt(ctx context.Context, x *stranger, rec fleet.Job) {
	if m.jobs[rec.JobID] != nil || m.machines[x.seen.Key] != nil || m.unrecorded[strangerID(x.seen)] != x {
		return
	}
	now := stamp()
	rec.Flavor, rec.Weight, rec.Seq = x.seen.Flavor, x.weight, m.nextSeq
	rec.LaunchingAt, rec.StartingAt = now, now
	if rec.AcquiredAt.IsZero() {
		rec.AcquiredAt = x.seen.CreatedAt
	}
	rec.AcquiredAt = measured(rec.AcquiredAt, now)
	j := &job{fresh: true, runner: x.runner, rec: rec, since: rec.AcquiredAt, taken: time.Now(), touched: time.Now()}
	vm := &machine{fresh: true, runner: x.runner, job: j, rec: x.instance(fleet.InstanceStarted)}
	vm.rec.StartedAt = now
	if !m.change(ctx, "adopt", j, vm, func(draft) {}) {
		return
	}
	m.nextSeq++
	j.vm = vm
	m.jobs[rec.JobID] = j
	m.machines[x.seen.Key] = vm
	delete(m.unrecorded, strangerID(x.seen))
	m.log.Info("adopted an instance and its job", "instance", x.seen.Key, "job", rec.ID)
}
