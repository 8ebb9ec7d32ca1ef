// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

const (
	tenantFor      = 5 * time.Minute  // a credential is used for so long before it is read again
	problemFor     = 30 * time.Second // that there is none is believed for so long
	tenantRetryCap = 5 * time.Minute
	discoverEvery  = 24 * time.Hour
	recentEvery    = 10 * time.Minute
)

// purse is what is known of the tenant behind one top-level group, or behind the runner's
// own configuration (group ""). It lives in memory only.
type purse struct {
	group  string
	id     int64 // of the group; 0 = not known. A renamed group keeps it
	tenant cloud.Tenant
	at     time.Time // when it was read; zero = never, or it was refused since
	// problem is why there is no credential, a sentence fit for a job's log; "" = there is
	// one, or it is not known yet.
	problem   string
	problemAt time.Time
	// unread is why the attributes can't be read, which is the trouble of the service or
	// its coordinator and not the group's; "" = they can. Since when that is a refusal.
	unread string
	denied time.Time
	// The organisation refused this credential last, at that time.
	refused   secret.String
	refusedAt time.Time
	lane

	list      lane             // of the tenant's instances
	seen      []cloud.Sighting // by the last list
	listed    bool
	listedAt  time.Time
	listError string
	// listRefused: the last list was refused, and would be again.
	listRefused bool
	neededAt    time.Time // when a job or an instance last needed it
}

// listAgain is how long the next list of the tenant's instances has time. Nothing of ours
// is known where nobody needs the credential; what a lost answer may have left there
// shows within minutes, later once a day is enough.
func (m *Manager) listAgain(r *runner, p *purse) time.Duration {
	switch {
	case !r.cfg.Clever.MultiTenant || m.neededTenant(r, p.group):
		return sweepEvery
	case time.Since(p.neededAt) < discoverEvery || time.Since(m.started) < time.Hour:
		return recentEvery
	}
	return discoverEvery
}

// named takes the id of the group. Of two groups that had one path, one after the other,
// the younger one has the larger id; the organisation tells whose an instance is.
func (p *purse) named(id int64) { p.id = max(p.id, id) }

func (p *purse) fresh() bool { return !p.at.IsZero() && time.Since(p.at) < tenantFor }

// purse gives what is known of a group's tenant.
func (r *runner) purse(group string) *purse {
	p := r.purses[group]
	if p == nil {
		p = &purse{group: group}
		if !r.cfg.Clever.MultiTenant {
			p.tenant.ID, p.tenant.Token = r.cfg.Payer()
		}
		r.purses[group] = p
	}
	return p
}

// purseList gives all purses in the order of their groups.
func (r *runner) purseList() []*purse {
	var out []*purse
	for _, group := range slices.Sorted(maps.Keys(r.purses)) {
		out = append(out, r.purses[group])
	}
	return out
}

// tenants gives the organisations that a runner knows and has credentials of.
func (r *runner) tenants() map[string]bool {
	out := map[string]bool{}
	for _, p := range r.purses {
		if p.tenant.ID != "" && p.problem == "" {
			out[p.tenant.ID] = true
		}
	}
	return out
}

// noCredentialError says that an instance can't be acted upon now.
type noCredentialError struct{ text string }

func (e *noCredentialError) Error() string { return e.text }

// tenant gives the credential to act on a tenant's instances. An organisation other than
// the recorded one is none: nothing is done with it.
func (r *runner) tenant(group, id string) (cloud.Tenant, error) {
	p := r.purse(group)
	switch {
	case r.cfg.Clever.MultiTenant && group == "":
		return cloud.Tenant{}, r.noCredential("the runner serves several tenants now, and the instance was made for a single one")
	case !r.cfg.Clever.MultiTenant && group != "":
		return cloud.Tenant{}, r.noCredential("the runner serves a single tenant now, and the instance was made for group " + group)
	case r.cfg.Clever.MultiTenant && p.problem != "":
		return cloud.Tenant{}, r.noCredential(p.problem)
	case r.cfg.Clever.MultiTenant && p.at.IsZero(): // an older one goes on being used while it is read again
		return cloud.Tenant{}, r.noCredential(cmp.Or(p.unread, "the tenant of group "+group+" is being looked up"))
	case id != "" && p.tenant.ID != id: // "" is not known yet
		return cloud.Tenant{}, r.noCredential(fmt.Sprintf("organisation %q is recorded, %q is configured now", id, p.tenant.ID))
	}
	return p.tenant, nil
}

func (r *runner) noCredential(text string) error {
	return &fleet.CallError{Class: fleet.Transient, UserText: "no credential for its organisation", Err: &noCredentialError{"no credential: " + text}}
}

// refreshTenants reads the attributes of the groups whose jobs or instances are open, and
// once a day finds all groups that hold both attributes, for the search for strangers.
func (m *Manager) refreshTenants(ctx context.Context, r *runner) {
	if !r.cfg.Clever.MultiTenant {
		r.purse("")
		return
	}
	for _, j := range m.jobs {
		if j.runner == r && j.rec.Namespace != "" {
			r.purse(j.rec.Namespace).named(j.rec.NamespaceID)
		}
	}
	for _, vm := range m.machines {
		if vm.runner == r && vm.rec.Namespace != "" {
			r.purse(vm.rec.Namespace).named(vm.rec.NamespaceID)
		}
	}
	for _, p := range r.purseList() {
		// Where nobody needs it, the credential is read again when it is time to list.
		if p.group != "" && !p.fresh() && p.idle() && (m.neededTenant(r, p.group) || p.list.idle()) {
			m.lookUp(ctx, r, p)
		}
	}
	if r.discovery.idle() {
		m.discover(ctx, r)
	}
}

// purseID names the group of a runner.
type purseID struct {
	runner *runner
	group  string
}

// neededTenant tells whether anybody waits for a group's credential.
func (m *Manager) neededTenant(r *runner, group string) bool {
	if m.needed == nil {
		m.needed = m.needs()
	}
	return m.needed[purseID{r, group}]
}

// needs lists the groups whose credential somebody waits for. With hundreds of groups and
// jobs, looking through all jobs for each group was most of what a step did.
func (m *Manager) needs() map[purseID]bool {
	out := map[purseID]bool{}
	for _, j := range m.jobs {
		if j.rec.State.CanMove(fleet.JobFinished) {
			out[purseID{j.runner, j.rec.Namespace}] = true
		}
	}
	for _, vm := range m.machines {
		out[purseID{vm.runner, vm.rec.Namespace}] = true
	}
	for _, x := range m.unrecorded {
		out[purseID{x.runner, x.group}] = true
	}
	return out
}

// paidBy finds out who pays for a job; false while that is not known yet. A job whose
// group has no tenant ends with the reason.
func (m *Manager) paidBy(ctx context.Context, j *job) (string, bool) {
	if !j.runner.cfg.Clever.MultiTenant {
		id, _ := j.runner.cfg.Payer()
		return id, true
	}
	if j.rec.Namespace == "" {
		m.fail(ctx, j, reasonScript, "Nobody pays for this job's instance: its top-level group can't be told. Does it set CI_PROJECT_PATH or CI_PROJECT_ROOT_NAMESPACE itself?")
		return "", false
	}
	p := j.runner.purse(j.rec.Namespace)
	nobody := func(reason, why string) {
		m.fail(ctx, j, reason, "Nobody pays for this job's instance: "+why+". Ask the owners of the group or the operators of this runner.")
	}
	switch {
	case p.fresh() && p.tenant.Token == p.refused && time.Since(p.refusedAt) < problemFor:
		nobody(reasonScript, fmt.Sprintf("organisation %s refuses the credential of group %s", p.tenant.ID, p.group))
	case p.fresh():
		return p.tenant.ID, true
	case p.problem != "" && time.Since(p.problemAt) < problemFor:
		nobody(reasonScript, p.problem)
	case !p.denied.IsZero() && time.Since(p.denied) > deniedLimit:
		nobody(reasonSystem, p.unread)
	case m.longParked(j):
		m.fail(ctx, j, reasonSystem, fmt.Sprintf("Who pays for this job's instance could not be found out within %s: the coordinator did not tell the attributes of group %s. Retry the job.",
			round(m.parkLimit(j)), j.rec.Namespace))
	}
	return "", false
}
