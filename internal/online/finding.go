// SPDX-License-Identifier: Apache-2.0

package online

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"heptapod-paas-runner/internal/fleet"
)

// found makes a finding about the runner.
func (q *questions) found(level Level, format string, args ...any) []Finding {
	return []Finding{{Line: q.runner.Line, Runner: q.runner.Name, Level: level, Text: fmt.Sprintf(format, args...)}}
}

// failed makes a finding of a question without a good answer.
func (q *questions) failed(subject string, err error) []Finding {
	return q.found(levelOf(err), "%s: %v", subject, err)
}

// levelOf tells what waiting may mend from what it never will.
func levelOf(err error) Level {
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case untrusted, plain, errors.Is(err, http.ErrSchemeMismatch):
		return Wrong
	case errors.Is(err, fleet.ErrUnreachable), fleet.IsCut(err):
		return Unreachable
	}
	return Wrong
}

// ends judges when a credential ends; nothing is found when nobody said.
func (q *questions) ends(subject string, at time.Time) []Finding {
	left := time.Until(at)
	day := at.UTC().Format(time.DateOnly)
	switch {
	case at.IsZero():
		return nil
	case left <= 0:
		return q.found(Wrong, "%s: ended on %s; make a new one", subject, day)
	case left <= soon:
		return q.found(Warning, "%s: ends on %s, in %s; make a new one", subject, day, span(left))
	}
	return q.found(Good, "%s: ends on %s", subject, day)
}

// span is a time in the largest unit that is not 0.
func span(d time.Duration) string {
	count := func(n int, unit string) string {
		if n == 1 {
			return "1 " + unit
		}
		return fmt.Sprintf("%d %ss", n, unit)
	}
	switch {
	case d >= 24*time.Hour:
		return count(int(d/(24*time.Hour)), "day")
	case d >= time.Hour:
		return count(int(d/time.Hour), "hour")
	}
	return count(int(d/time.Minute), "minute")
}

// limited gives one question its time.
func (q *questions) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, q.deps.Timeout)
}

// ago is how long something is past.
func ago(d time.Duration) string {
	if d < time.Minute {
		return "just now"
	}
	return span(d) + " ago"
}
