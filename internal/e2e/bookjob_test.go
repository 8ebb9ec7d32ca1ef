// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/store"
)

// jobMoves are the moves of jobs that docs/ARCHITECTURE.md allows, written down once more.
func jobMoves() map[fleet.JobState]string {
	return map[fleet.JobState]string{
		"acquired": "waiting failing finished", "waiting": "launching failing finished", "launching": "starting failing finished",
		"starting": "running failing finished", "running": "failing finished", "failing": "running finished", "finished": "closed",
	}
}

// checkJob holds a committed job to what was recorded and to what its coordinator knows.
func (b *book) checkJob(rec fleet.Job) {
	was, known := b.jobs[rec.JobID]
	old := was.rec
	if !known {
		b.checkNewJob(rec)
		return
	}
	if old.State != rec.State && !slices.Contains(strings.Fields(jobMoves()[old.State]), string(rec.State)) {
		b.fault("I1: job %d goes from %s to %s", rec.ID, old.State, rec.State)
	}
	if payer := "orga_" + rec.Namespace; rec.Tenant != "" && rec.Tenant != payer && (rec.Namespace == "one" || rec.Namespace == "two") && b.w.drawn && !b.w.purses {
		b.fault("I7: job %d of group %s is paid by %s", rec.ID, rec.Namespace, rec.Tenant)
	}
	if old.PrefixFrozen && (old.Prefix != rec.Prefix || !rec.PrefixFrozen) {
		b.fault("I1: what stands before the sub-runner's output of job %d is frozen, and changes from %q to %q", rec.ID, old.Prefix, rec.Prefix)
	}
	if old.Token.Reveal() != rec.Token.Reveal() && rec.State != fleet.JobClosed || old.Seq != rec.Seq {
		b.fault("I1: job %d changes its token or its place in the row", rec.ID)
	}
	if rec.State == fleet.JobRunning && len(rec.Payload) > 0 && b.w.drawn {
		b.fault("I7: job %d runs, and what it was granted with is still in the ledger", rec.ID)
	}
	if old.State == rec.State {
		return
	}
	if old.State == fleet.JobStarting && rec.State != fleet.JobRunning {
		b.checkOverlooked(rec)
	}
	switch rec.State {
	case fleet.JobStarting:
		if !rec.CancelAt.IsZero() {
			b.fault("I1: job %d is to start, and is known to be canceled", rec.ID)
		}
		b.checkFrozen(rec)
	case fleet.JobRunning:
		b.checkRuns(rec)
	case fleet.JobFailing:
		b.checkGivesUp(old, rec)
	case fleet.JobFinished:
		b.checkEnd(rec)
	case fleet.JobClosed:
		if vm, ok := b.instances[old.Owner.Key(rec.ID)]; ok && vm.rec.State != fleet.InstanceGone && vm.rec.State != fleet.InstanceKept {
			b.fault("I5: job %d is closed and its instance is %s", rec.ID, vm.rec.State)
		}
	}
}

// checkNewJob: a job comes into the ledger when it is acquired, or with its instance when
// that is adopted; each behind all before it.
func (b *book) checkNewJob(rec fleet.Job) {
	if rec.State != fleet.JobAcquired && rec.State != fleet.JobStarting {
		b.fault("I1: job %d comes into the ledger as %s", rec.ID, rec.State)
	}
	if rec.State == fleet.JobStarting {
		b.checkAdopted(rec)
	}
	mine, all := 1, 1
	for id, n := range b.jobs {
		if n.rec.Seq >= rec.Seq {
			b.fault("job %d is acquired after %d and stands before it", rec.ID, id.ID)
		}
		if n.rec.State != fleet.JobClosed {
			all++
			if n.rec.Owner == rec.Owner {
				mine++
			}
		}
	}
	i := b.w.runner(rec.Owner)
	// An open request reserves nothing, and what it brings may meet a job that was adopted
	// meanwhile, after a lost ledger: that waits then.
	if rec.State != fleet.JobAcquired || i < 0 || time.Since(b.reloaded) < 80*time.Second || b.w.forgot {
		return // a request may be held since before a reload
	}
	cfg := b.inForce()
	at := slices.IndexFunc(cfg.Runners, func(r config.Runner) bool { return r.Owner == rec.Owner })
	if at < 0 {
		return
	}
	if limit := cfg.Runners[at].Limit; limit > 0 && mine > limit {
		b.fault("I3: %d jobs of a runner are open, its limit is %d", mine, limit)
	}
	// An open request of another runner reserves nothing.
	if most := cfg.Concurrent + len(cfg.Runners) - 1; all > most {
		b.fault("I3: %d jobs are open, the limit is %d", all, cfg.Concurrent)
	}
}

// tellsNoTime: without the relay's settings an instance only tells when it was made, and its job may
// have waited for long before that.
func (w *world) tellsNoTime() bool { return w.cfg.Runners[0].SubRunner == config.ModeExec }

// checkAdopted: what is recorded of a job after a lost ledger is what was put on its instance.
func (b *book) checkAdopted(rec fleet.Job) {
	j, ok := b.truth(rec.JobID)
	switch {
	case !ok || b.python():
		return
	case !rec.PrefixFrozen:
		b.fault("I1: job %d is adopted, and its log is taken for not begun", rec.ID)
	case rec.Token.Empty() || j.AcquiredAt != nil && !b.shifted && !b.w.tellsNoTime() && rec.AcquiredAt.Sub(*j.AcquiredAt).Abs() > 5*time.Minute:
		b.fault("I1: job %d, acquired at %s, is adopted as acquired at %s", rec.ID, j.AcquiredAt, rec.AcquiredAt)
	}
	for _, app := range b.w.clever.Applications() {
		text, _ := app.Files["relay.json"].(string)
		_, rest, found := strings.Cut(text, `"prefix_bytes":`)
		if app.Name != rec.Owner.Key(rec.ID) || !found {
			continue
		}
		size, _, _ := strings.Cut(strings.TrimSpace(rest), ",")
		if size != strconv.FormatInt(rec.PrefixAcked, 10) {
			b.fault("I1: %s bytes stand before the output of job %d, which is adopted with %d", size, rec.ID, rec.PrefixAcked)
		}
	}
}

func (b *book) traceLost(id fleet.JobID) bool {
	_, lost := b.w.traceLost.Load(id)
	return lost
}

// checkFrozen: all our lines have arrived before the sub-runner begins to count.
func (b *book) checkFrozen(rec fleet.Job) {
	if j, ok := b.truth(rec.JobID); ok && !b.traceLost(rec.JobID) && !b.python() && j.Trace != rec.Prefix && j.FinishedAt == nil {
		b.fault("I1: job %d is to start, its trace is %q and not our lines %q", rec.ID, j.Trace, rec.Prefix)
	}
}

// checkRuns: what we wrote ourselves is no proof that a sub-runner works.
func (b *book) checkRuns(rec fleet.Job) {
	if j, ok := b.truth(rec.JobID); ok && !b.traceLost(rec.JobID) && !b.python() && int64(len(j.Trace)) <= rec.PrefixAcked {
		b.fault("I1: job %d is taken for running, and nothing but us has written to its trace", rec.ID)
	}
}

// checkOverlooked: a job whose sub-runner writes is soon known to run.
func (b *book) checkOverlooked(rec fleet.Job) {
	j, ok := b.truth(rec.JobID)
	if !ok || !b.w.calm || j.FirstOutputAt == nil || b.python() || time.Since(b.begun) < time.Minute {
		return
	}
	if since := time.Since(*j.FirstOutputAt); since > time.Minute {
		b.fault("I1: job %d is taken for one that has not begun, %s after its sub-runner wrote", rec.ID, since)
	}
}

// checkGivesUp: a job that its sub-runner answers for is not ended by us while the machine
// lives, unless it was canceled ten minutes ago.
func (b *book) checkGivesUp(old, rec fleet.Job) {
	b.checkReason(old, rec)
	vm, ok := b.instances[rec.Owner.Key(rec.ID)]
	i := max(0, b.w.runner(rec.Owner))
	early := old.State == fleet.JobStarting && rec.CancelAt.IsZero() && time.Since(rec.StartingAt) < b.w.cfg.Runners[i].TraceWatch.Timeout
	if old.State != fleet.JobRunning && !early || !ok || b.python() {
		return
	}
	if since, canceled := b.canceling[rec.JobID]; canceled && time.Since(since) > 9*time.Minute+59*time.Second {
		return
	}
	if j, ok := b.truth(rec.JobID); ok && j.AcquiredAt != nil && time.Since(*j.AcquiredAt) > rec.Timeout+10*time.Minute {
		return // its sub-runner should have ended it long ago
	}
	if b.w.hangs {
		return // what works and what hangs looks the same
	}
	for _, app := range b.existing(vm.rec) {
		works := hasMachine(app) || early && len(app.Files) > 0 && app.EndedAt == nil
		if works {
			b.fault("I1: job %d is given up (%s) while its sub-runner works on %s", rec.ID, rec.FailureText, app.Name)
		}
	}
}

// checkReason: the user reads why, and whether a retry may help; what is called a refusal of the
// platform is one.
func (b *book) checkReason(old, rec fleet.Job) {
	if !b.w.drawn {
		return
	}
	theirs := !rec.CancelAt.IsZero() || old.State == fleet.JobAcquired
	want := map[bool]string{false: "runner_system_failure", true: "script_failure"}[theirs && !strings.Contains(rec.FailureText, "Retry the job")]
	if rec.FailureReason != want && !(theirs && rec.FailureReason == "runner_system_failure") || len(rec.FailureText) < 20 {
		b.fault("I1: job %d fails with reason %q and the text %q", rec.ID, rec.FailureReason, rec.FailureText)
	}
	if strings.Contains(rec.FailureText, "The platform refuses") && !b.lines.own && len(b.w.renamed) == 0 {
		b.fault("I1: job %d fails since the platform refused (%s), which it did not", rec.ID, rec.FailureText)
	}
	if strings.Contains(rec.FailureText, "No instance was free") {
		b.parkedTooLong[rec.Runner] = time.Now()
	}
	many := b.w.cfg.Runners[0].Clever.MultiTenant
	if key := rec.Owner.Key(rec.ID); many && strings.Contains(rec.FailureText, "The platform refuses to make") && b.lines.unasked[key] == 1 && !b.lines.refused[key] {
		b.fault("I8: job %d fails though its tenant's credential was not read again", rec.ID)
	}
	named := rec.Namespace == "one" || rec.Namespace == "two"
	if lacks := strings.Contains(rec.FailureText, "has no attribute"); lacks && named && !b.w.poor.Load() && time.Since(time.Unix(0, b.w.richAgain.Load())) > time.Minute {
		b.fault("I8: job %d fails since nobody pays (%s), and its group has an organisation", rec.ID, rec.FailureText)
	}
}

// checkEnd: a job's end is what its coordinator says, or what it must have said by now.
func (b *book) checkEnd(rec fleet.Job) {
	j, ok := b.truth(rec.JobID)
	late := j.AcquiredAt != nil && time.Since(*j.AcquiredAt) > rec.Timeout+14*time.Minute
	switch {
	case !ok || b.python():
	case rec.Result == "unknown" && b.w.drawn && !late:
		if why := b.mayBeEnded(rec.JobID); why != "" {
			b.fault("I1: job %d is taken for ended, %s (it is %s)", rec.ID, why, j.Status)
		}
	case j.FinishedAt == nil && j.AcquiredAt != nil && time.Since(*j.AcquiredAt) < rec.Timeout+15*time.Minute:
		b.fault("I1: job %d is taken for ended (%s), and is %s", rec.ID, rec.Result, j.Status)
	case j.FinishedAt != nil && rec.Result != j.Status && rec.Result != "unknown":
		b.fault("I1: job %d is taken for %s, and is %s", rec.ID, rec.Result, j.Status)
	}
}

// checkSize sees that no job is let wait that is heavier than all that may be in use.
func (b *book) checkSize(change store.Change) {
	for _, rec := range change.Jobs {
		if quota := quotaOf(b.loosest()); change.Name == "size" && rec.Weight > quota {
			b.fault("I3: job %d is to wait for room, weighs %s, and the quota is %s", rec.ID, rec.Weight, quota)
		}
	}
}

// checkLaunch holds the ceilings by what is recorded, at the commit that launches.
func (b *book) checkLaunch(change store.Change) {
	if change.Name != "launch" || len(change.Instances) != 1 || len(change.Jobs) != 1 {
		return
	}
	cfg, now := b.loosest(), time.Now()
	var sum fleet.Weight
	count, provisioning := 0, 0
	for _, n := range b.instances {
		if n.rec.State != fleet.InstanceGone {
			sum += n.rec.Weight
			count++
		}
	}
	for _, n := range b.jobs {
		if (n.rec.State == fleet.JobLaunching || n.rec.State == fleet.JobStarting) && !b.orphan(n.rec) {
			provisioning++
		}
		if n.rec.State == fleet.JobWaiting && n.rec.Seq < change.Jobs[0].Seq && n.rec.CancelAt.IsZero() && !b.held(n.rec) && !b.orphan(n.rec) {
			b.fault("job %d is launched before job %d, which was acquired earlier", change.Jobs[0].ID, n.rec.ID)
		}
	}
	for _, r := range b.inForce().Runners {
		if b.w.drawn && now.Sub(b.begun) < 2*time.Minute && time.Since(b.reloaded) > 2*time.Minute && !b.hasListed(r.Name) {
			b.fault("I3: job %d is launched before the instances of runner %s were listed", change.Jobs[0].ID, r.Name)
		}
	}
	for _, app := range b.strangers() {
		if weight := weights[strings.TrimPrefix(app.Flavor, "heptapod-runner-")]; weight > 0 {
			sum += weight
			continue
		}
		sum += weights["3XL"]
	}
	if quota := quotaOf(cfg); sum > quota {
		b.fault("I3: instances of weight %s are there at a launch, the quota is %s", sum, quota)
	}
	if count > cfg.Concurrent {
		b.fault("I3: %d instances are recorded at a launch, the limit is %d", count, cfg.Concurrent)
	}
	if provisioning > cfg.MaxProvisioning {
		b.fault("I3: %d instances are being made, the limit is %d", provisioning, cfg.MaxProvisioning)
	}
	if apart := now.Sub(b.launched); apart < cfg.MinBetweenLaunches-time.Microsecond && // times in the ledger are cut
		!b.shifted && !b.forgot {
		b.fault("I3: two launches are %s apart, want %s", apart, cfg.MinBetweenLaunches)
	}
	b.launched = now
}
