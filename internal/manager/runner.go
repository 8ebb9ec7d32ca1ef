// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"fmt"
	"os"
	"time"

	"heptapod-paas-runner/internal/cloud"
	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/schedule"
)

const flavorsEvery = time.Hour

// runner is one registration with its clients.
type runner struct {
	cfg    config.Runner
	client *coordinator.Client
	prov   cloud.Provisioner
	owners []fleet.Owner // all that were ever recorded for it, its present one first

	ca, cert, key []byte // TLS files of the coordinator, for the relay

	polling     *call
	nextPoll    time.Time
	pollFails   int
	polls       int // answers to job requests
	pollFirst   time.Time
	lastUpdate  string
	alarmed     bool
	coordOK     time.Time // the coordinator answered somebody well
	health      lane
	doubted     bool // whether the coordinator is well is to be asked
	strictUntil time.Time
	grants      grants
	askedAt     time.Time       // for a job, last
	madeAt      time.Time       // the last instance
	watchOff    bool            // the token of job_trace_watch was refused
	why         schedule.Reason // why it was not asked last

	flavors     []fleet.Flavor
	flavorLane  lane
	flavorError string

	next    *runner   // what a reload replaced it by; its last poll's job goes there
	before  []*runner // those that it replaced whose last poll is open, and may bring it a job
	removed bool      // a reload took it out: it acquires nothing, its jobs finish

	purses     map[string]*purse // by top-level group; "" for the configured tenant
	discovery  lane
	discovered bool // the tenants were looked for, since the coordinator answers
	found      bool // and found, once at least
	surveyed   bool // all that they have was looked for at least once
	born       time.Time

	expiries   map[cloud.Tenant]*expiry // of the credentials in use
	expiring   bool                     // one of them is being asked about
	nextExpiry time.Time                // when they are looked through again
}

// listed tells whether all that may be ours was looked for at least once, at the start of
// the service. One of several tenants whose cloud refuses, or does not answer for a while,
// must not hold up the others; nor must one that shows up later.
func (r *runner) listed() bool {
	if r.surveyed {
		return true
	}
	many := r.cfg.Clever.MultiTenant
	if many && !r.discovered {
		return false
	}
	for _, p := range r.purses {
		waits := p.tenant.ID != "" && p.problem == "" && !p.listed
		hopeless := p.listRefused || p.list.fails > 0 && time.Since(r.born) > surveyLimit
		if waits && !(many && hopeless) {
			return false
		}
	}
	r.surveyed = many || len(r.purses) > 0
	return r.surveyed
}

func (m *Manager) newRunner(rc config.Runner) (*runner, error) {
	r := &runner{cfg: rc, born: time.Now(), owners: []fleet.Owner{rc.Owner}, purses: map[string]*purse{}}
	var err error
	if r.client, err = m.deps.Coordinator(rc); err != nil {
		return nil, err
	}
	if r.prov, err = m.deps.Provisioner(rc); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		path string
		into *[]byte
	}{{rc.TLSCAFile, &r.ca}, {rc.TLSCertFile, &r.cert}, {rc.TLSKeyFile, &r.key}} {
		if f.path == "" {
			continue
		}
		if *f.into, err = os.ReadFile(f.path); err != nil {
			return nil, fmt.Errorf("read TLS file: %w", err)
		}
	}
	return r, nil
}

func (r *runner) pollDue() bool { return !time.Now().Before(r.nextPoll) }

// launchLimit is how long the making of an instance may take: the configured time, but
// long enough to settle an unknown create and to create again.
func (r *runner) launchLimit() time.Duration {
	return max(r.cfg.TraceWatch.Timeout, 3*r.prov.Describe().Settle)
}

// launchBy is when the making of a job's instance has taken too long. While nobody was
// there, nobody made it; and where it tells how far it is, it is not stuck.
func (m *Manager) launchBy(j *job) time.Time {
	from := j.rec.LaunchingAt
	if from.Before(m.attended) {
		from = m.attended
	}
	if j.vm != nil && from.Before(j.vm.toldAt) {
		from = j.vm.toldAt
	}
	return from.Add(j.runner.launchLimit())
}

// namespaceOf gives the top-level group that a job's tenant is found by.
func (r *runner) namespaceOf(p *coordinator.Payload) string {
	if r.cfg.Clever.MultiTenant {
		return p.RootNamespace
	}
	return ""
}

// refreshFlavors asks for the flavors when they are not known or an hour old.
func (m *Manager) refreshFlavors(ctx context.Context, r *runner) {
	if !r.flavorLane.idle() {
		return
	}
	r.flavorLane.busy = true
	m.do(ctx, "flavors", callTimeout, func(ctx context.Context) event {
		flavors, err := r.prov.Flavors(ctx)
		return func() {
			r.flavorLane.busy = false
			if err != nil || len(flavors) == 0 {
				r.flavorError = fmt.Sprint("the flavors are not known: ", err)
				if r.flavorLane.fails == 0 {
					m.log.Warn("flavors can't be listed; trying again", "runner", r.cfg.Name, "err", err)
				}
				r.flavorLane.failed(m, retryBase, retryCap, fleet.RetryAfterOf(err))
				return
			}
			r.flavors, r.flavorError = flavors, m.unavailable(r.cfg, flavors)
			if r.flavorError != "" {
				m.log.Error("the configuration names a flavor that there is not", "runner", r.cfg.Name, "err", r.flavorError)
			}
			r.flavorLane.ok()
			r.flavorLane.next = time.Now().Add(m.jitter(flavorsEvery))
		}
	})
}

// quota is the weight of reference_jobs_count jobs of the reference flavor.
func (m *Manager) quota() (fleet.Weight, bool) {
	for _, r := range m.runners {
		if r.cfg.Name != m.cfg.Quota.ReferenceRunner {
			continue
		}
		for _, f := range r.flavors {
			if f.Name == m.cfg.Quota.ReferenceFlavor {
				return f.Weight * fleet.Weight(m.cfg.Quota.ReferenceJobs), true
			}
		}
		return 0, false
	}
	return 0, false
}

// sizing gives what a runner's jobs may ask for, and the quota; false until both are known.
func (m *Manager) sizing(r *runner) (schedule.Sizing, fleet.Weight, bool) {
	quota, ok := m.quota()
	return schedule.Sizing{
		Flavors: r.flavors, Default: r.cfg.DefaultFlavor(), Max: r.cfg.Clever.MaxFlavor, Allowed: r.cfg.Clever.AllowedFlavors, Variable: flavorVariable,
	}, quota, ok && len(r.flavors) > 0
}
