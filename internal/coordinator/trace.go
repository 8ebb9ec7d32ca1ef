// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// MaxAppend is the most that one AppendTrace may carry.
const MaxAppend = 1 << 20

// TraceAnswer is the answer to an append. Conflict: nothing was written, because
// the trace ends elsewhere, at Size.
type TraceAnswer struct {
	Size      int64 // of the trace now; the next offset
	Conflict  bool
	JobStatus string
	Interval  time.Duration
}

// AppendTrace writes data at offset, which must be the trace's size. Repeatable: when
// it has arrived already and nothing after it, the answer is the same as the first time;
// else it is a conflict.
func (c *Client) AppendTrace(ctx context.Context, id int64, token secret.String, offset int64, data []byte) (TraceAnswer, error) {
	if err := mustJob(id, token); err != nil {
		return TraceAnswer{}, err
	}
	if offset < 0 || len(data) == 0 || len(data) > MaxAppend {
		return TraceAnswer{}, &fleet.CallError{Class: fleet.Permanent, Err: fmt.Errorf(
			"append to the trace of job %d: %d bytes at offset %d: want 1 to %d bytes at 0 or more", id, len(data), offset, MaxAppend)}
	}
	in := call{
		method: http.MethodPatch, path: "/jobs/" + strconv.FormatInt(id, 10) + "/trace",
		tokenHeader: "Job-Token", token: token,
		contentType: "text/plain", body: data,
		rangeHeader: fmt.Sprintf("%d-%d", offset, offset+int64(len(data))-1),
		timeout:     c.callTimeout, repeatable: true,
	}
	a, err := c.do(ctx, in)
	if err != nil {
		return TraceAnswer{}, err
	}
	if a.status != http.StatusAccepted && a.status != http.StatusRequestedRangeNotSatisfiable || a.html() {
		return TraceAnswer{}, in.refused(a)
	}
	out := TraceAnswer{
		Conflict:  a.status == http.StatusRequestedRangeNotSatisfiable,
		JobStatus: jobStatus(a.header), Interval: interval(a.header),
	}
	end := a.header.Get("Range")
	if end == "" && !out.Conflict {
		out.Size = offset + int64(len(data))
		return out, nil
	}
	size, ok := parseRange(end)
	if !ok {
		return TraceAnswer{}, in.unusable("%d with Range %q: want 0-SIZE", a.status, in.scrub(end))
	}
	out.Size = size
	return out, nil
}

// ProbeTrace asks for the trace's size without writing: it offers one byte at offset
// 1, which no trace ends at, and the refusal tells the size. (A trace of two bytes is no
// conflict: it ends where the byte would end; nothing is written either.) Should a
// trace be exactly one byte long, a line break is added to it.
func (c *Client) ProbeTrace(ctx context.Context, id int64, token secret.String) (TraceAnswer, error) {
	return c.AppendTrace(ctx, id, token, 1, []byte("\n"))
}
