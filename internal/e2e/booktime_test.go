// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"slices"
	"strings"
	"time"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/fleet"
)

// What the service has to do within a time: waits that have a limit, and work for which
// nothing is in the way (I8).
const (
	patienceToAct   = 90 * time.Second // with what could be done
	patienceToSee   = 6 * time.Minute  // that an instance is lost
	patienceToTouch = 330 * time.Second
	settled         = 3 * time.Minute // since the life began
)

// look compares what stands in the ledger with the time.
func (b *book) look() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lookNow()
}

func (b *book) lookNow() {
	if !b.w.drawn || b.failures > 0 || !b.drained.IsZero() || b.w.full.Load() || len(b.faulty) > 20 || time.Now().Before(b.attended) {
		return
	}
	for id, n := range b.jobs {
		if b.faulty[id] {
			continue
		}
		if why := b.overstays(n); why != "" {
			b.faulty[id] = true
			b.fault("I1: job %d is %s since %s: %s", id.ID, n.rec.State, time.Since(n.since).Round(time.Second), why)
		}
	}
	if !b.jumped.IsZero() && !b.blown[""] && time.Since(later(b.jumped, b.attended)) > patienceToAct {
		b.jumped = time.Time{}
		b.fault("I4: the wall clock has jumped, and the fuse is not blown")
	}
	if b.w.bounded && time.Since(b.attended) > settled {
		b.checkIdle()
		b.checkListed()
	}
}

// checkListed: all organisations are looked through again and again.
func (b *book) checkListed() {
	if b.w.purses || b.w.reloaded.Load() {
		return
	}
	often := map[string]time.Duration{"orga_sim": 150 * time.Second}
	if b.w.cfg.Runners[0].Clever.MultiTenant {
		often = map[string]time.Duration{"orga_one": 14 * time.Minute, "orga_two": 14 * time.Minute}
	}
	for _, r := range b.inForce().Runners {
		for organisation, limit := range often {
			of := r.Name + " /v2/organisations/" + organisation + "/applications"
			if since := time.Since(later(b.lines.listed[of], b.attended)); since > limit && !b.told[of] && !b.lines.unlisted[of] {
				b.told[of] = true
				b.fault("I5: runner %s has not looked through %s for %s", r.Name, organisation, since)
			}
		}
	}
}

// checkAccount: a group that belongs to another organisation now blows the fuse, as long as
// anything is recorded in the one before.
func (b *book) checkAccount() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.w.pursesOnly || b.failures > 0 || time.Since(b.attended) < 9*time.Minute || len(b.blown) > 0 {
		return
	}
	for key, n := range b.instances {
		if n.rec.Namespace == "one" && n.rec.Tenant == "orga_one" && n.rec.State != fleet.InstanceGone && time.Since(n.rec.IntendedAt) > 9*time.Minute {
			b.fault("I4: the group of %s belongs to another organisation for ten minutes, and the fuse is not blown", key)
			return
		}
	}
}

// in is how long a job has been in its state while this life could do something about it.
func (b *book) in(n noted[fleet.Job]) time.Duration { return time.Since(later(n.since, b.attended)) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// overstays tells why a job should not be in its state any more.
func (b *book) overstays(n noted[fleet.Job]) string {
	i := b.w.runner(n.rec.Owner)
	if i < 0 || !b.configured(b.w.cfg.Runners[i].Name) {
		return ""
	}
	switch since := time.Since(later(b.canceling[n.rec.JobID], b.attended)); n.rec.State {
	case fleet.JobAcquired, fleet.JobWaiting, fleet.JobLaunching:
		if !n.rec.CancelAt.IsZero() && since > patienceToAct {
			return "it is known to be canceled since " + since.String()
		}
	}
	watch, since := b.w.cfg.Runners[i].TraceWatch.Timeout, b.in(n)
	vm, made := b.instances[n.rec.Owner.Key(n.rec.ID)]
	switch n.rec.State {
	case fleet.JobAcquired, fleet.JobWaiting:
		if since > b.w.cfg.MaxParked+2*time.Minute {
			return "a job waits no longer than " + b.w.cfg.MaxParked.String()
		}
	case fleet.JobLaunching:
		if since > watch+time.Minute {
			return "an instance is made within " + watch.String()
		}
	case fleet.JobStarting:
		if made && vm.rec.State == fleet.InstanceStarted && time.Since(later(vm.since, b.attended)) > watch+3*time.Minute {
			return "its instance has to begin within " + watch.String()
		}
		if since > 3*watch {
			return "it has to be started within " + watch.String()
		}
	}
	if b.w.bounded {
		return b.overlooked(n, vm.rec)
	}
	return ""
}

// overlooked tells what was not seen of a job, in a world in which it can be.
func (b *book) overlooked(n noted[fleet.Job], vm fleet.Instance) string {
	since := b.in(n)
	at, canceled := b.w.canceled.Load(n.rec.JobID)
	if canceled && since > time.Minute {
		since := time.Since(later(at.(time.Time), b.attended))
		switch n.rec.State {
		case fleet.JobAcquired, fleet.JobWaiting, fleet.JobLaunching:
			if since > patienceToAct {
				return "it was canceled " + since.String() + " ago"
			}
		case fleet.JobStarting:
			if j, ok := b.truth(n.rec.JobID); ok && j.FirstOutputAt == nil && j.FinishedAt == nil && since > patienceToAct {
				return "it was canceled " + since.String() + " ago, and nothing has begun"
			}
		case fleet.JobRunning:
			if since > 14*time.Minute {
				return "it was canceled " + since.String() + " ago, and its sub-runner does not end it"
			}
		}
	}
	switch n.rec.State {
	case fleet.JobAcquired, fleet.JobWaiting, fleet.JobLaunching:
		if silent := time.Since(later(later(b.touched[n.rec.JobID], n.rec.AcquiredAt), b.attended)); silent > patienceToTouch {
			return "its coordinator has heard nothing of it for " + silent.String()
		}
	case fleet.JobStarting, fleet.JobRunning:
		if since < patienceToSee || vm.State != fleet.InstanceStarted {
			return ""
		}
		return b.lostInstance(n, vm)
	case fleet.JobFailing:
		if since > patienceToSee && vm.State == fleet.InstanceGone {
			return "nothing is in the way of its end"
		}
	}
	return ""
}

// lostInstance tells since when a job's instance is not there, or has ended.
func (b *book) lostInstance(n noted[fleet.Job], vm fleet.Instance) string {
	for _, app := range b.w.clever.Applications() {
		if !strings.Contains(string(vm.Handle), app.ID) {
			continue
		}
		at := app.DeletedAt
		if at == nil {
			at = app.EndedAt
		}
		if at != nil && time.Since(later(*at, b.attended)) > patienceToSee {
			return "its instance is lost since " + time.Since(*at).String()
		}
	}
	return ""
}

// configured tells whether a runner is in the configuration for a while already.
func (b *book) configured(name string) bool {
	if time.Since(b.reloaded) < patienceToAct {
		return false
	}
	for _, r := range b.inForce().Runners {
		if r.Name == name {
			return true
		}
	}
	return false
}

// orphan tells whether a job's runner is not in the configuration: the job waits until it is.
func (b *book) orphan(rec fleet.Job) bool {
	return !slices.ContainsFunc(b.inForce().Runners, func(r config.Runner) bool { return r.Name == rec.Runner })
}

// usage is what counts, by what is recorded.
type usage struct {
	weight             fleet.Weight
	count              int
	open, provisioning int
	outside            int // of open: their runner is not in the configuration; made they may be all the same
	own                map[fleet.Owner]int
	head               *noted[fleet.Job] // the first that waits and whose kind of instance can be made
	inTheWay           bool              // somebody waits whose kind fails, or whose size is not known
}

func (b *book) usage() usage {
	u := usage{own: map[fleet.Owner]int{}}
	for _, n := range b.instances {
		if n.rec.State != fleet.InstanceGone {
			u.weight += n.rec.Weight
			u.count++
		}
	}
	for _, n := range b.jobs {
		if n.rec.State == fleet.JobClosed {
			continue
		}
		u.open++
		u.own[n.rec.Owner]++
		if b.orphan(n.rec) {
			u.outside++
			continue
		}
		switch n.rec.State {
		case fleet.JobLaunching, fleet.JobStarting:
			u.provisioning++
		case fleet.JobAcquired:
			u.inTheWay = true
		case fleet.JobWaiting:
			switch {
			case !n.rec.CancelAt.IsZero():
				u.inTheWay = true
			case u.head == nil || n.rec.Seq < u.head.rec.Seq:
				u.head = &n
			}
		}
	}
	return u
}

// checkIdle: what can be launched is launched, and who can be asked for jobs is asked, however
// badly others fare.
func (b *book) checkIdle() {
	u, cfg := b.usage(), b.inForce()
	quota := quotaOf(cfg)
	soon := time.Since(b.launched) < cfg.MinBetweenLaunches+patienceToAct
	full := u.count >= cfg.Concurrent || u.provisioning >= cfg.MaxProvisioning || soon
	b.idle(&b.launchable, u.head != nil && !u.inTheWay && !full && u.weight+u.head.rec.Weight <= quota && !b.fails(u.head.rec),
		"I8: a job waits, and nothing is in the way of its launch")
	for _, r := range cfg.Runners {
		full := u.open >= cfg.Concurrent || full || r.Limit > 0 && u.own[r.Owner] >= r.Limit
		since := b.askable[r.Name]
		may := !full && u.head == nil && !u.inTheWay && u.weight+b.largest(r, quota) <= quota && !b.lines.open[r.Name] &&
			time.Since(b.lines.asked[r.Name]) > patienceToAct
		b.idle(&since, may, "I8: runner "+r.Name+" is not asked for jobs, and nothing is in the way")
		b.askable[r.Name] = since
	}
}

// fails tells whether the making of instances of a job's kind has failed of late.
func (b *book) fails(rec fleet.Job) bool {
	n, last := b.creates[rec.Tenant+" "+rec.Flavor], b.lastFailed[rec.Tenant+" "+rec.Flavor]
	for _, other := range b.jobs {
		if n > 0 && other.rec.State == fleet.JobLaunching && other.rec.Tenant == rec.Tenant && other.rec.Flavor == rec.Flavor {
			return true // that is the one that is tried
		}
	}
	pause := min(30*time.Second<<max(0, min(n-3, 10)), 10*time.Minute)
	return n > 0 && time.Since(last) < pause+pause/5+30*time.Second
}

// idle notes since when something could be done, and says once when that is too long.
func (b *book) idle(since *time.Time, can bool, text string) {
	switch now := time.Now(); {
	case !can || time.Since(b.reloaded) < settled:
		*since = time.Time{}
	case since.IsZero():
		*since = now
	case now.Sub(*since) > patienceToAct && !b.told[text]:
		b.told[text] = true
		b.fault("%s, for %s", text, now.Sub(*since))
	}
}

// largest is the weight that there must be room for before a runner is asked.
func (b *book) largest(r config.Runner, quota fleet.Weight) fleet.Weight {
	need := weights["XS"]
	for _, weight := range weights {
		if weight <= quota {
			need = max(need, weight)
		}
	}
	if !r.StrictAdmission && b.parkedTooLong[r.Name].IsZero() {
		return weights["XS"]
	}
	return need
}

// quotaOf is the weight that a configuration allows at once.
func quotaOf(cfg *config.Config) fleet.Weight {
	return weights[cfg.Quota.ReferenceFlavor] * fleet.Weight(cfg.Quota.ReferenceJobs)
}
