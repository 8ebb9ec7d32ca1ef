// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

const (
	grantsEvery   = 10 * time.Minute
	grantsTimeout = 5 * time.Minute // a call for each page, and several for each lost job
)

// grants is the search for jobs lost at acquisition (I1): the coordinator has granted
// them, and the answer was not recorded, because the process died or the line broke. It
// takes the token of somebody who may see the runner.
type grants struct {
	lane
	number  int64             // of the runner at its coordinator; 0 = not known yet
	off     bool              // the token may not look, or the coordinator is too old
	seen    map[int64][]*call // jobs that nobody here knows, and the job requests open at their first sighting
	lost    []coordinator.GrantedJob
	settled map[int64]bool // jobs that need no second look
}

// overseer is the token of somebody who may see the runner's jobs; empty = there is none.
func (r *runner) overseer() secret.String {
	return cmp.Or(r.cfg.Clever.NamespaceToken, r.cfg.TraceWatch.Token)
}

// soon asks for a search, since an answer was lost.
func (g *grants) soon() { g.next = time.Time{} }

func (r *runner) searchesGrants() bool { return !r.overseer().Empty() && !r.grants.off && !r.removed }

// searchGrants asks the coordinator which jobs it has granted to this runner.
func (m *Manager) searchGrants(ctx context.Context, r *runner) {
	g := &r.grants
	if g.busy || !r.searchesGrants() || !r.listed() {
		return
	}
	if len(g.lost) > 0 {
		m.endGrants(ctx, r)
		return
	}
	if !g.due() {
		return
	}
	g.busy = true
	client, own, token, number := r.client, r.cfg.Token, r.overseer(), g.number
	m.do(ctx, "search granted jobs", grantsTimeout, func(ctx context.Context) event {
		var list []coordinator.GrantedJob
		var err error
		if number == 0 {
			var known coordinator.VerifyAnswer
			known, err = client.Verify(ctx, own, client.SystemID())
			number = known.ID
		}
		if err == nil {
			list, err = client.GrantedJobs(ctx, number, client.SystemID(), token)
		}
		return func() {
			g.busy, g.number = false, number
			m.grantsAnswered(ctx, r, list, err)
		}
	})
}

// grantsAnswered picks the jobs that nobody here knows. A job request under way may bring
// one of them yet, so each is seen twice, with those answered in between.
func (m *Manager) grantsAnswered(ctx context.Context, r *runner, list []coordinator.GrantedJob, err error) {
	g := &r.grants
	if err != nil {
		if refused(err) || fleet.ClassOf(err) == fleet.Permanent {
			g.off = true
			m.log.Info("jobs lost at acquisition are not searched for: the token may not list the runner's jobs", "runner", r.cfg.Name, "err", err)
			return
		}
		g.failed(m, retryBase, retryCap, fleet.RetryAfterOf(err))
		return
	}
	seen, settled := map[int64][]*call{}, map[int64]bool{}
	var lost []coordinator.GrantedJob
	for _, j := range list {
		if g.settled[j.ID] {
			settled[j.ID] = true
			continue
		}
		if m.knows(ctx, r, j.ID) {
			continue
		}
		open, again := g.seen[j.ID]
		if !again {
			open = m.openPolls(r)
		} else if !slices.ContainsFunc(open, func(c *call) bool { return !c.done }) {
			lost = append(lost, j)
		}
		seen[j.ID] = open
	}
	g.seen, g.settled = seen, settled
	g.ok()
	g.next = time.Now().Add(m.jitter(grantsEvery))
	if len(seen) > 0 {
		g.next = time.Now().Add(m.jitter(endedApart))
	}
	g.lost = lost
}

// openPolls are the job requests to a runner's coordinator whose answer is still to come.
func (m *Manager) openPolls(r *runner) []*call {
	var out []*call
	for _, other := range m.runners {
		if other.polling != nil && other.cfg.Coordinator == r.cfg.Coordinator {
			out = append(out, other.polling)
		}
	}
	return out
}

// knows tells whether there is anything here of a job. What can't be found out counts as
// known: nothing is done then.
func (m *Manager) knows(ctx context.Context, r *runner, id int64) bool {
	job := fleet.JobID{Coordinator: r.cfg.Coordinator, ID: id}
	if m.jobs[job] != nil {
		return true
	}
	for _, l := range m.unrecordable {
		if l.id == id && l.runner.cfg.Coordinator == job.Coordinator {
			return true
		}
	}
	for _, x := range m.unrecorded {
		if x.jobID == id && x.runner.cfg.Coordinator == job.Coordinator {
			return true
		}
	}
	for _, vm := range m.machines {
		if vm.rec.Job == job {
			return true
		}
	}
	_, recorded, err := m.deps.Ledger.Job(context.WithoutCancel(ctx), job)
	return recorded || err != nil
}

// grantEnd is what became of a job lost at acquisition.
type grantEnd struct {
	job    coordinator.GrantedJob
	others bool // it is another manager's, or somebody runs it
	status string
	err    error
}

// endGrants ends jobs that were granted to this very manager and that nobody runs: it
// cancels them, since it lacks the token to report anything for them.
func (m *Manager) endGrants(ctx context.Context, r *runner) {
	g := &r.grants
	g.busy = true
	client, token, lost := r.client, r.overseer(), g.lost
	g.lost = nil
	m.do(ctx, "end lost jobs", grantsTimeout, func(ctx context.Context) event {
		var ends []grantEnd
		for _, j := range lost {
			ends = append(ends, endGrant(ctx, client, j, token))
		}
		return func() {
			g.busy = false
			for _, end := range ends {
				m.grantEnded(r, end)
			}
		}
	})
}

func endGrant(ctx context.Context, client *coordinator.Client, j coordinator.GrantedJob, token secret.String) grantEnd {
	end := grantEnd{job: j}
	owner, status, err := client.GrantedTo(ctx, j.Project, j.ID, token)
	if err != nil || owner != client.SystemID() || status != "running" {
		end.others, end.err = true, err
		return end
	}
	size, err := client.TraceSize(ctx, j.Project, j.ID, token)
	if err != nil || size > 0 { // the first thing that is done with a recorded job is to write to its log
		end.others, end.err = true, err
		return end
	}
	end.status, end.err = client.CancelJob(ctx, j.Project, j.ID, false, token)
	if end.err == nil && end.status == "canceling" { // until its sub-runner reports, and there is none
		end.status, end.err = client.CancelJob(ctx, j.Project, j.ID, true, token)
	}
	return end
}

// grantEnded says what became of a lost job, once.
func (m *Manager) grantEnded(r *runner, end grantEnd) {
	if end.err != nil && !refused(end.err) && fleet.ClassOf(end.err) != fleet.Permanent {
		return // the next search finds it again
	}
	r.grants.settled[end.job.ID] = true
	delete(r.grants.seen, end.job.ID)
	if end.others {
		return
	}
	m.lostGrants++
	if end.err == nil && final(end.status) {
		m.log.Error("a job was lost at acquisition: the coordinator had granted it and it was not recorded; canceled, since nobody runs it",
			"runner", r.cfg.Name, "job", end.job.ID, "url", end.job.WebURL)
		return
	}
	m.log.Error("a job was lost at acquisition: the coordinator had granted it and it was not recorded; cancel it by hand, else its coordinator ends it late",
		"runner", r.cfg.Name, "job", end.job.ID, "url", end.job.WebURL, "state", end.status,
		"err", cmp.Or(end.err, errors.New("it is not ended yet")))
}
