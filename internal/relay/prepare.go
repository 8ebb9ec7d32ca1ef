// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"
	"time"
)

// ending is why the relay looks after the job's end.
type ending struct {
	sentence string   // for the user, if the relay has to report a failure
	words    []string // the sub-runner's last ones
	refused  bool     // the coordinator does not take the job's updates any more
}

// prepare finds out whether the job may be handed out, and writes the relay's lines
// to its log. nil means yes.
func (r *relay) prepare(ctx context.Context) *ending {
	var wait backoff
	limit := r.handOutLimit()
	for refused := 0; ; {
		answer, err := r.up.probeTrace(ctx)
		size, ok := parseRange(answer.header.Get("Range"))
		switch {
		case ctx.Err() != nil:
			return &ending{sentence: "The instance was stopped before the job began."}
		case err == nil && ok && answer.status == http.StatusRequestedRangeNotSatisfiable:
			if end, done := r.place(ctx, size); done {
				return end
			}
		case err == nil && isRefused(answer.status):
			refused++
			if isFinal(r.up.health.jobStatus()) || refused == refusals {
				return &ending{sentence: "The job ended before it began on its instance.", refused: true}
			}
		case err == nil && !isDown(answer.status):
			return &ending{sentence: fmt.Sprintf("The coordinator answered %d when asked how far the job's log is.", answer.status)}
		}
		r.log.Warn("the coordinator does not answer yet", "status", answer.status, "err", err)
		if !time.Now().Before(limit) {
			return &ending{sentence: "The coordinator could not be reached before the job's time was over."}
		}
		wait.wait(ctx, retryAfter(answer.header, time.Now()))
	}
}

// handOutLimit is when there is no time left for the job.
func (r *relay) handOutLimit() time.Time {
	if limit := r.settings.serverLimit(); !limit.IsZero() {
		return limit
	}
	return r.started.Add(deliverFor)
}

// place decides by the trace's size. Not done means: look again.
func (r *relay) place(ctx context.Context, size int64) (end *ending, done bool) {
	t, remembered := r.trace, r.memory.now()
	switch {
	case remembered.HandedOut:
		r.resume(remembered, size)
		return &ending{sentence: "The instance was restarted while the job ran. A job is never begun twice."}, true
	case remembered.Lines != "" && size == remembered.Base:
		t.head = r.below(size-int64(len(remembered.Lines)), remembered.Lines)
		return nil, true
	case size > t.prefix.size:
		t.head = section{size: size}
		return &ending{sentence: "The job had begun before this instance started. A job is never begun twice."}, true
	case !time.Now().Before(r.handOutLimit()):
		t.head = section{size: size}
		return &ending{sentence: "The job's time was over before its instance was ready."}, true
	}
	return r.introduce(ctx, size)
}

// introduce appends the relay's lines, once the job can be handed out. They are written
// down first, so that after a lost answer or a restart the size tells whether they
// arrived.
func (r *relay) introduce(ctx context.Context, size int64) (end *ending, done bool) {
	if place := r.site(); place.err != nil {
		r.trace.head = r.below(size, "")
		return &ending{sentence: notReady(place.err)}, true
	}
	lines := r.lines()
	if err := r.memory.change(func(s *state) { s.Lines, s.Base = lines, size+int64(len(lines)) }); err != nil {
		r.trace.head = section{size: size}
		return &ending{sentence: "The instance cannot keep its notes: " + err.Error()}, true
	}
	answer, err := r.up.appendTrace(ctx, size, []byte(lines))
	if err != nil || answer.status != http.StatusAccepted {
		return nil, false
	}
	r.trace.head = r.below(size, lines)
	if s := answer.header.Get("Job-Status"); isFinal(s) || s == "canceling" {
		return &ending{sentence: "The job was canceled before it began."}, true
	}
	return nil, true
}

// below is what the sub-runner's bytes will stand on.
func (r *relay) below(size int64, lines string) section {
	head := section{size: size, known: size == 0}
	if size == r.trace.prefix.size {
		head = r.trace.prefix
	}
	return head.then(crc32.ChecksumIEEE([]byte(lines)), int64(len(lines)))
}

// resume takes up what a relay before this one left: its copy of the trace, and the
// sub-runner's last word if it came.
func (r *relay) resume(remembered state, size int64) {
	t := r.trace
	t.head, t.acked = section{size: remembered.Base}, size-remembered.Base
	if t.acked < 0 || t.acked > t.length {
		t.head, t.acked = section{size: size - t.length}, t.length
	}
	if remembered.Final != nil {
		t.final = r.ownUpdate(*remembered.Final)
	}
}

// lines are the relay's own in the job's log; always the same ones for one boot.
func (r *relay) lines() string {
	if old := r.memory.now().Lines; old != "" {
		return old
	}
	var b strings.Builder
	if note := strings.TrimSpace(strings.ToValidUTF8(r.settings.PhaseNote, "")); note != "" {
		b.WriteString(note + "\n")
	}
	b.WriteString("Instance booted")
	if took := r.started.Sub(r.settings.AcquiredAt); took > 0 {
		fmt.Fprintf(&b, " %s after the job was acquired", took.Round(100*time.Millisecond))
	}
	fmt.Fprintf(&b, "; job handed to %s.\n", r.settings.SubRunner[0])
	return b.String()
}
