// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/schedule"
)

const (
	breakerFails = 3 // creates that fail in a row until no more is tried
	breakerBase  = 30 * time.Second
	breakerCap   = 10 * time.Minute
)

// breakerKey is what fails or works as one: a flavor, made for a tenant, in a zone.
type breakerKey struct{ provisioner, zone, tenant, flavor string }

func (a breakerKey) compare(b breakerKey) int {
	return cmp.Or(cmp.Compare(a.provisioner, b.provisioner), cmp.Compare(a.zone, b.zone), cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.flavor, b.flavor))
}

// breaker keeps the making of instances that fail from being tried for each job: after
// three failures in a row nothing is made for a while, then one instance is tried, and
// what becomes of it decides. So one failing flavor, tenant or zone neither floods the
// platform nor takes the places of jobs that could run (I8). It lives in memory: a new
// life of the service tries for itself.
type breaker struct {
	fails int
	since time.Time // of the first failure in the row
	next  time.Time // nothing is tried before; zero = it is closed
	pause time.Duration
	probe *machine // the one that is tried after the pause
	text  string   // what the platform said last
}

func (m *Manager) breakerOf(r *runner, tenant, flavor string) breakerKey {
	d := r.prov.Describe()
	return breakerKey{d.Name, d.Zone, tenant, flavor}
}

func (vm *machine) breakerKey() breakerKey {
	return breakerKey{vm.rec.Provisioner, vm.rec.Zone, vm.rec.Tenant, vm.rec.Flavor}
}

// createOutcome tells the breaker how a create ended; text is empty when it succeeded.
func (m *Manager) createOutcome(vm *machine, ok bool, text string) {
	key := vm.breakerKey()
	b := m.breakers[key]
	switch {
	case ok && b != nil:
		if !b.next.IsZero() {
			m.log.Info("instances can be made again", "tenant", key.tenant, "flavor", key.flavor, "took", time.Since(b.since))
		}
		delete(m.breakers, key)
		return
	case ok:
		return
	case b == nil:
		b = &breaker{since: time.Now()}
		m.breakers[key] = b
	}
	b.fails++
	b.text, b.probe = text, nil
	if b.fails < breakerFails {
		return
	}
	if b.next.IsZero() {
		m.log.Warn("instances can't be made: others of the kind wait", "tenant", key.tenant, "flavor", key.flavor, "attempt", b.fails, "err", text)
	}
	b.pause = min(max(2*b.pause, breakerBase), breakerCap)
	b.next = time.Now().Add(m.jitter(b.pause))
}

// holds tells until when the breaker keeps an instance from being made; zero = it may be
// made now, as the one that is tried if the breaker is open.
func (b *breaker) holds(vm *machine) time.Time {
	switch {
	case b == nil || b.next.IsZero():
		return time.Time{}
	case time.Now().Before(b.next):
		return b.next
	case b.probe != nil && b.probe != vm && b.probe.wanted():
		return time.Now().Add(breakerBase) // until it is known what becomes of the one that is tried
	}
	b.probe = vm
	return time.Time{}
}

// brokenFor tells what keeps a waiting job from being launched at all, and until when.
func (m *Manager) brokenFor(j *job) (*breaker, bool) {
	b := m.breakers[m.breakerOf(j.runner, j.rec.Tenant, j.rec.Flavor)]
	if b == nil || b.next.IsZero() {
		return nil, false
	}
	trying := b.probe != nil && b.probe.wanted()
	return b, trying || time.Now().Before(b.next)
}

// heldMost is how many jobs of a runner may wait for broken kinds of instances: more are
// better off where they are, at their coordinator, unless that keeps from being acquired
// what could run.
const heldMost = 3

// heldPoll is how often a runner with so many is asked for a job all the same: it may
// bring one of a kind that works.
const heldPoll = time.Minute

// held lists the waiting jobs, of one runner or of all, that are kept from being launched by
// what is in nobody else's way: a breaker, or a cloud that was not listed yet.
func (m *Manager) held(r *runner) []*job {
	var out []*job
	for _, j := range m.jobList() {
		if r != nil && j.runner != r || j.rec.State != fleet.JobWaiting || !j.rec.CancelAt.IsZero() {
			continue
		}
		if _, broken := m.brokenFor(j); broken || m.unseen(j) {
			out = append(out, j)
		}
	}
	return out
}

// othersWork tells whether what a runner's held jobs wait for is broken alone: an
// instance of another kind was made since, or all of them are one tenant's of several.
func (m *Manager) othersWork(r *runner, held []*job) bool {
	tenants, alone := r.tenants(), true
	for _, j := range held {
		b, _ := m.brokenFor(j)
		if b != nil && !r.madeAt.After(b.since) {
			alone = false
		}
		delete(tenants, j.rec.Tenant)
	}
	if alone || len(held) == 0 {
		return true
	}
	return r.cfg.Clever.MultiTenant && len(tenants) > 0 && !slices.ContainsFunc(held, func(j *job) bool { return j.rec.Tenant != held[0].rec.Tenant })
}

// hopeless tells whether a job that was just sized would only be one more that waits for
// a broken kind, while others work: it fails at once then, so that it takes nobody's place.
func (m *Manager) hopeless(j *job, tenant, flavor string) (string, bool) {
	key := m.breakerOf(j.runner, tenant, flavor)
	b := m.breakers[key]
	held := m.held(j.runner)
	same := 0
	for _, other := range held {
		if m.breakerOf(other.runner, other.rec.Tenant, other.rec.Flavor) == key {
			same++
		}
	}
	if b == nil || b.next.IsZero() || same < heldMost || !m.othersWork(j.runner, held) {
		return "", false
	}
	return fmt.Sprintf("The platform fails to make instances of flavor %s: the last %d attempts failed (%s), and %d jobs wait for one already. Retry the job later.",
		flavor, b.fails, b.text, same), true
}

// unseen tells whether what a job's tenant has was not listed since the start: instances that
// are there after a lost ledger count before another is made. A cloud that refuses lists
// refuses to make instances too, and says why.
func (m *Manager) unseen(j *job) bool {
	p := j.runner.purses[j.rec.Namespace]
	return p == nil || !p.listed && !p.listRefused
}

// heldReason is what such a job waits for.
func (m *Manager) heldReason(j *job) schedule.Reason {
	if m.unseen(j) {
		return schedule.Reason{Kind: schedule.Survey}
	}
	b, _ := m.brokenFor(j)
	if b == nil {
		return schedule.Reason{}
	}
	return schedule.Reason{Kind: schedule.Broken, Flavor: j.rec.Flavor, Used: int64(b.fails), Until: b.next}
}

// BreakerStatus is one kind of instance whose making fails.
type BreakerStatus struct {
	Provisioner, Zone, Tenant, Flavor string
	State                             string // closed (it failed less than three times), open, or half-open
	Failures                          int
	Since, Next                       time.Time
	Problem                           string
}

func (m *Manager) breakerStatus() []BreakerStatus {
	var out []BreakerStatus
	keys := make([]breakerKey, 0, len(m.breakers))
	for key := range m.breakers {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, breakerKey.compare)
	for _, key := range keys {
		b := m.breakers[key]
		s := BreakerStatus{
			Provisioner: key.provisioner, Zone: key.zone, Tenant: key.tenant, Flavor: key.flavor,
			State: "open", Failures: b.fails, Since: b.since.UTC(), Next: b.next.UTC(), Problem: b.text,
		}
		switch {
		case b.next.IsZero():
			s.State, s.Next = "closed", time.Time{}
		case !time.Now().Before(b.next):
			s.State = "half-open"
		}
		out = append(out, s)
	}
	return out
}
