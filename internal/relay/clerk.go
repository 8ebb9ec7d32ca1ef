// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

const (
	maxRequest = 64 << 10 // a job request; Workhorse stops at half of it
	maxUpdate  = 1 << 20  // a PUT
	maxPatch   = 8 << 20  // a PATCH; the runner stops at 1 MiB
)

// clerk is who sits at the desk that the gate leads to.
type clerk struct {
	settings *settings
	job      *job
	trace    *trace
	memory   *memory
	log      *slog.Logger
	handed   func() // called once, at the hand-out

	mu    sync.Mutex
	state handState
	again chan struct{} // closed when a job is asked for after the hand-out
	taken chan struct{} // closed at the hand-out
}

type handState int

const (
	ready handState = iota
	given
	dropped // asked for another job after the hand-out
)

// request answers jobs/request: the job once, then nothing for ever. Never 403,
// which makes the sub-runner sleep for five minutes.
func (c *clerk) request(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Token string `json:"token"`
	}
	body, ok := readBody(w, r, maxRequest)
	if !ok {
		return
	}
	nothing := reply{status: http.StatusNoContent}
	if json.Unmarshal(body, &ask) != nil || !same(ask.Token, c.settings.StandInToken) {
		write(w, nothing)
		return
	}
	payload, ok := c.take()
	if !ok {
		write(w, nothing)
		return
	}
	header := http.Header{"Content-Type": {"application/json"}}
	write(w, reply{status: http.StatusCreated, header: header, body: payload})
	c.handed()
}

// take gives the payload to the first who asks, after it is on disk that it did.
func (c *clerk) take() ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.state {
	case given:
		c.state = dropped
		close(c.again)
		return nil, false
	case dropped:
		return nil, false
	}
	payload := c.job.raw
	if limit := c.settings.serverLimit(); !limit.IsZero() {
		cut, err := cutTimeout(payload, time.Until(limit))
		if err != nil {
			c.log.Warn("the job keeps its own timeout", "err", err)
		} else {
			payload = cut
		}
	}
	c.state = given
	if err := c.memory.handOut(); err != nil {
		// Not written down, so not given: the sub-runner will end by itself.
		c.log.Error("hand out the job", "err", err)
		return nil, false
	}
	close(c.taken)
	return payload, true
}

// patch is an append of the sub-runner to the job's log.
func (c *clerk) patch(w http.ResponseWriter, r *http.Request) {
	offset, ok := parseContentRange(r.Header.Get("Content-Range"))
	data, read := readBody(w, r, maxPatch)
	if !read {
		return
	}
	if !ok || len(data) == 0 {
		write(w, failure(http.StatusBadRequest))
		return
	}
	if !c.trace.take(r.Context()) {
		return
	}
	defer c.trace.give()
	c.trace.header = passed(r.Header, c.job.token)
	c.trace.query = known(r, "debug_trace")
	write(w, c.trace.patch(r.Context(), offset, data))
}

// put is an update of the sub-runner on the job.
func (c *clerk) put(w http.ResponseWriter, r *http.Request) {
	body, read := readBody(w, r, maxUpdate)
	if !read {
		return
	}
	u, err := parseUpdate(body)
	if err != nil {
		write(w, failure(http.StatusBadRequest))
		return
	}
	if !same(u.Token, c.job.token) {
		refuse(w)
		return
	}
	u.header = passed(r.Header, c.job.token)
	if !same(u.header.Get("Job-Token"), c.job.token) {
		u.header.Del("Job-Token")
	}
	if !c.trace.take(r.Context()) {
		return
	}
	defer c.trace.give()
	write(w, c.trace.put(r.Context(), u))
}

// readBody reads a body that is held whole; false when it has been answered.
func readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, bool) {
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(callTimeout)) // best effort: not every writer can
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err != nil {
		write(w, failure(http.StatusRequestEntityTooLarge))
		return nil, false
	}
	http.NewResponseController(w).SetReadDeadline(time.Time{})
	return body, true
}
