// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/fleet"
)

// slack is how long the decision for a call may lie back when the call is seen.
const slack = 5 * time.Millisecond

// asks is told of a job request when it is sent.
func (b *book) asks(runner string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := func(t time.Time) bool { return !t.IsZero() && time.Since(t) > slack }
	if old(b.failed) {
		b.fault("I1: a job is asked for while the ledger can't be written")
	}
	if old(b.drained) {
		b.fault("I1: a job is asked for by a service that stops")
	}
	if at, removed := b.removed[runner]; removed && old(at) {
		b.fault("I8: runner %s is asked for jobs, and is not in the configuration any more", runner)
	}
	if b.w.drawn && !b.hasListed(runner) && time.Since(b.reloaded) > 2*time.Minute {
		b.fault("I3: runner %s is asked for jobs before its instances were listed", runner)
	}
	b.lookNow()
	for id, n := range b.jobs {
		young := max(time.Since(n.since), time.Since(n.rec.AcquiredAt)) < 10*time.Second-slack // also when a life began since
		unsized := n.rec.State == fleet.JobAcquired && young
		waits := unsized || n.rec.State == fleet.JobWaiting && !b.held(n.rec)
		if waits && !b.orphan(n.rec) && n.rec.CancelAt.IsZero() && old(n.since) && !b.python() {
			b.fault("I3: a job is asked for while job %d is %s", id.ID, n.rec.State)
		}
	}
	var sum fleet.Weight
	for _, n := range b.instances {
		if n.rec.State != fleet.InstanceGone && old(n.since) {
			sum += n.rec.Weight
		}
	}
	quota, need := quotaOf(b.loosest()), weights["XS"]
	for _, r := range b.w.cfg.Runners {
		parked, ever := b.parkedTooLong[runner]
		if r.Name == runner && (r.StrictAdmission || ever && old(parked) && time.Since(parked) < time.Hour-slack) {
			for _, weight := range weights {
				if weight <= quota {
					need = max(need, weight)
				}
			}
		}
	}
	if sum+need > quota {
		b.fault("I3: a job is asked for while %s of %s is in use and the job may weigh %s", sum, quota, need)
	}
}

// calls is told of each other call to a coordinator when it is tried.
func (b *book) calls(r *http.Request) {
	_, rest, ok := strings.Cut(r.URL.Path, "/api/v4/jobs/")
	id, _, _ := strings.Cut(rest, "/")
	if n, err := strconv.ParseInt(id, 10, 64); ok && err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.cared[fleet.JobID{Coordinator: r.URL.Scheme + "://" + r.URL.Host, ID: n}] = true
	}
}

// loosest is what the service has to keep to: while a reload is under way, the wider limits.
func (b *book) loosest() *config.Config {
	if b.cfg == nil {
		return b.w.cfg
	}
	out := *b.cfg
	out.Concurrent = max(out.Concurrent, b.looser.Concurrent)
	out.MaxProvisioning = max(out.MaxProvisioning, b.looser.MaxProvisioning)
	out.Quota.ReferenceJobs = max(out.Quota.ReferenceJobs, b.looser.Quota.ReferenceJobs)
	return &out
}

// cares tells whether a job was recorded, or a call was made about it.
func (b *book) cares(j simJob) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cared[fleet.JobID{Coordinator: j.place, ID: j.ID}]
}

// cut is told of a job request that the service gave up.
func (b *book) cut(begun time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.drained.IsZero() {
		return
	}
	if time.Since(begun) < 3*time.Second-slack && time.Since(b.drained) < 3*time.Second-slack {
		b.fault("I1: a job request is given up %s after it was sent: it may be granted", time.Since(begun))
	}
}

// acts is told of each call of ours about a job when it arrives.
func (b *book) acts(place, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || b.failures > 0 || b.python() {
		return
	}
	job := fleet.JobID{Coordinator: place, ID: n}
	if _, known := b.jobs[job]; known {
		return
	}
	j, ok := b.truth(job)
	if !ok || j.AcquiredAt == nil || j.AcquiredAt.Before(b.begun) {
		return // it was lost at acquisition, by an earlier life
	}
	if _, known, err := b.w.watch.ledger.Load().Job(b.w.t.Context(), job); err == nil && !known && b.w.calm {
		b.fault("I1: job %d is acted on and not in the ledger", n)
	}
}

// cloud is told of each request to the cloud when it arrives.
func (b *book) cloud(r *http.Request) {
	if r.Header.Get(callHeader) == "" {
		return // people do it, or the Python program, or a proxy that repeats what we did
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_, rest, _ := strings.Cut(r.URL.Path, "/organisations/")
	organisation, rest, _ := strings.Cut(rest, "/")
	app := appID.FindString(r.URL.Path)
	if organisation != "" {
		b.checkCredential(organisation, r)
	}
	switch {
	case rest == "applications" && r.Method == http.MethodGet:
		b.lists[organisation] = append(b.lists[organisation], time.Now())
	case rest == "applications/"+app && r.Method == http.MethodGet:
		b.reads[app] = time.Now()
	case rest == "applications/"+app && r.Method == http.MethodDelete:
		b.checkDeletion(app)
	case r.Method == http.MethodPost && (strings.HasSuffix(r.URL.Path, "/git-receive-pack") || rest == "applications/"+app+"/instances"):
		b.checkStart(app)
	}
}

// checkStart: that a job may be started is recorded before, and it is started once.
func (b *book) checkStart(app string) {
	if b.python() {
		return
	}
	if rec, ok := b.of(app); !ok || !rec.Started || !b.jobs[rec.Job].rec.PrefixFrozen {
		b.fault("I2: %s is started and the ledger does not say so: %+v", app, rec)
	}
	for _, there := range b.w.clever.Applications() {
		if there.ID != app {
			continue
		}
		if len(there.Files) > 0 {
			b.fault("I2: %s is started again", app)
		}
		if there.Env["CC_ENABLE_HEPTAPOD_RUNNER"] != "true" {
			b.fault("I1: %s is started without its environment", app)
		}
	}
	b.checkWanted(app)
}

// checkWanted: what was canceled some time ago is not started.
func (b *book) checkWanted(app string) {
	rec, _ := b.of(app)
	at, canceled := b.w.canceled.Load(rec.Job)
	if j, ok := b.truth(rec.Job); !ok || !canceled || !b.w.bounded || j.FinishedAt != nil {
		return
	}
	if since := time.Since(later(at.(time.Time), b.begun)); since > 40*time.Second {
		b.fault("I1: job %d is started %s after it was canceled", rec.Job.ID, since)
	}
}

// checkCredential: an organisation is shown its own credential and nobody else's.
func (b *book) checkCredential(organisation string, r *http.Request) {
	want := firstTokenOf(organisation) // or one that came after it
	if _, got, _ := strings.Cut(r.Header.Get("Authorization"), " "); !strings.HasPrefix(got, want) && !b.python() && b.w.plainTokens {
		b.fault("I7: %s is shown the credential %q", organisation, got)
	}
}

// checkDeletion: what is deleted was read just before; it is recorded as being deleted, or
// stands under one of our keys, in no record, and no sub-runner works on it.
func (b *book) checkDeletion(app string) {
	at, read := b.reads[app]
	if !read || time.Since(at) > time.Minute {
		b.fault("I4: %s is deleted and was not read just before", app)
	}
	delete(b.reads, app)
	for _, there := range b.w.clever.Applications() {
		if there.ID == app && b.w.isForgotten(there.Name) {
			b.fault("I4: %s is deleted, and was given away", there.Name)
		}
	}
	if rec, ok := b.of(app); ok {
		if rec.State != fleet.InstanceDeleting {
			b.fault("I4: %s is deleted and recorded as %s", app, rec.State)
		}
		return
	}
	for _, there := range b.w.clever.Applications() {
		if there.ID == app && time.Since(there.CreatedAt) < 2*time.Minute && b.w.drawn && !b.shifted && there.State != "deleted" {
			b.fault("I4: %s is deleted %s after it was made, and is not the one that is recorded", app, time.Since(there.CreatedAt))
		}
		if there.ID == app && hasMachine(there) && !b.python() {
			b.fault("I4: %s is deleted while a machine runs in it, and is not the one that is recorded", app)
		}
	}
}
