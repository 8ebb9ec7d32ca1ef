// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

const (
	tenantFor      = 5 * time.Minute // a credential is used for so long before it is read again
	tenantRetryCap = 5 * time.Minute
	discoverEvery  = 24 * time.Hour
	recentEvery    = 10 * time.Minute
)

// purse is what is known of the tenant behind one top-level group, or behind the runner's
// own configuration (group ""). It lives in memory only.
type purse struct {
	group  string
	tenant cloud.Tenant
	at     time.Time // when it was read; zero = never, or it was refused since
	// problem is why there is no credential, a sentence fit for a job's log; "" = there is
	// one, or it is not known yet.
	problem string
	lane

	list      lane             // of the tenant's instances
	seen      []cloud.Sighting // by the last list
	listed    bool
	listedAt  time.Time
	listError string
	// listRefused: the last list was refused for the credential.
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
		return cloud.Tenant{}, r.noCredential("the tenant of group " + group + " is being looked up")
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
			r.purse(j.rec.Namespace)
		}
	}
	for _, vm := range m.machines {
		if vm.runner == r && vm.rec.Namespace != "" {
			r.purse(vm.rec.Namespace)
		}
	}
	for _, p := range r.purseList() {
		if p.group != "" && !p.fresh() && p.idle() && m.neededTenant(r, p.group) {
			m.lookUp(ctx, r, p)
		}
	}
	if r.discovery.idle() {
		m.discover(ctx, r)
	}
}

// neededTenant tells whether anybody waits for a group's credential.
func (m *Manager) neededTenant(r *runner, group string) bool {
	for _, j := range m.jobs {
		if j.runner == r && j.rec.Namespace == group && j.rec.State.CanMove(fleet.JobFinished) {
			return true
		}
	}
	for _, vm := range m.machines {
		if vm.runner == r && vm.rec.Namespace == group {
			return true
		}
	}
	for _, x := range m.unrecorded {
		if x.runner == r && x.group == group {
			return true
		}
	}
	return false
}

// lookUp reads one group's attributes.
func (m *Manager) lookUp(ctx context.Context, r *runner, p *purse) {
	p.busy = true
	client, token, group := r.client, r.cfg.Clever.NamespaceToken, p.group
	m.do(ctx, "tenant", callTimeout, func(ctx context.Context) event {
		attributes, err := client.GroupAttributes(ctx, group, token)
		return func() {
			p.busy = false
			m.lookedUp(r, p, attributes, err)
		}
	})
}

func (m *Manager) lookedUp(r *runner, p *purse, attributes map[string]secret.String, err error) {
	before := p.problem
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		p.problem = fmt.Sprintf("%q is not a top-level group (a user's own namespace has no tenant), or the service may not see it", p.group)
	case errors.Is(err, fleet.ErrUnauthorized):
		p.problem = "the service may not read the attributes of group " + p.group
	case err != nil: // what was known goes on being used meanwhile
		p.failed(m, retryBase, tenantRetryCap, fleet.RetryAfterOf(err))
		return
	default:
		p.fill(r.cfg.Clever, attributes)
	}
	if p.problem == "" {
		p.ok()
		return
	}
	p.failed(m, retryBase, tenantRetryCap, 0)
	p.at = time.Time{}
	if before == "" {
		m.log.Warn("a tenant has no credential", "runner", r.cfg.Name, "tenant", p.group, "err", p.problem)
	}
}

// fill takes the organisation and its token out of a group's attributes.
func (p *purse) fill(cc config.Clever, attributes map[string]secret.String) {
	p.problem = ""
	if missing := cc.MissingAttributes(attributes); len(missing) > 0 {
		p.problem = fmt.Sprintf("the group %s has no attribute %s: it is not connected to an organisation", p.group, strings.Join(missing, " and "))
		return
	}
	// An organisation's id is no secret.
	p.tenant = cloud.Tenant{ID: attributes[cc.OrgaIDAttribute].Reveal(), Token: attributes[cc.OrgaTokenAttribute]}
	p.at = time.Now()
}

// discover finds the groups that hold both attributes: instances may be left of tenants
// that no job names any more.
func (m *Manager) discover(ctx context.Context, r *runner) {
	r.discovery.busy = true
	client, token := r.client, r.cfg.Clever.NamespaceToken
	m.do(ctx, "discover tenants", startTimeout, func(ctx context.Context) event {
		groups, err := client.TopLevelGroups(ctx, token)
		return func() {
			r.discovery.busy = false
			r.discovered = true // a failure must not keep the other tenants from working
			if err != nil {
				if r.discovery.fails == 0 {
					m.log.Warn("the tenants can't be listed; trying again", "runner", r.cfg.Name, "err", err)
				}
				r.discovery.failed(m, retryBase, tenantRetryCap, fleet.RetryAfterOf(err))
				return
			}
			r.discovery.ok()
			r.discovery.next = time.Now().Add(m.jitter(discoverEvery))
			for _, g := range groups {
				if p := r.purse(g.Path); len(r.cfg.Clever.MissingAttributes(g.Attributes)) == 0 {
					p.fill(r.cfg.Clever, g.Attributes)
					p.list.next = time.Now() // look once for what is left there
				} else if p.at.IsZero() && !m.neededTenant(r, g.Path) {
					delete(r.purses, g.Path)
				}
			}
		}
	})
}

// refusedCredential makes a tenant's credential be read again after a call was refused.
func (r *runner) refusedCredential(group string, err error) {
	if r.cfg.Clever.MultiTenant && errors.Is(err, fleet.ErrUnauthorized) {
		r.purse(group).at = time.Time{}
	}
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
	switch {
	case p.fresh():
		return p.tenant.ID, true
	case p.problem != "":
		m.fail(ctx, j, reasonScript, "Nobody pays for this job's instance: "+p.problem+". Ask the owners of the group or the operators of this runner.")
	case time.Since(j.rec.AcquiredAt) > m.cfg.MaxParked:
		m.fail(ctx, j, reasonSystem, fmt.Sprintf("Who pays for this job's instance could not be found out within %s: the coordinator did not tell the attributes of group %s. Retry the job.",
			round(m.cfg.MaxParked), j.rec.Namespace))
	}
	return "", false
}
