// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// said answers every call the same.
type said struct {
	status       int
	kind, header string
	body         string
}

// RoundTrip implements http.RoundTripper.
func (s said) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	header := http.Header{
		"Content-Type": {s.kind}, "Retry-After": {s.header}, "Range": {s.header}, "Job-Status": {s.header},
		"X-Gitlab-Trace-Update-Interval": {s.header}, "X-Request-Id": {s.header}, "Location": {s.header}, "X-Next-Page": {s.header},
	}
	return &http.Response{StatusCode: s.status, Header: header, Body: io.NopCloser(strings.NewReader(s.body)), Request: r}, nil
}

// asks are all calls of a client, by name.
func asks(c *Client, token secret.String) map[string]func(context.Context) error {
	drop := func(_ any, err error) error { return err }
	return map[string]func(context.Context) error{
		"request":  func(ctx context.Context) error { return drop(c.Request(ctx, RunnerCall{Token: token})) },
		"update":   func(ctx context.Context) error { return drop(c.Update(ctx, 1, token, Update{State: "running"})) },
		"append":   func(ctx context.Context) error { return drop(c.AppendTrace(ctx, 1, token, 5, []byte("x"))) },
		"probe":    func(ctx context.Context) error { return drop(c.ProbeTrace(ctx, 1, token)) },
		"status":   func(ctx context.Context) error { return drop(c.JobStatus(ctx, 42, token)) },
		"verify":   func(ctx context.Context) error { return drop(c.Verify(ctx, token, "s")) },
		"discover": func(ctx context.Context) error { return drop(c.Discover(ctx, token)) },
		"register": func(ctx context.Context) error { return drop(c.Register(ctx, Registration{Token: token})) },
		"remove":   func(ctx context.Context) error { return c.Unregister(ctx, token) },
		"forget":   func(ctx context.Context) error { return c.ForgetManager(ctx, token, "s") },
		"group":    func(ctx context.Context) error { return drop(c.GroupAttributes(ctx, "g", token)) },
		"managers": func(ctx context.Context) error { return drop(c.Managers(ctx, 1, token)) },
		"token":    func(ctx context.Context) error { return drop(c.TokenInfo(ctx, token)) },
		"size":     func(ctx context.Context) error { return drop(c.TraceSize(ctx, "p", 1, token)) },
	}
}

// FuzzAnswers: whatever a coordinator answers to whatever it is asked, there is an end; an
// error has a class and a bounded wait, tells no token and is one line that drives no
// terminal.
func FuzzAnswers(f *testing.F) {
	const canary = "glrt-CANARYrunnertoken00"
	for _, s := range []said{
		{201, "application/json", "1", `{"id":1,"token":"t","token_expires_at":"2026-01-01T00:00:00Z"}`}, {200, "application/json", "0-7", `[{"key":"a","value":"b"}]`},
		{403, "application/json", "failed", `{"message":"403 Forbidden ` + canary + ` \u001b[31m\u202e"}`}, {416, "text/plain", "0-9", "416"}, {302, "text/html", "https://evil.example/\x1b", ""},
		{429, "text/plain", "99999999999", "retry\x9b"}, {200, "application/json", "", `{"id":"x","scopes":7,"expires_at":"x"}`}, {500, "text/html", "x", "<html>" + canary}, {200, "application/json", "2", `[]`},
	} {
		f.Add(s.status, s.kind, s.header, s.body)
	}
	f.Fuzz(func(t *testing.T, status int, kind, header, body string) {
		if status < 200 || status > 599 {
			return
		}
		c, err := New(Config{URL: "https://gitlab.example", Transport: said{status, kind, header, body}})
		if err != nil {
			t.Fatal(err)
		}
		for name, ask := range asks(c, secret.New(canary)) {
			err := ask(t.Context())
			if err == nil {
				continue
			}
			if wait := fleet.RetryAfterOf(err); wait < 0 || wait > time.Hour {
				t.Errorf("%s waits for %v", name, wait)
			}
			if text := err.Error(); strings.Contains(text, canary) || len(text) > 4*maxMessage+500 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%s: %q", name, text)
			}
		}
	})
}
