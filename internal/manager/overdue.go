// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"fmt"
	"time"
)

// overdueAfter is how long after its own time limit a job that still runs is ended by us.
// Its sub-runner ends the script at the limit, then runs after_script (five minutes at
// most, as a rule) and sends artifacts. The coordinator would end it itself five minutes
// later, with a reason that no retry rule for system failures knows: a cloud that is slow
// has that long to take the instance away.
const overdueAfter = serverGrace - 5*time.Minute

// overdueAt is when a running job's instance is taken for lost, though it seems alive: its
// relay or sub-runner is dead or frozen. Zero = the job has no limit that we know.
func (j *job) overdueAt() time.Time {
	if j.rec.Timeout <= 0 {
		return time.Time{}
	}
	return j.since.Add(j.rec.Timeout + overdueAfter)
}

// overdue ends a job that its sub-runner should have ended long ago, once the coordinator,
// asked after that moment, says that it did not.
func (m *Manager) overdue(ctx context.Context, j *job) {
	at := j.overdueAt()
	if at.IsZero() || time.Now().Before(at) {
		return
	}
	if j.answered.Before(at) {
		return // the next look at it is soon: hurried on each step, a refusal would be asked for again at once
	}
	m.fail(ctx, j, reasonSystem, fmt.Sprintf(
		"The job is past its time limit of %s by %s, and its sub-runner has not ended it: it is taken for lost. Retry the job; if it fails again, tell the operators of this runner.",
		j.rec.Timeout, round(time.Since(j.since)-j.rec.Timeout)))
}

// tellAge takes from its coordinator how old a job is that an earlier life acquired: by the
// wall clock alone it may be younger or older by all that this clock is wrong.
func (m *Manager) tellAge(j *job, age time.Duration) {
	if j.taken.IsZero() || age <= 0 {
		return
	}
	j.taken = time.Time{}
	if by := time.Since(j.since) - age; by.Abs() > jumpLimit {
		m.log.Warn("the clock was set since a job was acquired: its age is what its coordinator says", "job", j.rec.ID, "took", age)
		j.since = time.Now().Add(-age)
	}
}

// outlived tells whether a job's coordinator must have ended it itself by now. Where the wall
// clock alone says so, something must have answered well too.
func (m *Manager) outlived(j *job) bool {
	limit := j.rec.Timeout + serverGrace
	switch {
	case j.rec.Timeout <= 0 || time.Since(j.since) <= limit:
		return false
	case j.taken.IsZero() || time.Since(j.taken) > limit:
		return true
	}
	return m.coordinatorWell(j.rec.Coordinator, j.refused[0])
}

// longParked tells whether a job waits for longer than it may. The time during which
// nobody looked after it, since the service was down or stopped, is not all of that: it gets the
// chance to go on.
func (m *Manager) longParked(j *job) bool {
	limit := m.parkLimit(j)
	return time.Since(j.since) > limit && time.Since(m.attended) > min(limit, startChance)
}

// parkLimit is how long a job may wait: no longer than it may run, since its coordinator
// counts the wait as time that it ran, and would drop it without a word.
func (m *Manager) parkLimit(j *job) time.Duration {
	if j.rec.Timeout <= 0 {
		return m.cfg.MaxParked
	}
	return min(m.cfg.MaxParked, j.rec.Timeout)
}

// startChance is how long after a start no job is given up for having waited too long:
// until the clouds are listed, and a little more.
const startChance = surveyLimit + 10*time.Second
