// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"time"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/schedule"
	"heptapod-paas-runner/internal/secret"
)

const (
	pollTimeout = 90 * time.Second // longer than the longest long poll
	pollBase    = time.Second
	pollCapSoon = 5 * time.Second // in the first minute of trouble
	pollCap     = 60 * time.Second
)

// flavorVariable is the job variable that asks for a flavor (seed 000).
const flavorVariable = "CI_CLEVER_CLOUD_FLAVOR"

// poll asks a runner's coordinator for a job when the limits allow it. One request at
// a time for each runner; an open request reserves nothing.
func (m *Manager) poll(ctx context.Context, r *runner) {
	if m.draining || r.removed || !m.recovered || r.polling != nil || !r.pollDue() || !m.brokenSince.IsZero() {
		return
	}
	if r.why = m.mayPoll(r); !r.why.OK() {
		return
	}
	r.askedAt = time.Now()
	in := coordinator.RunnerCall{Token: r.cfg.Token, LastUpdate: r.lastUpdate}
	r.polling = m.do(ctx, "poll", pollTimeout, func(ctx context.Context) event {
		grant, err := r.client.Request(ctx, in)
		return func() { m.polled(ctx, r, grant, err) }
	})
}

func (m *Manager) mayPoll(r *runner) schedule.Reason {
	s, quota, ok := m.sizing(r)
	if !ok || !r.listed() {
		return schedule.Reason{Kind: schedule.Nothing}
	}
	smallest, largest, ok := schedule.Bounds(s, quota)
	if !ok {
		return schedule.Reason{Kind: schedule.Quota, Limit: int64(quota)}
	}
	own := len(r.openBefore()) // each may bring a job
	for _, j := range m.jobs {
		if j.runner == r {
			own++
		}
	}
	if unsized := m.unsized(r); len(unsized) >= heldMost {
		return schedule.Reason{Kind: schedule.Parked, Job: unsized[0].rec.JobID}
	}
	if held := m.held(r); len(held) >= heldMost && !m.othersWork(r, held) && time.Since(r.askedAt) < heldPoll {
		return m.heldReason(held[0])
	}
	return schedule.MayPoll(m.limits(), m.usage(), schedule.Runner{
		Owner: r.cfg.Owner, Smallest: smallest, Largest: largest, Limit: r.cfg.Limit, Jobs: own,
		Strict: r.cfg.StrictAdmission || time.Now().Before(r.strictUntil),
	}, m.unplaced(), time.Now())
}

// unsizedFor is how long a job whose size is not known yet stands in the way of all
// others. Who pays or what a flavor weighs is told within moments, or a coordinator or a
// cloud is in trouble, which is not that of others.
const unsizedFor = 10 * time.Second

// unplaced is what stands in the way of acquiring more: jobs that wait, and jobs whose
// size, or whose cloud, is about to be known.
func (m *Manager) unplaced() []schedule.Waiting {
	out := m.waiting()
	for _, j := range m.jobs {
		if since := m.soonPlaced(j); time.Since(since) < unsizedFor {
			out = append(out, schedule.Waiting{ID: j.rec.JobID, Seq: j.rec.Seq})
		}
	}
	return out
}

// soonPlaced gives since when a job waits for what is told within moments; zero = it waits for
// something else, or for nothing.
func (m *Manager) soonPlaced(j *job) time.Time {
	switch from := m.surveyFrom(); {
	case j.rec.State == fleet.JobAcquired:
		return j.since
	case j.rec.State != fleet.JobWaiting || !j.rec.CancelAt.IsZero() || !m.unseen(j):
		return time.Time{}
	case j.since.Before(from):
		return from
	}
	return j.since
}

// unsized lists a runner's jobs whose size could not be found out yet.
func (m *Manager) unsized(r *runner) []*job {
	return slices.DeleteFunc(m.jobList(), func(j *job) bool { return j.runner != r || j.rec.State != fleet.JobAcquired })
}

// polled takes the answer to a job request. A granted job is committed before anything
// else happens (I1).
func (m *Manager) polled(ctx context.Context, r *runner, grant coordinator.Grant, err error) {
	begun := r.polling.started
	held := time.Since(begun)
	r.polling = nil
	r.polls++
	if err != nil {
		m.pollFailed(r, err)
		return
	}
	if r.pollFails > 0 {
		m.log.Info("the coordinator answers again", "runner", r.cfg.Name, "attempt", r.pollFails)
		m.lookAgain()
	}
	r.pollFails, r.alarmed = 0, false
	r.coordOK = begun // a held request may be answered well after everything else broke
	// Requests that are counted shall not be held.
	if grant.LastUpdate != "" && m.cfg.PollCycles == 0 {
		r.lastUpdate = grant.LastUpdate
	}
	if grant.Job == nil {
		r.nextPoll = time.Now().Add(m.jitter(max(m.cfg.CheckInterval-held, 10*time.Millisecond)))
		return
	}
	r.nextPoll = time.Now() // a coordinator that has jobs is asked again at once
	m.acquire(ctx, r.latest(), grant.Job)
}

// acquire commits a granted job; if that can't be done, the job is failed from memory.
func (m *Manager) acquire(ctx context.Context, r *runner, p *coordinator.Payload) {
	id := fleet.JobID{Coordinator: r.cfg.Coordinator, ID: p.ID}
	known, left := m.jobs[id], m.machines[r.cfg.Owner.Key(p.ID)]
	if known != nil && known.rec.Token == p.Token {
		m.log.Error("the coordinator granted a job twice", "runner", r.cfg.Name, "job", p.ID)
		return
	}
	if known != nil || left != nil { // it was put back to an older state, and gives numbers out again
		m.failFromMemory(r, p.ID, p.Token, "its number is that of another one that is not closed here")
		return
	}
	nonce := make([]byte, 32)
	if _, err := io.ReadFull(m.deps.Random, nonce); err != nil {
		m.failFromMemory(r, p.ID, p.Token, "no randomness on the service's machine")
		return
	}
	j := &job{fresh: true, runner: r, since: time.Now(), touched: time.Now(), rec: fleet.Job{
		JobID: id, Owner: r.cfg.Owner, Runner: r.cfg.Name, State: fleet.JobAcquired,
		Token: p.Token, Payload: p.Raw, Nonce: secret.New(hex.EncodeToString(nonce)),
		Name: p.Name, Project: p.Project, WebURL: p.WebURL, Namespace: r.namespaceOf(p), NamespaceID: p.NamespaceID,
		Timeout: p.Timeout, Seq: m.nextSeq, AcquiredAt: stamp(),
	}}
	j.status.next = time.Now().Add(m.jitter(r.cfg.TraceWatch.PollStep))
	m.brokenSince = time.Time{} // try, even if the last commit failed: a job is at stake
	if !m.change(ctx, "acquire", j, nil, func(draft) {}) {
		m.failFromMemory(r, p.ID, p.Token, "the service can't record it")
		return
	}
	m.nextSeq++
	m.jobs[id] = j
}

// pollFailed backs off: in the first minute of trouble to at most 5 s, then to 60 s.
func (m *Manager) pollFailed(r *runner, err error) {
	if fleet.IsCut(err) && m.draining || errors.Is(err, context.Canceled) && r.next != nil {
		return
	}
	now := time.Now()
	if r.pollFails == 0 {
		r.pollFirst = now
	}
	r.pollFails++
	limit := pollCapSoon
	if now.Sub(r.pollFirst) >= time.Minute {
		limit = pollCap
	}
	wait := min(pollBase<<min(r.pollFails-1, 10), limit)
	r.nextPoll = now.Add(m.jitter(max(wait, fleet.RetryAfterOf(err))))
	if fleet.ClassOf(err) == fleet.Unknown {
		r.latest().grants.soon() // it may have granted a job
	}
	if broken, ok := errors.AsType[*coordinator.UnreadableError](err); ok {
		m.log.Error("a granted job can't be read", "runner", r.cfg.Name, "job", broken.ID, "err", err)
		m.failFromMemory(r, broken.ID, broken.Token, "its description could not be read by the service")
		return
	}
	if errors.Is(err, fleet.ErrUnauthorized) && !r.alarmed {
		r.alarmed = true
		m.log.Error("the coordinator refuses the runner's token", "runner", r.cfg.Name, "err", err)
		return
	}
	if r.pollFails == 1 {
		m.log.Warn("job request failed; trying again", "runner", r.cfg.Name, "err", err)
	}
}

// failFromMemory ends an acquired job that could not be recorded. Tried for as long as
// this process lives; counted, since a kill would lose it.
func (m *Manager) failFromMemory(r *runner, id int64, token secret.String, why string) {
	if id == 0 || token.Empty() {
		return
	}
	m.unrecordable = append(m.unrecordable, &lostJob{runner: r, id: id, token: token, begun: time.Now(), size: -1, text: failureLine(
		"This job was acquired, but " + why + ". Retry the job.")})
}
