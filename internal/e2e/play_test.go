// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/sim/clever"
)

// history is what became of a plan.
type history struct {
	trail  []string // every crash point passed, with its time
	cuts   []string // the points at which lives were cut
	wrong  []string // what broke an invariant
	struck []string // the mishaps that befell a call
	story  string   // all that happened, for people
}

// ends are all final states.
func ends() []string { return []string{"success", "failed", "canceled"} }

// planned time: nothing of a plan begins later, the end of an hour's outage included.
const plannedTime = 75 * time.Minute

// play plays a plan.
func (p plan) play(t *testing.T, seed uint64) (h history) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed)
		defer w.close()
		w.shape(p.layout)
		w.know(p)
		for _, j := range p.jobs {
			w.done.Go(func() { w.userQueues(j, w.calm) })
		}
		for _, d := range p.deeds {
			w.done.Go(func() {
				time.Sleep(d.at)
				w.story.note("-- %s", d.name)
				d.do(w)
				if d.undo != nil {
					time.Sleep(d.until - d.at)
					w.story.note("-- ends: %s", d.name)
					d.undo(w)
				}
			})
		}
		for _, d := range p.deaths {
			h.cuts = append(h.cuts, w.die(d)...)
		}
		w.done.Go(w.looksNowAndThen)
		if p.layout.keep != "" {
			w.done.Go(w.tidiesUp)
		}
		w.begin("")
		time.Sleep(w.planned(p)) // until all that was planned has happened
		if slices.ContainsFunc(p.deeds, func(d deed) bool { return d.name == otherOrganisation }) {
			// What was made while the group belonged to the other organisation goes when it
			// belongs to it again, and not before.
			w.swapTenants(true)
			time.Sleep(20 * time.Minute)
			w.swapTenants(false)
			time.Sleep(10 * time.Minute)
			w.release() // it was blown for the other account
			if w.forgot {
				time.Sleep(25 * time.Hour) // without a record, groups are looked through once a day
			}
		}
		if slices.ContainsFunc(p.deeds, func(d deed) bool { return d.jump || w.forgot && strings.HasPrefix(d.name, "planted") }) {
			w.release() // somebody looks at last
		}
		w.tellRotated() // to a service that was down when it was told
		if !w.quiet(patience) {
			h.wrong = append(h.wrong, fmt.Sprintf("not quiet: %+v", w.life.manager.Status()))
		}
		w.lookAtFigures()
		h.wrong = append(h.wrong, w.check()...)
		w.end()
		time.Sleep(2 * time.Minute) // a call that a mishap holds may outlive its client
		h.struck = w.allStruck()
		h.trail, h.story = w.story.trail(), w.story.tell()
	})
	return h
}

// planned is when the last thing of the plan has begun.
func (w *world) planned(p plan) time.Duration {
	last := 15 * time.Minute
	for _, d := range p.deeds {
		last = max(last, d.at+time.Minute, d.until+time.Minute)
	}
	return min(last, plannedTime)
}

// userQueues queues a job at its time and cancels it if the plan says so.
func (w *world) userQueues(j planned, calm bool) {
	time.Sleep(j.at)
	want := ends()
	if calm && j.want != "" {
		want = []string{j.want}
	}
	place := w.places[0]
	if j.second {
		place = w.places[len(w.places)-1]
	}
	id := w.queueAt(place, j.body, want...).id
	w.story.note("-- job %d is queued at %s: %v", id, place, j.body)
	if j.cancel > 0 {
		time.Sleep(j.cancel)
		w.story.note("-- job %d is canceled", id)
		w.canceled.Store(fleet.JobID{Coordinator: place, ID: id}, time.Now())
		w.control("POST", fmt.Sprintf("%s/_sim/jobs/%d/cancel", place, id), map[string]any{}, nil)
	}
}

// shape gives the world its layout.
func (w *world) shape(l layout) {
	w.cfg.Concurrent, w.cfg.MaxProvisioning, w.cfg.MinBetweenLaunches, w.cfg.MaxParked = l.concurrent, l.provisioning, l.between, l.parked
	w.cfg.Quota.ReferenceJobs = l.reference
	w.cfg.KeepFinished, w.cfg.DecommissionLaunchFailures = l.keep == "all", l.keep != "failed"
	if l.tenants {
		w.manyTenants()
	}
	if l.overseen {
		w.overseen()
	}
	if l.crowd {
		w.crowd()
	}
	first := &w.cfg.Runners[0]
	first.Limit, first.StrictAdmission = l.limit, l.strict
	if l.exec {
		first.SubRunner = config.ModeExec
	}
	switch l.second {
	case "same":
		w.addRunner("second", "glrt-canary-second", gitlabURL)
	case "another":
		w.coordinator(heptapodURL)
		if l.tenants {
			w.attributesAt(heptapodURL, "one", "orga_one", "canary-token-one")
			w.attributesAt(heptapodURL, "two", "orga_two", "canary-token-two")
		}
		w.addRunner("second", "glrt-canary-second", heptapodURL)
	}
}

// die lives one life to the end that the plan gives it, and tells where it was cut.
func (w *world) die(d death) (cut []string) {
	f := &fate{after: d.points, kinds: d.kinds}
	if d.term > 0 {
		f.after = 0
	}
	w.beginFate(f)
	if d.term > 0 {
		time.Sleep(d.term)
		f.cutSoon(d.points)
	} else {
		w.untilCut(6 * time.Minute)
	}
	w.end()
	if f.cut != "" {
		cut = append(cut, f.cut)
		w.cuts = append(w.cuts, powerCut{f.cutAt, f.cut})
		w.endings = append(w.endings, f.cutAt)
	}
	w.story.note("-- life %d has ended; the next begins after %s", w.lives, d.pause)
	if d.forget {
		w.story.note("-- the ledger is lost")
		w.lose()
	}
	if d.young {
		w.watch.lies.youngLists(d.pause + 4*time.Minute)
	}
	if d.shift != 0 && !d.forget {
		w.shift(d.shift)
	}
	time.Sleep(d.pause)
	return cut
}

// lose removes the ledger between two lives.
func (w *world) lose() {
	w.forgot = true
	w.losses++
	w.book.lost()
	files, err := filepath.Glob(w.cfg.StateFile + "*")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			w.t.Fatal(err)
		}
	}
}

// reloadNow changes the configuration, of the running life if there is one, and of those
// to come.
func (w *world) reloadNow(change func(c *config.Config)) {
	w.awake(119 * time.Microsecond)
	w.lifeMu.Lock()
	defer w.lifeMu.Unlock()
	next := *w.current()
	next.Runners = slices.Clone(next.Runners)
	change(&next)
	w.book.reloads(w.current(), &next)
	w.present = &next
	w.reloaded.Store(true)
	if w.life == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if w.life.manager.Reload(ctx, &next) != nil { // a life that has ended, or can't write
		w.book.reloadFailed()
		return
	}
	w.book.reloads(&next, &next)
}

// current is the configuration as it was last changed.
func (w *world) current() *config.Config {
	if w.present != nil {
		return w.present
	}
	return w.cfg
}

// release releases the fuse, as an operator who has looked.
func (w *world) release() {
	w.awake(227 * time.Microsecond)
	w.lifeMu.Lock()
	defer w.lifeMu.Unlock()
	if w.life != nil {
		w.releases.Add(1)
		if w.life.manager.ReleaseFuse() == nil { // there may be nobody to do it, or no room to write it down
			w.watch.forgetsJump(nil)
		}
	}
}

// lookAlikes puts applications of others beside ours.
func (w *world) lookAlikes() {
	prefix := w.cfg.Runners[0].Owner.KeyPrefix()
	for _, name := range []string{"hpd-job-aaaaaaaaaa-100001", prefix + "100001-x", prefix + "one", prefix, "hpd-job-kvzWdEMo-100001", "production"} {
		if _, err := w.clever.AddForeign(clever.FirstOrganisation, name); err != nil {
			w.t.Error(err)
		}
	}
}

// vanish deletes an application of ours as somebody with a console would.
func (w *world) vanish(which int) {
	var alive []clever.Application
	for _, app := range w.clever.Applications() {
		if app.State != "deleted" && w.ours(app.Name) {
			alive = append(alive, app)
		}
	}
	if len(alive) == 0 {
		return
	}
	w.removeByHand(alive[which%len(alive)])
}

// removeByHand deletes an application without a word to the service.
func (w *world) removeByHand(app clever.Application) {
	token := w.tokenOf(app.Organisation)
	for range 20 { // a mishap may be in the way of people too, for a while
		r, err := http.NewRequest(http.MethodDelete, "/v2/organisations/"+app.Organisation+"/applications/"+app.ID, nil)
		if err != nil {
			w.t.Error(err)
			return
		}
		r.Header.Set("Authorization", "token "+token)
		if w.byHand(r) && w.isDeleted(app) {
			return
		}
		time.Sleep(11 * time.Second)
	}
	w.t.Errorf("%s can't be deleted by hand", app.Name)
}

// isDeleted: a page that says "not found" does not deceive people.
func (w *world) isDeleted(app clever.Application) bool {
	return !slices.ContainsFunc(w.clever.Applications(), func(other clever.Application) bool { return other.ID == app.ID && other.State != "deleted" })
}

// byHand sends what somebody with a console does; false when a mishap is in the way.
func (w *world) byHand(r *http.Request) (done bool) {
	defer func() {
		if cut := recover(); cut != nil && cut != http.ErrAbortHandler { //nolint:errorlint // it is that very value
			panic(cut)
		}
	}()
	got := perform(r, w.clever)
	return got.Code == http.StatusOK || got.Code == http.StatusNotFound
}

// know tells the world, and those who watch it, what of a plan matters to what must hold.
func (w *world) know(p plan) {
	has := func(is func(d deed) bool) bool { return slices.ContainsFunc(p.deeds, is) }
	forgets := slices.ContainsFunc(p.deaths, func(d death) bool { return d.forget })
	shifts := slices.ContainsFunc(p.deaths, func(d death) bool { return d.shift != 0 })
	w.drawn, w.plainTokens, w.calm = true, true, p.calm()
	w.bounded = !forgets && !shifts && !has(func(d deed) bool { return !d.gentle && !d.bounded })
	w.longOutage = has(func(d deed) bool {
		return d.until-d.at > 20*time.Minute || d.dropped || strings.HasPrefix(d.name, ignoreDelete) // a job's instance goes before its end is reported
	})
	w.hangs = has(func(d deed) bool { return strings.HasPrefix(d.name, "machine hangs") })
	// A sub-runner without a relay believes a proxy's 200 to its result.
	w.unrelayed = p.layout.exec && has(func(d deed) bool { return strings.HasPrefix(d.name, "garbage: PUT") })
	w.hides = has(func(d deed) bool { return d.hiding })
	w.purses = has(func(d deed) bool { return d.purse })
	w.pursesOnly = !forgets && !shifts && !has(func(d deed) bool { return !d.gentle && !d.bounded && !d.purse })
	w.lenient = has(func(d deed) bool { return d.lenient || d.hiding && forgets })
}

// loseTrace lets the coordinator forget half of what a running job's trace holds.
func (w *world) loseTrace(which int) {
	var open []simJob
	for _, j := range w.simJobs() {
		if j.AcquiredAt != nil && j.FinishedAt == nil {
			open = append(open, j)
		}
	}
	if len(open) == 0 {
		return
	}
	j := open[which%len(open)]
	w.traceLost.Store(fleet.JobID{Coordinator: j.place, ID: j.ID}, true)
	w.servers[j.place].LoseTrace(j.ID, len(j.Trace)/2)
}
