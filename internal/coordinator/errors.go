// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

const maxMessage = 300

// StatusError is an answer that is not the one hoped for. It matches
// fleet.ErrUnreachable (408, 429, 5xx), fleet.ErrUnauthorized (401, 403) and
// fleet.ErrNotFound (404), the last two only when the coordinator itself said so: the HTML
// page of something in between proves nothing.
type StatusError struct {
	Method    string
	Path      string // without query
	Status    int
	JobStatus string // the answer's Job-Status, "" if it had none
	Message   string // the coordinator's own words, shortened
	RequestID string // the answer's X-Request-Id, to be found in the coordinator's log
	Foreign   bool   // a page or plain text: not an answer of the coordinator
}

// Error implements error.
func (e *StatusError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %d %s", e.Method, e.Path, e.Status, cmp.Or(http.StatusText(e.Status), "unknown status"))
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.JobStatus != "" {
		b.WriteString(" (job is " + e.JobStatus + ")")
	}
	if e.RequestID != "" {
		b.WriteString(" (request id " + e.RequestID + ")")
	}
	return b.String()
}

// Is implements errors.Is for the sentinels of fleet.
func (e *StatusError) Is(target error) bool {
	if target == fleet.ErrUnreachable {
		return e.Status >= 500 || e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout
	}
	if e.Foreign {
		return false
	}
	switch target {
	case fleet.ErrUnauthorized:
		return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
	case fleet.ErrNotFound:
		return e.Status == http.StatusNotFound
	}
	return false
}

// UnreadableError: a job was granted, but its payload can't be used. It never
// unwraps to a context's error, so that nobody takes it for a poll cut short.
type UnreadableError struct {
	ID     int64
	Token  secret.String
	Reason string
}

// Error implements error.
func (e *UnreadableError) Error() string {
	return fmt.Sprintf("job %d was granted, but its payload can't be read: %s", e.ID, e.Reason)
}

// callError is a failure with the call's name before it and no token in it.
type callError struct {
	text string
	err  error
}

func (e *callError) Error() string { return e.text }
func (e *callError) Unwrap() error { return e.err }

// wrap names the call in an error and keeps its token out of the text.
func (in call) wrap(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the method and URL are said below, the same way for every error
	}
	return &callError{text: in.name() + ": " + in.scrub(err.Error()), err: err}
}

func (in call) name() string { return in.method + " " + apiPrefix + in.path }

// tokenShape is what tokens of GitLab and JSON web tokens look like.
var tokenShape = regexp.MustCompile(`\b(gl[a-z]{2,8}-|eyJ)[\w.=~-]{8,}`)

// scrub removes the call's token, which a server may echo, whatever else looks like a
// token, and what a terminal obeys or does not show.
func (in call) scrub(text string) string {
	if !in.token.Empty() {
		text = strings.ReplaceAll(text, in.token.Reveal(), secret.Redacted)
	}
	text = tokenShape.ReplaceAllString(text, secret.Redacted)
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if r := []rune(text); len(r) > maxMessage {
		text = string(r[:maxMessage]) + "…"
	}
	return strings.TrimSpace(text)
}

// lost classes a call that got no answer.
func (in call) lost(err error) error {
	class := fleet.Unknown
	if in.repeatable || unsent(err) {
		class = fleet.Transient
	}
	return &fleet.CallError{Class: class, Err: &lostError{in.wrap(err)}}
}

// lostError is a call that got no answer.
type lostError struct{ error }

func (e *lostError) Unwrap() error        { return e.error }
func (e *lostError) Is(target error) bool { return target == fleet.ErrUnreachable }

// unsent tells whether the failure proves that no request reached the coordinator.
func unsent(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "dial" || op.Op == "proxyconnect") {
		return true
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	return untrusted || plain || errors.Is(err, http.ErrSchemeMismatch)
}

// unusable is an answer whose status is fine and whose content is not.
func (in call) unusable(format string, args ...any) error {
	class := fleet.Unknown
	if in.repeatable {
		class = fleet.Transient
	}
	return &fleet.CallError{Class: class, Err: in.wrap(fmt.Errorf(format, args...))}
}

// refused classes an answer that is not the one hoped for.
func (in call) refused(a *answer) error {
	e := &StatusError{
		Method: in.method, Path: apiPrefix + in.path, Status: a.status,
		JobStatus: jobStatus(a.header), RequestID: requestID(a.header),
	}
	e.Foreign = e.JobStatus == "" && (a.html() || a.status == http.StatusNotFound && a.notJSON())
	e.Message = in.scrub(a.message())
	class := in.class(a.status)
	if e.Foreign && class == fleet.Permanent && a.status >= 400 {
		class = fleet.Transient
	}
	return &fleet.CallError{Class: class, RetryAfter: retryAfter(a.header), Err: e}
}

func (in call) class(status int) fleet.Class {
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return fleet.Transient
	case status == http.StatusConflict && in.repeatable:
		return fleet.Transient
	case status >= 300 && status < 500:
		return fleet.Permanent
	case in.repeatable:
		return fleet.Transient
	}
	return fleet.Unknown // a 5xx may come from a proxy after the job was granted
}

// notJSON tells whether the answer has a body that no coordinator sends with a refusal:
// those are JSON objects (gitlab-runner-api.md section 2).
func (a *answer) notJSON() bool {
	body := bytes.TrimSpace(a.body)
	return len(body) > 0 && body[0] != '{'
}

func (a *answer) html() bool {
	kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	return kind == "text/html" || kind == "application/xhtml+xml"
}

// message finds the words of an error answer: {"message": "…" or {field: [...]}},
// {"error": "…"}, or the text itself.
func (a *answer) message() string {
	if a.status >= 300 && a.status < 400 {
		return redirectAdvice(a.header.Get("Location"))
	}
	if a.html() {
		return "an HTML page, not an answer of a coordinator: a proxy or a login page, or `url` is wrong"
	}
	if a.status < 300 {
		return "" // it may be a job, with all its secrets
	}
	var body struct {
		Message json.RawMessage `json:"message"`
		Error   json.RawMessage `json:"error"`
	}
	if json.Unmarshal(a.body, &body) != nil {
		return string(a.body)
	}
	raw := body.Message
	if raw == nil {
		raw = body.Error
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

func redirectAdvice(location string) string {
	to, err := url.Parse(location)
	if err != nil || to.Host == "" {
		return "a redirect, which is not followed: fix `url`"
	}
	return fmt.Sprintf("redirected to %s://%s, which is not followed: fix `url`", to.Scheme, to.Host)
}
