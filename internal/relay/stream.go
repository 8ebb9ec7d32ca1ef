// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	// stall ends a transfer that does not move.
	stall = 5 * time.Minute
	// door is how long an upload waits for a coordinator that is down: less than
	// the hour that the uploader allows for the whole.
	door = 50 * time.Minute
	// doorStep is how often the coordinator is looked at meanwhile.
	doorStep = 5 * time.Second
	// again is how long a download is tried: less than the ten minutes that the
	// downloader waits for an answer.
	again = 9 * time.Minute
)

// upload streams an artifact of this job up. It can't be sent twice, so while the
// coordinator is known to be down not a byte of it is read.
func (c *clerk) upload(w http.ResponseWriter, r *http.Request) {
	up := c.trace.up
	if !up.waitUp(r.Context(), door) {
		write(w, failure(http.StatusBadGateway))
		return
	}
	body := &watched{ReadCloser: r.Body, control: http.NewResponseController(w)}
	query := known(r, "artifact_format", "artifact_type", "expire_in", "accessibility")
	request, err := up.request(r.Context(), http.MethodPost, up.jobPath()+"/artifacts", query, passed(r.Header, c.job.token), body)
	if err != nil {
		write(w, failure(http.StatusInternalServerError))
		return
	}
	request.ContentLength = r.ContentLength // -1, chunked, stays so
	answer, err := up.transport.RoundTrip(request)
	if err != nil {
		if body.err == nil {
			up.failed(r.Context())
		}
		c.log.Warn("upload an artifact", "err", err)
		write(w, failure(http.StatusBadGateway))
		return
	}
	up.health.answered(answer.StatusCode, nil)
	c.pass(w, answer)
}

// download streams the artifacts of a dependency down. Asking again does no harm
// until the first byte has been passed on, so an outage is waited for.
func (c *clerk) download(w http.ResponseWriter, r *http.Request, id int64) {
	up := c.trace.up
	path := "/api/v4/jobs/" + strconv.FormatInt(id, 10) + "/artifacts"
	query := known(r, "direct_download")
	header := passed(r.Header, c.job.dependencies[id])
	ctx, cancel := context.WithTimeout(r.Context(), again)
	defer cancel()
	var wait backoff
	for {
		request, err := up.request(r.Context(), http.MethodGet, path, query, header, nil)
		if err != nil {
			write(w, failure(http.StatusInternalServerError))
			return
		}
		answer, err := up.transport.RoundTrip(request)
		if err != nil {
			up.failed(r.Context())
			c.log.Warn("download artifacts", "dependency", id, "err", err)
			if wait.wait(ctx, 0) {
				continue
			}
			write(w, failure(http.StatusBadGateway))
			return
		}
		up.health.answered(answer.StatusCode, nil)
		if isDown(answer.StatusCode) && wait.wait(ctx, retryAfter(answer.Header, time.Now())) {
			answer.Body.Close()
			continue
		}
		c.pass(w, answer)
		return
	}
}

// pass streams an answer down. One that breaks off breaks off here too, or the
// other side would take what it got for the whole.
func (c *clerk) pass(w http.ResponseWriter, answer *http.Response) {
	defer answer.Body.Close()
	answerHeader(w, answer.Header)
	w.WriteHeader(answer.StatusCode)
	control := http.NewResponseController(w)
	defer control.SetWriteDeadline(time.Time{}) // or it would hit the connection's next request
	buffer := make([]byte, 32<<10)
	for {
		n, err := answer.Body.Read(buffer)
		if n > 0 {
			control.SetWriteDeadline(time.Now().Add(stall)) // best effort: not every writer can
			if _, err := w.Write(buffer[:n]); err != nil {
				return
			}
			control.Flush()
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			c.log.Warn("pass an answer on", "err", err)
			panic(http.ErrAbortHandler)
		}
	}
}

// watched is a request's body that may not stall and remembers how it ended.
type watched struct {
	io.ReadCloser
	control *http.ResponseController
	err     error
}

// Read implements io.Reader.
func (b *watched) Read(p []byte) (int, error) {
	b.control.SetReadDeadline(time.Now().Add(stall)) // best effort: not every writer can
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.control.SetReadDeadline(time.Time{}) // the coordinator's answer may take longer
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = fmt.Errorf("read the artifact: %w", err)
		return n, b.err
	}
	return n, err
}

// waitUp waits while the coordinator is known to be down; false when it stays so.
func (c *coordinator) waitUp(ctx context.Context, most time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		if down, _ := c.health.down(); !down {
			return true
		}
		_, _, _ = c.status(ctx) // only the health it leaves behind matters
		if down, _ := c.health.down(); !down {
			return true
		}
		if !sleep(ctx, doorStep) {
			return false
		}
	}
}
