// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

const (
	deniedLimit  = time.Minute           // a refusal to tell attributes is believed after that
	discoverPace = 50 * time.Millisecond // between the lists of tenants that were just found
)

// lookUp reads one group's attributes.
func (m *Manager) lookUp(ctx context.Context, r *runner, p *purse) {
	p.busy = true
	client, token, group, id := r.client, r.cfg.Clever.NamespaceToken, p.group, p.id
	m.do(ctx, "tenant", callTimeout, func(ctx context.Context) event {
		var attributes map[string]secret.String
		err := fleet.ErrNotFound
		if id != 0 { // it may have been renamed
			attributes, err = client.GroupAttributes(ctx, strconv.FormatInt(id, 10), token)
		}
		if errors.Is(err, fleet.ErrNotFound) {
			attributes, err = client.GroupAttributes(ctx, group, token)
		}
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
	case err != nil: // what was known goes on being used meanwhile
		m.notRead(r, p, err)
		return
	default:
		p.fill(r.cfg.Clever, attributes)
	}
	p.unread, p.denied = "", time.Time{}
	if p.problem == "" {
		p.ok()
		return
	}
	p.problemAt, p.at = time.Now(), time.Time{}
	p.failed(m, retryBase, retryCap, 0)
	if !m.neededTenant(r, p.group) {
		delete(r.purses, p.group)
		return
	}
	if before == "" {
		m.log.Warn("a tenant has no credential", "runner", r.cfg.Name, "tenant", p.group, "err", p.problem)
	}
}

// notRead notes that a group's attributes could not be read. A refusal may be that of a
// proxy for a moment, so it is no group's problem.
func (m *Manager) notRead(r *runner, p *purse, err error) {
	p.failed(m, retryBase, tenantRetryCap, fleet.RetryAfterOf(err))
	if p.unread == "" {
		m.log.Warn("a tenant's attributes can't be read; trying again", "runner", r.cfg.Name, "tenant", p.group, "err", err)
	}
	if !errors.Is(err, fleet.ErrUnauthorized) {
		p.unread, p.denied = "the coordinator does not tell the attributes of group "+p.group, time.Time{}
		return
	}
	p.unread = "the service may not read the attributes of group " + p.group
	if p.denied.IsZero() {
		p.denied = time.Now()
	}
}

// fill takes the organisation and its token out of a group's attributes.
func (p *purse) fill(cc config.Clever, attributes map[string]secret.String) {
	p.problem = ""
	if problem := cc.Unconnected(attributes); problem != "" {
		p.problem = fmt.Sprintf("the group %s %s: it is not connected to an organisation", p.group, problem)
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
	client, token, begun := r.client, r.cfg.Clever.NamespaceToken, time.Now()
	m.do(ctx, "discover tenants", startTimeout, func(ctx context.Context) event {
		groups, err := client.TopLevelGroups(ctx, token)
		return func() {
			r.discovery.busy = false
			r.discovered = !begun.Before(m.lookedAgain) // a failure must not keep the other tenants from working
			if err != nil && !r.discovered {
				return // it was asked before the coordinator answered again
			}
			if err != nil {
				if r.discovery.fails == 0 {
					m.log.Warn("the tenants can't be listed; trying again", "runner", r.cfg.Name, "err", err)
				}
				r.discovery.failed(m, retryBase, tenantRetryCap, fleet.RetryAfterOf(err))
				return
			}
			r.discovery.ok()
			r.discovered, r.found = true, true
			r.discovery.next = time.Now().Add(m.jitter(discoverEvery))
			m.found(r, groups)
		}
	})
}

// found takes the groups that exist: those with both attributes are looked through for
// what is left there, one shortly after the other, since there may be hundreds. Of a group
// that has none, or is gone, nothing is remembered unless something of ours is there.
func (m *Manager) found(r *runner, groups []coordinator.Group) {
	has := map[string]bool{}
	for _, g := range groups {
		if r.cfg.Clever.Unconnected(g.Attributes) != "" {
			continue
		}
		has[g.Path] = true
		p := r.purse(g.Path)
		p.named(g.ID)
		p.fill(r.cfg.Clever, g.Attributes)
		p.list.next = time.Now().Add(time.Duration(len(has)-1) * discoverPace)
	}
	for _, p := range r.purseList() {
		if !has[p.group] && !m.neededTenant(r, p.group) {
			delete(r.purses, p.group)
		}
	}
}

// refusedCredential makes a tenant's credential be read again after a call was refused.
func (r *runner) refusedCredential(group string, err error) {
	if r.cfg.Clever.MultiTenant && errors.Is(err, fleet.ErrUnauthorized) {
		r.purse(group).at = time.Time{}
	}
}
