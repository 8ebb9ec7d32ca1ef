// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
)

const (
	traceFile = "relay-trace"
	// maxAppend is the most that one append carries; the runner's own limit too.
	maxAppend = 1 << 20
	// maxConflicts ends a quarrel with a coordinator that refuses every offset.
	maxConflicts = 10
)

// trace is the relay's copy of what the sub-runner wrote, and what is known of the
// coordinator's. All offsets are the sub-runner's unless called otherwise.
//
// turn is a lock that is held during calls: a channel, since waiting for it must
// end with the request that waits.
type trace struct {
	turn   chan struct{}
	up     *coordinator
	log    *slog.Logger
	spool  *os.File
	prefix section // what the manager wrote
	head   section // what is before the sub-runner's first byte: the base
	notes  notes

	length   int64   // so much of the sub-runner's trace is in the copy
	acked    int64   // so much of it the coordinator has
	promised int64   // so much of it was answered 202 to the sub-runner
	unsure   []int64 // ends of appends whose answer was lost or said nothing
	header   http.Header
	query    string

	final   *finalUpdate // the sub-runner's last word, if it was heard
	ended   bool         // the coordinator accepted that
	refused bool         // the coordinator's last answer to an update or append was a refusal
}

// notes is told what must be remembered across restarts of the relay.
type notes interface {
	base(size int64)
	heard(finalWord)
	delivered()
}

// section is the beginning of a trace: its size, and its CRC if known.
type section struct {
	size  int64
	crc   uint32
	known bool
}

// then gives the section with a text behind it.
func (s section) then(crc uint32, length int64) section {
	return section{size: s.size + length, crc: combineCRC(s.crc, crc, length), known: s.known}
}

// openTrace opens the copy, with what a relay before this one has kept.
func openTrace(dir string, up *coordinator, notes notes, log *slog.Logger) (*trace, error) {
	spool, err := os.OpenFile(filepath.Join(dir, traceFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the copy of the trace: %w", err)
	}
	info, err := spool.Stat()
	if err != nil {
		spool.Close()
		return nil, fmt.Errorf("open the copy of the trace: %w", err)
	}
	return &trace{
		turn: make(chan struct{}, 1), up: up, notes: notes, log: log, spool: spool, length: info.Size(),
		header: http.Header{"Content-Type": {"text/plain"}, "Job-Token": {up.token}}, query: "debug_trace=false",
	}, nil
}

func (t *trace) close() { t.spool.Close() }

// take waits for the turn; false when the context ended first.
func (t *trace) take(ctx context.Context) bool {
	select {
	case t.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (t *trace) give() { <-t.turn }

// patch is the sub-runner's append: kept first, then passed on.
func (t *trace) patch(ctx context.Context, offset int64, data []byte) reply {
	if offset > t.length {
		return conflict(t.length) // it would leave a hole in the copy
	}
	if err := t.keep(offset, data); err != nil {
		t.log.Error("keep the trace", "err", err)
		return failure(http.StatusInsufficientStorage)
	}
	if offset > t.acked { // what was promised goes first
		r, err := t.flush(ctx)
		return t.outcome(r, err)
	}
	r, err := t.send(ctx, offset, data)
	if err == nil && r.status == http.StatusRequestedRangeNotSatisfiable && t.disagree(r) {
		r, err = t.flush(ctx)
	}
	return t.outcome(r, err)
}

// outcome turns what the coordinator said into what the sub-runner is told.
func (t *trace) outcome(r reply, err error) reply {
	if err != nil || isDown(r.status) {
		if _, long := t.up.health.down(); long {
			t.promised = t.length
			return t.accepted()
		}
		if err != nil {
			t.log.Warn("append to the trace", "err", err)
			return failure(http.StatusBadGateway)
		}
		return r
	}
	t.refused = isRefused(r.status)
	if r.status == http.StatusAccepted {
		t.promised = t.acked
	}
	return t.shifted(r)
}

// accepted answers an append in the coordinator's place.
func (t *trace) accepted() reply {
	header := http.Header{"Job-Status": {t.lastStatus()}, "Range": {sizeRange(t.length)}}
	return reply{status: http.StatusAccepted, header: header, body: []byte(sizeRange(t.length))}
}

func (t *trace) lastStatus() string {
	if s := t.up.health.jobStatus(); s != "" {
		return s
	}
	return "running"
}

// shifted moves the Range of an answer to the sub-runner's counting.
func (t *trace) shifted(r reply) reply {
	size, ok := parseRange(r.header.Get("Range"))
	if !ok {
		return r
	}
	down := sizeRange(max(0, size-t.head.size))
	if string(r.body) == r.header.Get("Range") {
		r.body = []byte(down)
	}
	r.header = r.header.Clone()
	r.header.Set("Range", down)
	return r
}

// send appends once, at the sub-runner's offset.
func (t *trace) send(ctx context.Context, offset int64, data []byte) (reply, error) {
	header := t.header.Clone()
	header.Set("Content-Range", contentRange(t.head.size+offset, len(data)))
	end := offset + int64(len(data))
	r, err := t.up.call(ctx, http.MethodPatch, t.up.tracePath(), t.query, header, data)
	switch {
	case err != nil || isDown(r.status):
		if !slices.Contains(t.unsure, end) {
			t.unsure = append(t.unsure, end)
		}
	case r.status == http.StatusAccepted:
		t.acked, t.unsure = max(t.acked, end), nil
	}
	return r, err
}

// disagree reads a 416. When the size is one that our own appends explain, the
// coordinator lost bytes or an answer was lost, and acked moves. Otherwise somebody
// else wrote or the beginning is gone: the base moves, and disagree is true.
func (t *trace) disagree(r reply) bool {
	size, ok := parseRange(r.header.Get("Range"))
	if !ok {
		return false
	}
	have := size - t.head.size
	if have >= 0 && (have <= t.acked || slices.Contains(t.unsure, have)) {
		t.acked, t.unsure = have, nil
		return false
	}
	t.rebase(size)
	return true
}

// rebase moves the base so that the next byte that the coordinator expects is one
// that it does not have yet.
func (t *trace) rebase(size int64) {
	old := t.head.size
	switch {
	case size == 0:
		t.head, t.acked = section{known: true}, 0
	case size < old && size == t.prefix.size:
		t.head, t.acked = t.prefix, 0
	case size < old:
		t.head, t.acked = section{size: size}, 0
	default:
		t.head = section{size: size - t.acked}
	}
	t.unsure = nil
	t.log.Warn("the coordinator's trace is not as we left it: offsets move", "size", size, "from", old, "base", t.head.size)
	t.notes.base(t.head.size)
}

// flush sends what the coordinator does not have, in order. The reply is the last
// one; with nothing to send it is 202.
func (t *trace) flush(ctx context.Context) (reply, error) {
	last := t.accepted()
	for conflicts := 0; t.acked < t.length; {
		data := make([]byte, min(maxAppend, t.length-t.acked))
		if _, err := t.spool.ReadAt(data, t.acked); err != nil {
			return reply{}, fmt.Errorf("read the copy of the trace: %w", err)
		}
		r, err := t.send(ctx, t.acked, data)
		if err != nil {
			return r, err
		}
		if r.status == http.StatusRequestedRangeNotSatisfiable && conflicts < maxConflicts {
			conflicts++
			t.disagree(r)
			continue
		}
		if last = r; r.status != http.StatusAccepted {
			return r, nil
		}
	}
	return last, nil
}

// keep writes the sub-runner's bytes to the copy.
func (t *trace) keep(offset int64, data []byte) error {
	if _, err := t.spool.WriteAt(data, offset); err != nil {
		return fmt.Errorf("write the copy of the trace: %w", err)
	}
	t.length = max(t.length, offset+int64(len(data)))
	return nil
}

// conflict is a 416 of our own.
func conflict(size int64) reply {
	r := failure(http.StatusRequestedRangeNotSatisfiable)
	r.header.Set("Range", sizeRange(size))
	return r
}

// failure is an answer of our own without a story.
func failure(status int) reply {
	text := fmt.Sprintf(`{"message":"%d %s"}`, status, http.StatusText(status))
	return reply{status: status, header: http.Header{"Content-Type": {"application/json"}}, body: []byte(text)}
}
