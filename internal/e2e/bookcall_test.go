// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/sim/clever"
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
	for id, n := range b.jobs {
		young := max(time.Since(n.since), time.Since(n.rec.AcquiredAt)) < 10*time.Second-slack // also when a life began since
		unsized := n.rec.State == fleet.JobAcquired && young
		waits := unsized || n.rec.State == fleet.JobWaiting && !b.held(n.rec)
		if waits && n.rec.CancelAt.IsZero() && old(n.since) && !b.python() {
			b.fault("I3: a job is asked for while job %d is %s", id.ID, n.rec.State)
		}
	}
	var sum fleet.Weight
	for _, n := range b.instances {
		if n.rec.State != fleet.InstanceGone && old(n.since) {
			sum += n.rec.Weight
		}
	}
	need := weights["XS"]
	for _, r := range b.w.cfg.Runners {
		if r.Name == runner && r.StrictAdmission {
			for _, weight := range weights {
				if weight <= b.w.quota() {
					need = max(need, weight)
				}
			}
		}
	}
	if quota := b.w.quota(); sum+need > quota {
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
		if there.ID == app && len(there.Files) > 0 {
			b.fault("I2: %s is started again", app)
		}
	}
}

// checkCredential: an organisation is shown its own credential and nobody else's.
func (b *book) checkCredential(organisation string, r *http.Request) {
	want := "canary-token-" + strings.TrimPrefix(organisation, "orga_")
	if organisation == clever.FirstOrganisation {
		want = clever.FirstToken
	}
	if _, got, _ := strings.Cut(r.Header.Get("Authorization"), " "); got != want && !b.python() && b.w.plainTokens {
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
	if rec, ok := b.of(app); ok {
		if rec.State != fleet.InstanceDeleting {
			b.fault("I4: %s is deleted and recorded as %s", app, rec.State)
		}
		return
	}
	for _, there := range b.w.clever.Applications() {
		if there.ID == app && hasMachine(there) && !b.python() {
			b.fault("I4: %s is deleted while a machine runs in it, and is not the one that is recorded", app)
		}
	}
}
