// SPDX-License-Identifier: Apache-2.0

package gitlab

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxTrace is where a trace is too long. It is checked before the offset.
const maxTrace = 100 << 20

// updateInterval is how many seconds a runner shall wait between two appends, as if
// somebody were looking at the log all the time.
const updateInterval = "3"

// appendTrace is PATCH /jobs/:id/trace.
func (s *Server) appendTrace(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxTrace))
	var tooLarge *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLarge) {
		failure(http.StatusBadRequest, "The request body could not be read").write(w)
		return
	}
	s.asJob(r, "", func(j *job) reply { return s.append(j, r, data) }).write(w)
}

// append appends to a trace; the caller holds the lock.
func (s *Server) append(j *job, r *http.Request, data []byte) reply {
	rng := r.Header.Get("Content-Range")
	if rng == "" {
		return failure(http.StatusBadRequest, "400 Missing header Content-Range")
	}
	start := rangeStart(rng)
	end := start + int64(len(data))
	if end >= maxTrace {
		s.finish(j, failed, "trace_size_exceeded", nil)
		return failure(http.StatusForbidden, "403 Forbidden")
	}
	if start == int64(len(j.trace)) && len(data) > 0 {
		j.trace = append(j.trace, data...)
		j.touchedAt = time.Now()
		if j.firstOutputAt.IsZero() && fromSubRunner(r.UserAgent()) {
			j.firstOutputAt = j.touchedAt
		}
	}
	size := fmt.Sprintf("0-%d", len(j.trace))
	if end != int64(len(j.trace)) {
		refused := failure(http.StatusRequestedRangeNotSatisfiable, "416 Range Not Satisfiable")
		refused.headers = map[string]string{"Range": size}
		return refused
	}
	return reply{status: http.StatusAccepted, text: size, headers: map[string]string{
		"Content-Type": "text/plain", "Range": size, statusHeader: string(j.status),
		"X-Gitlab-Trace-Update-Interval": updateInterval,
	}}
}

// rangeStart is all that the server reads of a Content-Range: the digits it begins with.
func rangeStart(s string) int64 {
	digits := s[:len(s)-len(strings.TrimLeft(s, "0123456789"))]
	start, err := strconv.ParseInt(digits, 10, 48)
	if err != nil {
		return 0
	}
	return start
}

// fromSubRunner tells output of the job from what the manager and the relay write before it.
func fromSubRunner(userAgent string) bool {
	return !strings.HasPrefix(userAgent, "heptapod-paas-runner") && !strings.HasPrefix(userAgent, "paas-relay")
}
