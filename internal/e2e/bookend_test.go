// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/fleet"
)

// ends is told of each final update of ours when it arrives: its reason is the recorded one,
// and the user can read the sentence.
func (b *book) ends(place, id, body string) {
	n, known := b.recorded(place, id)
	if !known || !b.w.drawn {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !strings.Contains(body, `"failure_reason":"`+n.rec.FailureReason+`"`) {
		b.fault("I1: the end of job %d is told as %s, its reason is %s", n.rec.ID, body, n.rec.FailureReason)
	}
	j, ok := b.truth(n.rec.JobID)
	if ok && j.FinishedAt == nil && !b.traceLost(n.rec.JobID) && !strings.Contains(j.Trace, n.rec.FailureText) {
		b.fault("I1: the end of job %d is told, and the reason does not stand in its log: %q", n.rec.ID, n.rec.FailureText)
	}
}

// touches is told of each update of ours when it arrives.
func (b *book) touches(place, id string) {
	if n, known := b.recorded(place, id); known {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.touched[n.rec.JobID] = time.Now()
	}
}

// recorded finds the record of a job that a call names.
func (b *book) recorded(place, id string) (noted[fleet.Job], bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return noted[fleet.Job]{}, false
	}
	n, known := b.jobs[fleet.JobID{Coordinator: place, ID: number}]
	return n, known
}

// writes is told of each append of ours when it arrives: what will stand in the log is recorded.
func (b *book) writes(place string, r *http.Request) {
	_, rest, _ := strings.Cut(r.URL.Path, "/api/v4/jobs/")
	id, _, _ := strings.Cut(rest, "/")
	n, known := b.recorded(place, id)
	if !known || !b.w.drawn {
		return
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(raw))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.touched[n.rec.JobID] = time.Now()
	at, _, _ := strings.Cut(r.Header.Get("Content-Range"), "-")
	j, ok := b.truth(n.rec.JobID)
	may := n.rec.Prefix + "\x1b[31;1mheptapod-paas-runner: " + n.rec.FailureText + "\x1b[0;m\n"
	if ok && at == strconv.Itoa(len(j.Trace)) && !strings.Contains(may, string(raw)) {
		b.fault("I1: %q is written to the log of job %d, and is not recorded", raw, n.rec.ID)
	}
}

// checkKept looks at what is left of a job when it has ended: a result that its sub-runner has
// told is the one that counts, its output is whole, and the ledger holds no secret of it.
func (w *world) checkKept(j simJob) []string {
	if !w.drawn {
		return nil
	}
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	id := fleet.JobID{Coordinator: j.place, ID: j.ID}
	rec, known, err := w.life.store.Job(w.t.Context(), id)
	if known && err == nil && rec.State == fleet.JobClosed && (!rec.Token.Empty() || !rec.Nonce.Empty() || len(rec.Payload) > 0) {
		say("I7: job %d is closed, and its token or its description is still in the ledger", j.ID)
	}
	for _, canary := range append(canaries(), "glcbt-") {
		if strings.Contains(j.Trace, canary) {
			say("I7: the log of job %d holds %q", j.ID, canary)
		}
	}
	if _, lost := w.traceLost.Load(id); lost {
		return wrong
	}
	_, canceled := w.canceled.Load(id)
	succeeded := strings.Contains(j.Trace, "Job succeeded")
	if succeeded && j.Status != "success" && !canceled && rec.FailureText == "" && !w.longOutage && !w.unrelayed {
		say("I1: the sub-runner of job %d has succeeded, and it ended %s (%s):\n%s", j.ID, j.Status, j.FailureReason, j.Trace)
	}
	if j.Status == "success" && w.cfg.Runners[0].SubRunner == config.ModeRelay && (!succeeded || !strings.Contains(j.Trace, "hello\n")) {
		say("I1: job %d ended %s, and its log is not whole:\n%s", j.ID, j.Status, j.Trace)
	}
	return wrong
}
