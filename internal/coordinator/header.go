// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// maxRetryAfter bounds what a coordinator may ask for, so that one odd header
	// can't silence a runner for good.
	maxRetryAfter = time.Hour
	// maxInterval is gitlab-runner's own cap on the update interval.
	maxInterval = 15 * time.Minute
	// maxLastUpdate bounds what is echoed: a body above 32 KiB is refused with 413.
	maxLastUpdate = 1 << 10
	maxWord       = 64
)

// retryAfter reads how long the answer asks to wait: RateLimit-ResetTime (a date),
// else Retry-After (seconds or a date). Dates are measured against the answer's own
// Date, so that a difference of clocks does not matter.
func retryAfter(h http.Header) time.Duration {
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	if at, err := http.ParseTime(h.Get("RateLimit-ResetTime")); err == nil {
		return clamp(at.Sub(now), maxRetryAfter)
	}
	value := strings.TrimSpace(h.Get("Retry-After"))
	if at, err := http.ParseTime(value); err == nil {
		return clamp(at.Sub(now), maxRetryAfter)
	}
	return seconds(value, maxRetryAfter)
}

// interval reads X-GitLab-Trace-Update-Interval; 0 when it is absent or empty.
func interval(h http.Header) time.Duration {
	return seconds(strings.TrimSpace(h.Get("X-GitLab-Trace-Update-Interval")), maxInterval)
}

func seconds(value string, limit time.Duration) time.Duration {
	n, ok := digits(value)
	if !ok {
		return 0
	}
	if n > int64(limit/time.Second) {
		return limit
	}
	return time.Duration(n) * time.Second
}

func clamp(d, limit time.Duration) time.Duration { return max(0, min(d, limit)) }

// parseRange reads the Range of a trace answer: exactly "0-SIZE", where SIZE is the
// trace's size, not its last byte.
func parseRange(value string) (int64, bool) {
	size, ok := strings.CutPrefix(value, "0-")
	if !ok {
		return 0, false
	}
	return digits(size)
}

// digits reads a plain decimal number as a server prints it: no sign, no blank, no
// leading zero.
func digits(s string) (int64, bool) {
	if s == "" || len(s) > 1 && s[0] == '0' || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, false // too large
	}
	return n, true
}

// lastUpdate is what to echo next: the answer's value, else the one known so far.
func lastUpdate(h http.Header, known string) string {
	if v := h.Get("X-GitLab-Last-Update"); v != "" && len(v) <= maxLastUpdate {
		return v
	}
	return known
}

// jobStatus reads the Job-Status header; anything that is not a plain word is none.
func jobStatus(h http.Header) string {
	return word(h.Get("Job-Status"), "abcdefghijklmnopqrstuvwxyz_")
}

func requestID(h http.Header) string {
	return word(h.Get("X-Request-Id"), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
}

func word(s, alphabet string) string {
	if len(s) > maxWord || strings.Trim(s, alphabet) != "" {
		return ""
	}
	return s
}
