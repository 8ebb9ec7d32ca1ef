// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"time"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
)

const (
	retryBase = time.Second
	retryCap  = time.Minute
)

// flushTrace hands out the one trace call that the job's state asks for: append what
// was committed, or look whether the trace grew.
func (m *Manager) flushTrace(ctx context.Context, j *job) {
	if !j.trace.idle() {
		return
	}
	switch j.rec.State {
	case fleet.JobWaiting, fleet.JobLaunching:
		if pending := j.rec.Prefix[min(j.rec.PrefixAcked, int64(len(j.rec.Prefix))):]; pending != "" {
			m.append(ctx, j, j.rec.PrefixAcked, pending)
		}
	case fleet.JobStarting:
		if j.vm != nil && j.vm.rec.State == fleet.InstanceStarted {
			m.probe(ctx, j)
		}
	}
}

// append writes committed text. After a crash it may have arrived already: the
// coordinator's 416 says how much it has.
func (m *Manager) append(ctx context.Context, j *job, offset int64, text string) {
	j.trace.busy = true
	id, token, client := j.rec.ID, j.rec.Token, j.runner.client
	m.do(ctx, "append", callTimeout, func(ctx context.Context) event {
		answer, err := client.AppendTrace(ctx, id, token, offset, []byte(text))
		return func() { m.appended(ctx, j, answer, err) }
	})
}

func (m *Manager) appended(ctx context.Context, j *job, answer coordinator.TraceAnswer, err error) {
	j.trace.busy = false
	if err != nil {
		m.traceFailed(ctx, j, err)
		return
	}
	j.trace.ok()
	j.touched = time.Now()
	size := answer.Size
	if size > int64(len(j.rec.Prefix)) {
		m.log.Warn("the trace holds bytes that are not ours", "job", j.rec.ID, "size", size)
		size = int64(len(j.rec.Prefix))
	}
	if answer.Conflict && size == j.rec.PrefixAcked {
		j.trace.failed(m, retryBase, retryCap, 0) // no progress: don't spin
	}
	j.rec.PrefixAcked = size // a cache of the coordinator's word; committed with the next change
	m.sawStatus(ctx, j, answer.JobStatus)
}

// probe asks for the size of the trace without changing it. Growth beyond what we
// wrote is the proof that the sub-runner works.
func (m *Manager) probe(ctx context.Context, j *job) {
	j.trace.busy = true
	look := j.runner.looker(j)
	m.do(ctx, "probe", callTimeout, func(ctx context.Context) event {
		answer, err := look(ctx)
		return func() {
			j.trace.busy = false
			if err != nil && j.runner.watchRefused(m, err) {
				return
			}
			if err != nil {
				m.traceFailed(ctx, j, err)
				return
			}
			j.trace.ok()
			j.looked = true
			j.trace.next = time.Now().Add(m.jitter(j.runner.cfg.TraceWatch.PollStep))
			if j.rec.State == fleet.JobStarting && answer.Size > j.rec.PrefixAcked {
				m.ran(ctx, j)
			}
			m.sawStatus(ctx, j, answer.JobStatus)
		}
	})
}

// looker gives the way in which a job's trace is looked at: with the operator's token for
// it when there is one, else with the job's own.
func (r *runner) looker(j *job) func(context.Context) (coordinator.TraceAnswer, error) {
	id, token, project, watch := j.rec.ID, j.rec.Token, j.rec.Project, r.cfg.TraceWatch.Token
	if watch.Empty() || r.watchOff || project == "" {
		return func(ctx context.Context) (coordinator.TraceAnswer, error) { return r.client.ProbeTrace(ctx, id, token) }
	}
	return func(ctx context.Context) (coordinator.TraceAnswer, error) {
		size, err := r.client.TraceSize(ctx, project, id, watch)
		return coordinator.TraceAnswer{Size: size}, err
	}
}

// watchRefused tells whether the operator's token for traces was refused: said once, the
// jobs' own tokens are used from then on.
func (r *runner) watchRefused(m *Manager, err error) bool {
	if r.cfg.TraceWatch.Token.Empty() || r.watchOff || !refused(err) {
		return false
	}
	r.watchOff = true
	m.log.Warn("the token of job_trace_watch is refused; the jobs' own tokens are used instead", "runner", r.cfg.Name, "err", err)
	return true
}

// ran records that the sub-runner has the job: from here on it answers for it.
func (m *Manager) ran(ctx context.Context, j *job) {
	m.change(ctx, "run", j, nil, func(d draft) {
		d.job.State = fleet.JobRunning
		d.job.RunningAt = stamp()
	})
	j.status.next = time.Now().Add(m.jitter(m.cfg.JobProgressInterval))
}

// traceFailed handles a refused or failed trace call. A refusal may be the job's end:
// the status lane asks.
func (m *Manager) traceFailed(ctx context.Context, j *job, err error) {
	j.trace.failed(m, retryBase, retryCap, fleet.RetryAfterOf(err))
	if final, ok := finalStatus(err); ok {
		m.provenEnd(ctx, j, final)
		return
	}
	if refused(err) {
		j.hint = true
	}
	m.log.Debug("trace call failed", "job", j.rec.ID, "err", err)
}
