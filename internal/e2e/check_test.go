// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/gitlab"
	"heptapod-paas-runner/internal/store"
)

// watcher sees every request to the cloud and notes at once what no later look could
// find: an instance that is created before it is recorded, a ceiling exceeded for a
// moment, a foreign application asked to be deleted.
type watcher struct {
	w      *world
	ledger atomic.Pointer[store.Store]
	mu     sync.Mutex
	faults []string
	lies   lies
	heard  func(*http.Request) // of all that the cloud is sent; nil = nobody listens
	jumped map[string]bool     // ids of what stood in a record when the clock jumped; nil = it did not
}

func newWatcher(w *world) *watcher { return &watcher{w: w} }

func (c *watcher) fault(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// cloud stands in front of the simulated cloud.
func (c *watcher) cloud(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/applications") {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			c.checkRecorded(string(body))
		}
		if r.Method == http.MethodDelete {
			c.checkOurs(r.URL.Path)
			c.checkJumped(r.URL.Path)
		}
		if c.heard != nil {
			c.heard(r)
		}
		c.w.book.cloud(r)
		c.lies.answer(rw, r, next)
		c.checkCeilings()
	})
}

// coordinator stands in front of the simulated GitLab: when we end a job ourselves, the
// instance on which it was started must be gone already, or its sub-runner could speak
// after us.
func (c *watcher) coordinator(place string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		ours := strings.HasPrefix(r.UserAgent(), "heptapod-paas-runner")
		if status := c.lies.denies(r); ours && status != 0 {
			write(rw, status, fmt.Sprintf(`{"message":"%d %s"}`, status, http.StatusText(status)))
			return
		}
		if _, rest, ok := strings.Cut(r.URL.Path, "/api/v4/jobs/"); ok && r.Header.Get(callHeader) != "" && rest != "request" {
			id, _, _ := strings.Cut(rest, "/")
			c.w.book.acts(place, id)
		}
		if r.Method == http.MethodPut && ours {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			id := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
			c.w.book.touches(place, id)
			if strings.Contains(string(body), `"failed"`) {
				c.checkSilenced(place, id)
				c.w.book.ends(place, id, string(body))
				if c.lies.take(pageEnd) {
					write(rw, http.StatusOK, "{}")
					return
				}
				if c.lies.take(acceptEnd) {
					rw.Header().Set("Job-Status", "running")
					write(rw, http.StatusAccepted, "202")
					return
				}
			}
		}
		if r.Method == http.MethodPatch && ours {
			c.w.book.writes(place, r)
		}
		if ours && strings.HasSuffix(r.URL.Path, "/jobs/request") {
			c.lies.grant(rw, r, next)
			return
		}
		next.ServeHTTP(rw, r)
	})
}

func (c *watcher) checkSilenced(place, id string) {
	for _, app := range c.w.clever.Applications() {
		if owner, n, ok := fleet.ParseKey(app.Name); !ok || strconv.FormatInt(n, 10) != id || !c.w.from(place, owner) {
			continue
		}
		if rec, ok, err := c.ledger.Load().Instance(c.w.t.Context(), app.Name); err != nil || ok && rec.State == fleet.InstanceKept || c.w.isForgotten(app.Name) {
			continue // nobody waits for what stays
		}
		if c.w.ours(app.Name) && app.State != "deleted" && app.StartedAt != nil {
			c.fault("I2: job %s is ended by us while %s, on which it was started, is %s", id, app.Name, app.State)
		}
	}
}

// from tells whether an owner mark may be that of a runner of this coordinator.
func (w *world) from(place string, owner fleet.Owner) bool {
	i := w.runner(owner)
	return i < 0 || w.cfg.Runners[i].Coordinator == place
}

// checkRecorded holds I2: the instance stands in the ledger before the call arrives.
func (c *watcher) checkRecorded(body string) {
	_, rest, _ := strings.Cut(body, `"name":"`)
	key, _, _ := strings.Cut(rest, `"`)
	rec, ok, err := c.ledger.Load().Instance(c.w.t.Context(), key)
	if err == nil && (!ok || rec.Creates == 0 || rec.Weight == 0) {
		c.fault("I2: %q is created though the ledger does not say so: %+v", key, rec)
	}
	if flavor := `"maxFlavor":"heptapod-runner-` + rec.Flavor + `"`; err == nil && ok && !strings.Contains(body, flavor) {
		c.fault("I3: %q is recorded with flavor %s and created as %s", key, rec.Flavor, body)
	}
}

// checkOurs holds I4: only what carries exactly one of our keys is asked to be deleted.
func (c *watcher) checkOurs(path string) {
	for _, app := range c.w.clever.Applications() {
		if strings.HasSuffix(path, "/"+app.ID) {
			if !c.w.ours(app.Name) {
				c.fault("I4: %s (%s) is asked to be deleted and is not ours", app.ID, app.Name)
			}
		}
	}
}

// weights are what flavors count, in thousandths (seed 000), worked out apart from the
// program.
var weights = map[string]fleet.Weight{"XS": 2378, "S": 5657, "M": 13454, "L": 22335, "XL": 32000, "2XL": 53121, "3XL": 76109}

// quota is the weight that may exist at once.
func (w *world) quota() fleet.Weight {
	return weights[w.cfg.Quota.ReferenceFlavor] * fleet.Weight(w.cfg.Quota.ReferenceJobs)
}

// checkCeilings holds I3 by what exists in the cloud, not by what we think.
func (c *watcher) checkCeilings() {
	var sum fleet.Weight
	count := map[string]int{}
	for _, app := range c.w.clever.Applications() {
		if app.State == "deleted" || !c.w.ours(app.Name) || c.w.isPlanted(app.Name) || c.w.isForgotten(app.Name) {
			continue
		}
		sum += weights[strings.TrimPrefix(app.Flavor, "heptapod-runner-")]
		count[app.Name]++
	}
	quota := c.w.quota()
	if c.w.lenient {
		return
	}
	// What is there may be more than a new quota, and what is left in an organisation that its
	// group does not name any more is not known after a lost ledger.
	if sum > quota && !c.w.reloaded.Load() && !(c.w.forgot && c.w.purses) {
		c.fault("I3: the instances weigh %s, the quota is %s", sum, quota)
	}
	for name, n := range count {
		if n > 1 {
			c.fault("I2: %d instances carry the key %s", n, name)
		}
	}
}

// check looks at everything when all is quiet and gives what is wrong.
func (w *world) check() []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	wrong = append(wrong, w.watch.faults...)
	lost := w.lostAtAcquisition()
	for _, j := range w.simJobs() {
		o, ordered := w.order(j)
		id := fleet.JobID{Coordinator: j.place, ID: j.ID}
		switch {
		case j.FinishedAt == nil:
			say("I1: job %d has no end: %s", j.ID, j.Status)
		case lost[id] && w.wasTaken(id, *j.AcquiredAt) && !w.book.cares(j):
			say("I1: job %d was granted to a service that lived on, which neither recorded nor ended it", j.ID)
		case lost[id] && w.wasTaken(id, *j.AcquiredAt) && w.droppedByServer(j) && w.livedFor(*j.AcquiredAt, 35*time.Minute):
			say("I1: job %d was granted to a service that lived on, which left its end to the coordinator (%s)", j.ID, j.FailureReason)
		case lost[id]:
			if (w.calm || w.bounded) && j.Status != "canceled" && w.sees(j.place) && w.livedOn(*j.AcquiredAt) {
				say("I1: job %d was lost at acquisition, and ended %s (%s), though the service may look for such jobs", j.ID, j.Status, j.FailureReason)
			}
			if !w.forgot && j.Status != "failed" && j.Status != "canceled" {
				say("I1: job %d was lost at acquisition, and ended %s", j.ID, j.Status)
			}
		case w.droppedByServer(j):
			say("I1: job %d was dropped by its coordinator (%s): nobody reported its end; its trace:\n%s", j.ID, j.FailureReason, j.Trace)
		case ordered && !slices.Contains(o.want, j.Status):
			say("I1: job %d ended %s (%s), want %v; its trace:\n%s", j.ID, j.Status, j.FailureReason, o.want, j.Trace)
		}
		if n := strings.Count(j.Trace, "Running with gitlab-runner"); n > 1 {
			say("I2: job %d was run %d times", j.ID, n)
		}
		wrong = append(wrong, w.checkKept(j)...)
		wrong = append(wrong, w.checkTrace(j)...)
	}
	for name, n := range w.bench.started {
		if n > 1 {
			say("I2: %d sub-runners were started for %s", n, name)
		}
	}
	for _, app := range w.clever.Applications() {
		ours := w.ours(app.Name)
		switch {
		case w.isPlanted(app.Name):
		case ours && app.State != "deleted":
			say("I5: %s is left, state %s", app.Name, app.State)
		case !ours && app.State == "deleted":
			say("I4: %s was deleted and is not ours", app.Name)
		}
		wrong = append(wrong, checkSecrets(app)...)
	}
	wrong = append(wrong, w.checkPlanted()...)
	w.logMu.Lock()
	defer w.logMu.Unlock()
	for _, canary := range append(canaries(), "glcbt-") {
		if strings.Contains(w.log.String(), canary) {
			say("I7: the log holds %q", canary)
		}
	}
	return wrong
}

// lostAtAcquisition finds the jobs that were granted to a process that died before the
// commit: the one gap that I1 names.
func (w *world) lostAtAcquisition() map[fleet.JobID]bool {
	lost := map[fleet.JobID]bool{}
	for _, j := range w.simJobs() {
		if j.AcquiredAt == nil {
			continue
		}
		id := fleet.JobID{Coordinator: j.place, ID: j.ID}
		if _, known, err := w.life.store.Job(w.t.Context(), id); err == nil && !known && w.mayBeLost(id, *j.AcquiredAt) {
			lost[id] = true
		}
	}
	return lost
}

// mayBeLost tells whether a job that was granted at that time may not be in the ledger: the
// power was cut before its answer was there or while it was committed, or answers did not
// arrive at all.
func (w *world) mayBeLost(id fleet.JobID, at time.Time) bool {
	if !w.calm || w.forgot {
		return true
	}
	_, granted := w.grants.Load(id)
	return slices.ContainsFunc(w.cuts, func(cut powerCut) bool {
		return cut.at.Sub(at).Abs() < time.Second && (!granted || strings.HasPrefix(cut.point, "commit acquire/"))
	})
}

// sees tells whether the service may see which jobs its runners have.
func (w *world) sees(place string) bool {
	return slices.ContainsFunc(w.cfg.Runners, func(r config.Runner) bool {
		return r.Coordinator == place && (!r.Clever.NamespaceToken.Empty() || !r.TraceWatch.Token.Empty())
	})
}

// livedFor tells whether no life ended for so long after a time.
func (w *world) livedFor(at time.Time, long time.Duration) bool {
	return !slices.ContainsFunc(w.endings, func(end time.Time) bool { return end.After(at.Add(-time.Second)) && end.Sub(at) < long })
}

// livedOn tells whether lives went on long enough after a time for a job to be looked for.
func (w *world) livedOn(at time.Time) bool {
	last := w.life.begun
	return last.Sub(at) < 20*time.Minute
}

// wasTaken tells whether a job that was granted at that time reached a service that lived
// for a minute more: it may not be able to record the job, but it can end it.
func (w *world) wasTaken(id fleet.JobID, at time.Time) bool {
	_, granted := w.grants.Load(id)
	return granted && w.livedFor(at, time.Minute)
}

// droppedByServer tells whether the coordinator ended a job because nobody spoke for it:
// that must not happen to a job that we know of.
func (w *world) droppedByServer(j simJob) bool {
	silent := j.FailureReason == "no_updates_running" && !w.hangs // a machine that hangs says as little as one that works
	return !w.forgot && !w.longOutage && !w.book.shifted && (silent || j.FailureReason == "server_timeout_running")
}

// plantedID is where the ids of jobs begin whose instances were planted.
const plantedID = 900001

// plant puts applications under keys of ours into the cloud that no job of ours ever had,
// as a bug in this program or a copy of its token could.
func (w *world) plant(n int) {
	first := plantedID + 100*int64(w.plantings.Add(1))
	for i := range int64(n) {
		if _, err := w.clever.AddForeign(w.cloudOrg(), w.cfg.Runners[0].Owner.Key(first+i)); err != nil {
			w.t.Error(err)
		}
	}
}

// clear takes away what was planted and is still there; it counts how many were destroyed
// until then.
func (w *world) clear() {
	for _, app := range w.clever.Applications() {
		if _, again := w.cleared.LoadOrStore(app.ID, true); again || !w.isPlanted(app.Name) {
			continue
		}
		if app.State == "deleted" {
			w.plantedGone.Add(1)
			continue
		}
		w.removeByHand(app)
	}
}

// cloudOrg is an organisation whose instances the first runner looks after.
func (w *world) cloudOrg() string {
	if w.cfg.Runners[0].Clever.MultiTenant {
		return "orga_one"
	}
	return clever.FirstOrganisation
}

func (w *world) isPlanted(name string) bool {
	_, id, ok := fleet.ParseKey(name)
	return ok && id >= plantedID
}

// checkPlanted holds the fuse of I4: no more than five unrecorded instances, or a quarter
// of all, go within ten minutes unless somebody releases it.
func (w *world) checkPlanted() []string {
	gone := int(w.plantedGone.Load())
	if most := 6 * (max(1, int(w.plantings.Load())) + int(w.releases.Load()) + w.losses); gone > most {
		return []string{fmt.Sprintf("I4: %d unrecorded instances were destroyed, the fuse allows %d", gone, most)}
	}
	return nil
}

// checkTrace looks for lines of ours that stand twice, or text that is cut.
func (w *world) checkTrace(j simJob) []string {
	var wrong []string
	lines := map[string]int{}
	last := ""
	for line := range strings.Lines(j.Trace) {
		if !strings.Contains(line, "heptapod-paas-runner:") {
			continue
		}
		if line == last || !strings.Contains(line, "waiting for ") { // reasons to wait may take turns
			lines[line]++
		}
		last = line
	}
	if _, lost := w.traceLost.Load(fleet.JobID{Coordinator: j.place, ID: j.ID}); lost {
		return nil
	}
	if strings.Contains(j.Trace, "Running with gitlab-runner") && w.cfg.Runners[0].SubRunner == config.ModeRelay && !w.forgot {
		for _, said := range []string{"; flavor ", "creating an instance of flavor", "starting the job on it", "job handed to gitlab-runner"} {
			if strings.Count(j.Trace, said) != 1 {
				wrong = append(wrong, fmt.Sprintf("job %d: %q stands %d times in its trace:\n%s", j.ID, said, strings.Count(j.Trace, said), j.Trace))
			}
		}
	}
	for line, n := range lines {
		if n > 1 || strings.Contains(line, "waiting for ") {
			wrong = append(wrong, fmt.Sprintf("job %d: a line stands %d times in its trace: %q", j.ID, n, line))
		}
	}
	return wrong
}

// canaries are the credentials of all worlds: none may leave the service.
func canaries() []string {
	return []string{gitlab.RunnerToken, gitlab.AdminToken, clever.FirstToken, "canary-token", "glrt-canary-second"}
}

// checkSecrets holds I7 for what an instance was given.
func checkSecrets(app clever.Application) []string {
	var wrong []string
	for path, content := range app.Files {
		for _, canary := range canaries() {
			if strings.Contains(fmt.Sprint(content), canary) {
				wrong = append(wrong, fmt.Sprintf("I7: %s of %s holds %q", path, app.Name, canary))
			}
		}
	}
	for name, value := range app.Env {
		if slices.ContainsFunc(canaries(), func(canary string) bool { return strings.Contains(value, canary) }) {
			wrong = append(wrong, fmt.Sprintf("I7: the environment variable %s of %s holds a token", name, app.Name))
		}
	}
	return wrong
}

// patience is how long a world may take to come to rest: longer than the coordinator
// needs to end a job that nobody answers for.
const patience = 3 * time.Hour
