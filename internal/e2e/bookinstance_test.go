// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/store"
)

// instanceMoves are the moves of instances that docs/ARCHITECTURE.md allows, written down
// once more.
func instanceMoves() map[fleet.InstanceState]string {
	return map[fleet.InstanceState]string{
		"intended": "creating gone", "creating": "created unknown intended gone", "unknown": "created intended deleting gone",
		"created": "started deleting kept gone", "started": "deleting kept gone", "deleting": "gone", "kept": "deleting gone", "gone": "deleting",
	}
}

// checkInstance holds a committed instance to what was recorded and to what the cloud has.
func (b *book) checkInstance(rec fleet.Instance, change store.Change) {
	if _, _, python := fleet.ParsePythonKey(rec.Key); python || b.python() {
		return
	}
	was, known := b.instances[rec.Key]
	old := was.rec
	want, offered := weights[rec.Flavor]
	if !offered {
		want = weights["3XL"] // what is not known counts like the heaviest
	}
	if rec.Weight != want {
		b.fault("I3: %s of flavor %q weighs %s in the ledger, want %s", rec.Key, rec.Flavor, rec.Weight, want)
	}
	if !known || old.State == fleet.InstanceGone {
		b.checkNewInstance(rec, change, known)
		return
	}
	if old.State != rec.State && !slices.Contains(strings.Fields(instanceMoves()[old.State]), string(rec.State)) {
		b.fault("I2: %s goes from %s to %s", rec.Key, old.State, rec.State)
	}
	if old.Tenant != rec.Tenant || old.Owner != rec.Owner || old.Job != rec.Job {
		b.fault("I2: %s changes hands: from %+v to %+v", rec.Key, old, rec)
	}
	if old.Started && (!rec.Started || !bytes.Equal(old.Handle, rec.Handle)) {
		b.fault("I2: %s was started, and its handle changes from %s to %s", rec.Key, old.Handle, rec.Handle)
	}
	if rec.State == fleet.InstanceUnknown && len(rec.Handle) == 0 && b.lines.made[rec.Key] && b.making[rec.Key] && b.failures == 0 {
		b.fault("I2: the creation of %s was answered, and its handle is not recorded", rec.Key)
	}
	if old.State == rec.State {
		return
	}
	if old.State == fleet.InstanceKept && rec.State == fleet.InstanceDeleting {
		b.fault("I5: %s is kept, and destroyed", rec.Key)
	}
	b.checkKeep(old, rec)
	switch rec.State {
	case fleet.InstanceCreating:
		b.checkBreaker(rec)
	case fleet.InstanceIntended, fleet.InstanceGone:
		b.checkAbsent(old, rec)
	case fleet.InstanceStarted:
		b.checkStarted(rec)
	case fleet.InstanceDeleting:
		b.checkUnneeded(rec, change)
	}
}

// checkNewInstance: an instance comes into the ledger before its creation, or proven ours.
func (b *book) checkNewInstance(rec fleet.Instance, change store.Change, known bool) {
	switch rec.State {
	case fleet.InstanceIntended:
		if known {
			b.fault("I2: %s is launched again after it was gone", rec.Key)
		}
	case fleet.InstanceStarted:
		for _, app := range b.existing(rec) {
			if len(app.Files) == 0 {
				b.fault("I6: %s is adopted as started, and nothing was put on it", rec.Key)
			}
		}
	case fleet.InstanceDeleting:
		if !known { // else it was destroyed, and is back
			b.checkTakenOver(rec)
		}
	default:
		b.fault("I2: %s comes into the ledger as %s by %q", rec.Key, rec.State, change.Name)
	}
}

// checkTakenOver: an unrecorded instance is taken over to be destroyed when two lists, half
// a minute apart, have shown it ended, or not started and two minutes old; and while the
// fuse allows it.
func (b *book) checkTakenOver(rec fleet.Instance) {
	now := time.Now()
	for _, app := range b.existing(rec) {
		since := app.CreatedAt
		switch {
		case app.StartedAt == nil && now.Sub(app.CreatedAt) < 2*time.Minute && !b.shifted:
			b.fault("I4: %s is destroyed %s after it was made: its record may be on its way", rec.Key, now.Sub(app.CreatedAt))
		case app.StartedAt != nil && app.EndedAt == nil:
			b.fault("I6: %s is in no record and destroyed while it is %s", rec.Key, app.State)
		case app.EndedAt != nil:
			since = *app.EndedAt
		}
		if n, apart := b.listsSince(app.Organisation, since); n < 2 || apart < 29*time.Second {
			b.fault("I4: %s is in no record and destroyed after %d lists within %s", rec.Key, n, apart)
		}
	}
	if b.blown[""] || b.blown[rec.Tenant] {
		b.fault("I4: %s is in no record and destroyed though the fuse is blown", rec.Key)
	}
	recent := slices.DeleteFunc(slices.Clone(b.passed), func(at time.Time) bool { return now.Sub(at) >= 10*time.Minute })
	inventory := 0
	for _, app := range b.w.clever.Applications() {
		if app.State != "deleted" && b.w.ours(app.Name) {
			inventory++
		}
	}
	if len(recent) >= max(5, (inventory+3)/4) {
		b.fault("I4: %s is the %dth unrecorded instance that is destroyed within ten minutes, of %d", rec.Key, len(recent)+1, inventory)
	}
	b.passed = append(recent, now)
}

// checkAbsent: the weight of an instance is free, or it is made once more, when it does not
// exist; and when the answer to its creation was lost, after a minute of looking for it.
func (b *book) checkAbsent(old, rec fleet.Instance) {
	if old.State == fleet.InstanceKept || b.w.lenient {
		return
	}
	for _, app := range b.existing(old) {
		b.fault("I3: %s is %s in the ledger, and %s in the cloud", rec.Key, rec.State, app.State)
	}
	since, unknown := b.unknown[rec.Key]
	if !unknown || old.State != fleet.InstanceUnknown {
		return
	}
	n, _ := b.listsSince(old.Tenant, since)
	if took := time.Since(since); took < time.Minute || n < 3 && len(old.Handle) == 0 {
		b.fault("I2: %s is taken for never created after %d lists and %s", rec.Key, n, took)
	}
}

// checkKeep: what the configuration wants to keep is kept, and nothing else.
func (b *book) checkKeep(old, rec fleet.Instance) {
	job, known := b.jobs[rec.Job]
	if old.State != fleet.InstanceCreated && old.State != fleet.InstanceStarted || !known || !b.w.drawn {
		return
	}
	failed := job.rec.RunningAt.IsZero() && job.rec.FailureReason == "runner_system_failure"
	keep := b.w.cfg.KeepFinished || !b.w.cfg.DecommissionLaunchFailures && failed
	if keep != (rec.State == fleet.InstanceKept) && (rec.State == fleet.InstanceKept || rec.State == fleet.InstanceDeleting) {
		b.fault("I5: %s, whose job is %s (%s), is %s", rec.Key, job.rec.State, job.rec.FailureReason, rec.State)
	}
}

// checkBreaker: of what could not be made three times in a row no more is made for a while.
func (b *book) checkBreaker(rec fleet.Instance) {
	kind := rec.Tenant + " " + rec.Flavor
	if since := time.Since(b.lastFailed[kind]); b.creates[kind] >= 3 && since < 30*time.Second-slack && b.w.drawn {
		b.fault("I8: %s is made %s after the %dth failure in a row to make one of flavor %s", rec.Key, since, b.creates[kind], rec.Flavor)
	}
}

// checkAllowance: what the fuse has let pass within ten minutes is written down, whoever did it.
func (b *book) checkAllowance(change store.Change) {
	text, ok := change.Meta["fuse_recent"]
	if !ok || text == "" || b.shifted {
		return
	}
	recent := 1
	for _, at := range b.passed {
		if time.Since(at) < 9*time.Minute+50*time.Second {
			recent++
		}
	}
	if n := len(strings.Fields(text)); n < recent {
		b.fault("I4: the fuse has let pass %d, and %d are written down", recent, n)
	}
}

// checkStarted: the files were put on the instance that is recorded.
func (b *book) checkStarted(rec fleet.Instance) {
	for _, app := range b.existing(rec) {
		if len(app.Files) == 0 {
			b.fault("I2: %s is recorded as started, and nothing was put on %s", rec.Key, app.ID)
		}
	}
}

// checkUnneeded: nothing is destroyed that a job runs on.
func (b *book) checkUnneeded(rec fleet.Instance, change store.Change) {
	state := b.jobs[rec.Job].rec.State
	for _, j := range change.Jobs {
		if j.JobID == rec.Job {
			state = j.State
		}
	}
	switch state {
	case fleet.JobLaunching, fleet.JobStarting, fleet.JobRunning:
		b.fault("I1: %s is destroyed while its job is %s", rec.Key, state)
	}
}
