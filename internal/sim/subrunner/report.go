// SPDX-License-Identifier: Apache-2.0

package subrunner

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

const (
	firstInterval = 3 * time.Second
	maxInterval   = 15 * time.Minute
	keepAlive     = 30 * time.Second
	maxPatch      = 1 << 20
	finalTries    = 10
	maxBackoff    = time.Hour
)

// Why a job is stopped before its script ends.
var (
	errCanceled   = errors.New("canceled")            // by a person; after_script still runs
	errAborted    = errors.New("aborted")             // the coordinator does not want it any more
	errTimeout    = errors.New("timed out")           // longer than its limit
	errTerminated = errors.New("aborted: terminated") // the sub-runner was told to stop
)

// reporter sends a job's output while it runs and its outcome in the end.
type reporter struct {
	c     *client
	id    int64
	token string
	trace *trace
	stop  context.CancelCauseFunc // ends the job

	sent     int64 // offset of the next byte to send
	interval time.Duration
	last     time.Time // of the last successful contact
}

func newReporter(c *client, p *payload, t *trace, stop context.CancelCauseFunc) *reporter {
	return &reporter{c: c, id: p.ID, token: p.Token, trace: t, stop: stop, sent: t.base, interval: firstInterval, last: time.Now()}
}

// start reports until the returned function is called, which waits for the end.
func (r *reporter) start(ctx context.Context) (wait func()) {
	ctx, cancel := context.WithCancel(ctx)
	var loop sync.WaitGroup
	loop.Go(func() {
		for sleep(ctx, r.interval) {
			r.step(ctx)
		}
	})
	return func() {
		cancel()
		loop.Wait()
	}
}

// step sends what there is, or a sign of life when there was nothing for long.
func (r *reporter) step(ctx context.Context) {
	if r.sent < r.trace.end() {
		for r.sent < r.trace.end() && r.append(ctx) {
		}
		return
	}
	if time.Since(r.last) < keepAlive {
		return
	}
	sum, size := r.trace.sum()
	answer := r.c.update(ctx, r.id, r.token, outcome{}, sum, size)
	if answer.status == http.StatusOK {
		r.last = time.Now()
	}
	r.obey(answer, answer.status == http.StatusNotFound)
}

// append sends one piece of the trace and tells whether it makes sense to go on.
func (r *reporter) append(ctx context.Context) bool {
	data := r.trace.from(r.sent, maxPatch)
	if len(data) == 0 {
		return false
	}
	answer := r.c.patch(ctx, r.id, r.token, r.sent, data)
	r.obey(answer, false)
	switch answer.status {
	case http.StatusAccepted:
		if answer.jobStatus == "canceled" || answer.jobStatus == "failed" {
			return false // gitlab-runner does not count such an append as done
		}
		r.sent += int64(len(data))
		r.last = time.Now()
		return true
	case http.StatusRequestedRangeNotSatisfiable:
		moved := answer.size >= 0 && answer.size != r.sent
		if moved {
			r.sent = answer.size
		}
		return moved
	}
	return false
}

// obey does what an answer asks for beside its status.
func (r *reporter) obey(answer reply, gone bool) {
	if answer.interval > 0 {
		r.interval = min(answer.interval, maxInterval)
	}
	switch {
	case answer.status == http.StatusForbidden, gone, answer.jobStatus == "canceled", answer.jobStatus == "failed":
		r.stop(errAborted)
	case answer.jobStatus == "canceling":
		r.stop(errCanceled)
	}
}

// finish sends the rest of the trace and the outcome, again and again as the
// protocol asks for. It tells whether the coordinator took it.
func (r *reporter) finish(ctx context.Context, o outcome) bool {
	tries := 0
	for {
		delivered, retry := r.finishTrace(ctx)
		if delivered {
			sum, size := r.trace.sum()
			answer := r.c.update(ctx, r.id, r.token, o, sum, size)
			switch answer.status {
			case http.StatusOK:
				return true
			case http.StatusAccepted:
				if !sleep(ctx, max(answer.interval, time.Second)) {
					return false
				}
				continue
			case http.StatusPreconditionFailed:
				r.sent = r.trace.base
			case http.StatusForbidden, http.StatusNotFound:
				return false
			}
		} else if !retry {
			return false
		}
		if tries++; tries > finalTries || !sleep(ctx, min(time.Second<<(tries-1), maxBackoff)) {
			return false
		}
	}
}

// finishTrace sends what is left. When the coordinator refuses, the outcome is
// still worth an attempt.
func (r *reporter) finishTrace(ctx context.Context) (delivered, retry bool) {
	for r.sent < r.trace.end() {
		before := r.sent
		data := r.trace.from(r.sent, maxPatch)
		if len(data) == 0 {
			return true, false
		}
		answer := r.c.patch(ctx, r.id, r.token, r.sent, data)
		switch answer.status {
		case http.StatusAccepted:
			r.sent += int64(len(data))
		case http.StatusRequestedRangeNotSatisfiable:
			if answer.size >= 0 {
				r.sent = answer.size
			}
		case http.StatusForbidden:
			return true, false
		case http.StatusNotFound:
			return false, false
		}
		if r.sent == before {
			return false, true
		}
	}
	return true, false
}

// sleep waits and tells whether the wait was not cut short.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
