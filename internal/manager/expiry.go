// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/fleet"
)

const (
	expiryEvery = 20 * time.Hour      // with jitter less than a day
	expirySoon  = 14 * 24 * time.Hour // before the end it is time to say so
	expiryLook  = time.Minute         // for other credentials than before
	ownUser     = "*"                 // in the place of a tenant: the user that a runner acts as for all
)

// expiry is what is known of the end of one credential.
type expiry struct {
	lane
	of   cloud.Tenant // whose credential it is
	name string       // of that tenant
	ends time.Time    // zero: the infrastructure has not said
}

// watchExpiry finds out at the start, and then once a day, when a runner's credentials
// end, and says so when it is time to act. One call at a time: it is never urgent.
func (m *Manager) watchExpiry(ctx context.Context, r *runner) {
	prov, ok := cloud.As[cloud.Expirer](r.prov)
	if !ok || r.expiring || r.removed || m.stepAt.Before(r.nextExpiry) {
		return
	}
	for _, e := range r.credentials() {
		if !e.idle() {
			continue
		}
		e.busy, r.expiring = true, true
		of := e.of
		m.do(ctx, "expiry", callTimeout, func(ctx context.Context) event {
			ends, said, err := prov.Expiry(ctx, of)
			return func() {
				e.busy, r.expiring = false, false
				if err != nil {
					m.log.Debug("when a credential ends can't be asked; trying again", "runner", r.cfg.Name, "tenant", e.name, "err", err)
					e.failed(m, retryBase, tenantRetryCap, fleet.RetryAfterOf(err))
					return
				}
				if said { // one that has ended is not told about any more
					e.ends = ends
				}
				m.expires(r, e)
			}
		})
		return
	}
	r.nextExpiry = m.stepAt.Add(expiryLook)
}

// expires says what there is to say about one credential, and when to look again.
func (m *Manager) expires(r *runner, e *expiry) {
	e.ok()
	e.next = time.Now().Add(m.jitter(expiryEvery))
	left := time.Until(e.ends)
	switch {
	case e.ends.IsZero() || left > expirySoon:
	case left <= 0:
		m.log.Error("a credential of the cloud has ended; make a new one", "runner", r.cfg.Name, "tenant", e.name, "ended", e.ends)
	default:
		m.log.Warn("a credential of the cloud ends soon; make a new one", "runner", r.cfg.Name, "tenant", e.name, "ends", e.ends, "left", left.Round(time.Minute))
		if e.ends.Before(e.next) {
			e.next = e.ends
		}
	}
}

// credentials gives those that a runner uses at the moment, in the order of the groups, each
// once and with what is known of its end.
func (r *runner) credentials() []*expiry {
	var out []*expiry
	known := r.expiries
	r.expiries = map[cloud.Tenant]*expiry{}
	use := func(name string, of cloud.Tenant) {
		if r.expiries[of] != nil {
			return // of another group too
		}
		e := known[of]
		if e == nil {
			e = &expiry{of: of, name: name}
		}
		r.expiries[of] = e
		out = append(out, e)
	}
	if r.cfg.Clever.Auth.OwnUser() {
		use(ownUser, cloud.Tenant{})
		return out
	}
	for _, p := range r.purseList() {
		if p.tenant.ID != "" && p.problem == "" {
			use(p.tenant.ID, p.tenant)
		}
	}
	return out
}

// CredentialStatus is one credential whose end is known.
type CredentialStatus struct {
	Tenant string // "*" for a user that the runner acts as for all
	Ends   time.Time
}

func (r *runner) credentialStatus() []CredentialStatus {
	var out []CredentialStatus
	for _, e := range r.credentials() {
		if !e.ends.IsZero() {
			out = append(out, CredentialStatus{Tenant: e.name, Ends: e.ends})
		}
	}
	return out
}
