// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// deliverFor is how long the relay tries to bring the end home by itself. Servers
// end a job that stays silent for 30 to 60 minutes, but only once they are up.
const deliverFor = 3 * time.Hour

// results is how often the sub-runner's result is brought to a coordinator that refuses it
// and says that the job runs: about three minutes.
const results = 10

// refusals is how often a coordinator must refuse the question how a job ended, without a
// word of how, for that to be the answer: a broken proxy refuses too.
const refusals = 3

// errUnknownEnd: the coordinator takes nothing any more, and does not say that the
// job has ended.
var errUnknownEnd = errors.New("the job's end is not known")

// finish sees that the coordinator knows the job's end. The sub-runner is gone.
func (r *relay) finish(ctx context.Context, end ending) (Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, deliverFor)
	defer cancel()
	t := r.trace
	if !t.take(ctx) {
		return Outcome{}, ctx.Err()
	}
	defer t.give()
	if t.ended {
		return r.outcome(t.final.finalWord, BySubRunner), nil
	}
	if remembered := r.memory.now(); remembered.Done && remembered.Final != nil {
		return r.outcome(*remembered.Final, BySubRunner), nil
	}
	if t.final != nil && !t.refused && !end.refused {
		if done, err := r.push(ctx, t.final); done || err != nil {
			return r.outcome(t.final.finalWord, BySubRunner), err
		}
	}
	if status := r.up.health.jobStatus(); isFinal(status) {
		return Outcome{State: status, By: ByCoordinator}, nil
	}
	if t.refused || end.refused {
		if out, known, err := r.insist(ctx); known || err != nil {
			return out, err
		}
	}
	return r.fail(ctx, end)
}

// insist asks how a job stands whose calls were refused, and brings its result again as
// long as the job runs: what refused it was something in between, or for a moment.
func (r *relay) insist(ctx context.Context) (out Outcome, known bool, err error) {
	t := r.trace
	var wait backoff
	for range results {
		if out, known, err := r.ask(ctx); known || err != nil || t.final == nil {
			return out, known, err
		}
		t.refused = false
		if done, err := r.push(ctx, t.final); done || err != nil {
			return r.outcome(t.final.finalWord, BySubRunner), true, err
		}
		if !wait.wait(ctx, 0) {
			return Outcome{}, false, fmt.Errorf("deliver the final update: %w", ctx.Err())
		}
	}
	return Outcome{}, false, nil
}

// push sends the rest of the trace and a final update until the coordinator has
// taken it; not done when it refuses.
func (r *relay) push(ctx context.Context, u *finalUpdate) (done bool, err error) {
	var wait backoff
	for odd := 0; odd < 10; {
		answer, err := r.trace.deliver(ctx, u)
		pause := retryAfter(answer.header, time.Now())
		switch {
		case err != nil || isDown(answer.status):
			r.log.Warn("final update not delivered yet", "status", answer.status, "err", err)
		case answer.status == http.StatusOK:
			return true, nil
		case answer.status == http.StatusAccepted: // it waits for its own parts
			pause = interval(answer.header)
		case answer.status == http.StatusPreconditionFailed:
			odd++
			if u, err = withoutChecksum(u); err != nil {
				return false, err
			}
		case isRefused(answer.status):
			return false, nil
		default:
			odd++
		}
		if !wait.wait(ctx, pause) {
			return false, fmt.Errorf("deliver the final update: %w", ctx.Err())
		}
	}
	return false, nil
}

// interval is how long the coordinator wants to be left alone.
func interval(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(header.Get("X-Gitlab-Trace-Update-Interval"))
	if err != nil || seconds < 0 || seconds > 900 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// withoutChecksum asks for no check: there is nobody left who could send other bytes.
func withoutChecksum(u *finalUpdate) (*finalUpdate, error) {
	body, err := editJSON(u.body, []string{"checksum", "output.checksum"}, func(_, _ string) string { return "null" })
	if err != nil {
		return nil, fmt.Errorf("edit the final update: %w", err)
	}
	out := *u
	out.body = body
	return &out, nil
}

// ask asks the coordinator how the job ended; not known when it says that the job
// has not.
func (r *relay) ask(ctx context.Context) (out Outcome, known bool, err error) {
	var wait backoff
	for refused := 0; ; {
		status, answer, err := r.up.status(ctx)
		switch {
		case err != nil || isDown(answer.status):
			r.log.Warn("the coordinator does not tell how the job ended", "status", answer.status, "err", err)
		case isRefused(answer.status):
			refused++
			if status = r.up.health.jobStatus(); isFinal(status) {
				return Outcome{State: status, By: ByCoordinator}, true, nil
			}
			if refused == refusals {
				return Outcome{By: ByCoordinator}, true, nil
			}
		default:
			return Outcome{State: status, By: ByCoordinator}, isFinal(status), nil
		}
		if !wait.wait(ctx, retryAfter(answer.header, time.Now())) {
			return Outcome{}, false, fmt.Errorf("ask how the job ended: %w", ctx.Err())
		}
	}
}

// fail reports the job as failed, with the reason in its log.
func (r *relay) fail(ctx context.Context, end ending) (Outcome, error) {
	t := r.trace
	r.log.Warn("the relay reports the job as failed", "why", end.sentence)
	own := http.Header{"Content-Type": {"text/plain"}, "Job-Token": {r.job.token}}
	t.header, t.query = own, "debug_trace=false"
	if err := t.keep(t.length, []byte(end.text(t.length > 0))); err != nil {
		return Outcome{}, err
	}
	u := r.ownUpdate(finalWord{State: "failed", FailureReason: "runner_system_failure"})
	if t.final == nil {
		r.memory.heard(u.finalWord)
	}
	done, err := r.push(ctx, u)
	if err != nil {
		return Outcome{}, err
	}
	if done {
		return r.outcome(u.finalWord, ByRelay), nil
	}
	out, known, err := r.ask(ctx)
	if err == nil && !known {
		err = errUnknownEnd
	}
	return out, err
}

// text is what the user reads.
func (e ending) text(behind bool) string {
	var b strings.Builder
	if behind {
		b.WriteString("\n")
	}
	b.WriteString(strings.ToValidUTF8(e.sentence, "") + "\n")
	if len(e.words) > 0 {
		b.WriteString("Its last words:\n")
		for _, line := range e.words {
			b.WriteString("  " + strings.TrimRight(line, "\r") + "\n")
		}
	}
	return b.String()
}

// ownUpdate is a final update in the relay's name.
func (r *relay) ownUpdate(word finalWord) *finalUpdate {
	body, err := json.Marshal(struct {
		Token string `json:"token"`
		finalWord
	}{r.job.token, word})
	if err != nil {
		panic(err) // strings and a number
	}
	header := http.Header{"Content-Type": {"application/json"}, "Job-Token": {r.job.token}}
	return &finalUpdate{Token: r.job.token, finalWord: word, body: body, header: header}
}

// outcome is an accepted final update, as the coordinator took it.
func (r *relay) outcome(word finalWord, by string) Outcome {
	out := Outcome{State: word.State, FailureReason: word.FailureReason, ExitCode: word.ExitCode, By: by}
	if status := r.up.health.jobStatus(); isFinal(status) {
		out.State = status
	}
	return out
}
