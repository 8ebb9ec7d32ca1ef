// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
)

// calls are the calls of the client by name, reduced to their error.
var calls = map[string]func(context.Context, *coordinator.Client) error{
	"request": func(ctx context.Context, c *coordinator.Client) error {
		grant, err := c.Request(ctx, coordinator.RunnerCall{Token: runnerToken})
		if err != nil && grant.Job != nil {
			return errors.New("a job came with an error")
		}
		return err
	},
	"update": func(ctx context.Context, c *coordinator.Client) error {
		_, err := c.Update(ctx, 42, jobToken, coordinator.Update{State: coordinator.StateFailed, FailureReason: "script_failure"})
		return err
	},
	"append": func(ctx context.Context, c *coordinator.Client) error {
		_, err := c.AppendTrace(ctx, 42, jobToken, 10, []byte("hello\n"))
		return err
	},
	"probe": func(ctx context.Context, c *coordinator.Client) error {
		_, err := c.ProbeTrace(ctx, 42, jobToken)
		return err
	},
	"status": func(ctx context.Context, c *coordinator.Client) error {
		_, err := c.JobStatus(ctx, 42, jobToken)
		return err
	},
	"verify": func(ctx context.Context, c *coordinator.Client) error {
		_, err := c.Verify(ctx, runnerToken, "r_0123456789ab")
		return err
	},
	"discover": func(ctx context.Context, c *coordinator.Client) error {
		_, err := c.Discover(ctx, runnerToken)
		return err
	},
	"token": func(ctx context.Context, c *coordinator.Client) error {
		_, err := c.TokenInfo(ctx, runnerToken)
		return err
	},
	"managers": func(ctx context.Context, c *coordinator.Client) error {
		_, err := c.Managers(ctx, 7, runnerToken)
		return err
	},
}

// verdict is what the manager learns from an error: its class and sentinels.
func verdict(err error) string {
	if err == nil {
		return "ok"
	}
	out := fleet.ClassOf(err).String()
	if errors.Is(err, fleet.ErrUnauthorized) {
		out += " unauthorized"
	}
	if errors.Is(err, fleet.ErrNotFound) {
		out += " absent"
	}
	return out
}

// clean fails the test when an error, printed or logged in any way, shows a token.
func clean(t *testing.T, name string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Error("x", "err", err)
	slog.New(slog.NewTextHandler(&log, nil)).Error("x", "err", err)
	for _, text := range []string{err.Error(), fmt.Sprintf("%v %+v %s", err, err, err), log.String()} {
		if strings.Contains(text, "CANARY") {
			t.Errorf("%s: the error shows a token: %s", name, text)
		}
		if strings.ContainsAny(err.Error(), "\n\r\x1b") {
			t.Errorf("%s: the error has control characters: %q", name, text)
		}
	}
}

const (
	asJSON = "application/json"
	asHTML = "text/html; charset=utf-8"
	asText = "text/plain"
)

// TestEveryAnswer answers each call with each status: what a coordinator says, what
// it never should say, and what a proxy says in its place. The body echoes the
// tokens, as a server in debug mode may.
func TestEveryAnswer(t *testing.T) {
	t.Parallel()
	const all, but = "all", "others"
	echo := `{"message":"403 Forbidden \u001b[31m ` + runnerSecret + " " + jobSecret + `"}`
	page := "<html><body>" + runnerSecret + jobSecret + "</body></html>"
	for _, tc := range []struct {
		status     int
		kind, body string
		want       map[string]string // verdict by call; `all` for every call, `others` for those not named
	}{
		{400, asJSON, echo, map[string]string{all: "permanent"}},
		{401, asJSON, echo, map[string]string{all: "permanent unauthorized"}},
		{403, asJSON, echo, map[string]string{all: "permanent unauthorized"}},
		{404, asJSON, echo, map[string]string{"discover": "ok", "token": "ok", but: "permanent absent"}},
		{405, asJSON, echo, map[string]string{"discover": "ok", but: "permanent"}},
		{408, asJSON, echo, map[string]string{all: "transient"}},
		{409, asJSON, echo, map[string]string{"request": "ok", but: "transient"}},
		{410, asJSON, echo, map[string]string{all: "permanent"}},
		{412, asJSON, echo, map[string]string{all: "permanent"}},
		{413, asJSON, echo, map[string]string{all: "permanent"}},
		{416, asJSON, echo, map[string]string{"append": "transient", "probe": "transient", but: "permanent"}}, // without Range
		{422, asJSON, echo, map[string]string{all: "permanent"}},
		{429, asJSON, echo, map[string]string{all: "transient"}},
		{500, asJSON, echo, map[string]string{"request": "unknown", but: "transient"}},
		{502, asHTML, page, map[string]string{"request": "unknown", but: "transient"}},
		{503, asText, echo, map[string]string{"request": "unknown", but: "transient"}},
		{599, "", "", map[string]string{"request": "unknown", but: "transient"}},
		{401, asHTML, page, map[string]string{all: "transient"}},
		{403, asHTML, page, map[string]string{all: "transient"}},
		{404, asHTML, page, map[string]string{all: "transient"}},
		{200, asHTML, page, map[string]string{"request": "unknown", but: "transient"}},
		{202, asHTML, page, map[string]string{"request": "unknown", but: "transient"}},
		{201, asHTML, page, map[string]string{"request": "unknown", but: "transient"}},
		{201, asJSON, `{"id":0,"token":""}`, map[string]string{"request": "unknown", but: "transient"}},
		{201, asJSON, ``, map[string]string{"request": "unknown", but: "transient"}},
		{200, asJSON, `200`, map[string]string{"update": "ok", "verify": "ok", "discover": "ok", "request": "unknown", but: "transient"}},
		{200, asJSON, `{"id":42}`, map[string]string{"update": "ok", "verify": "ok", "discover": "ok", "token": "ok", "request": "unknown", but: "transient"}},
		{200, asJSON, `{"id":42,"status":"` + jobSecret, map[string]string{"update": "ok", "discover": "ok", "request": "unknown", but: "transient"}},
		{202, asText, `0-16`, map[string]string{"update": "ok", "append": "ok", "probe": "ok", "request": "unknown", but: "transient"}},
		{204, "", ``, map[string]string{"request": "ok", but: "transient"}},
		{206, asJSON, `{}`, map[string]string{"request": "unknown", but: "transient"}},
		{300, asHTML, page, map[string]string{all: "permanent"}},
		{304, "", "", map[string]string{all: "permanent"}},
	} {
		for _, name := range slices.Sorted(maps.Keys(calls)) {
			want := tc.want[all] + tc.want[name]
			if want == "" {
				want = tc.want[but]
			}
			title := fmt.Sprintf("%s %d %s", name, tc.status, tc.kind)
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header()["Content-Type"] = []string{tc.kind}
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			})
			err := calls[name](t.Context(), c)
			if got := verdict(err); got != want {
				t.Errorf("%s: got %s (%v), want %s", title, got, err, want)
			}
			clean(t, title, err)
		}
	}
}

func TestBrokenConversations(t *testing.T) {
	t.Parallel()
	lost := map[string]string{"request": "unknown"}
	for title, tc := range map[string]struct {
		reply string
		want  map[string]string // for the calls not named: transient
	}{
		"cut without an answer":   {"", lost},
		"not HTTP":                {"220 " + runnerSecret + " " + jobSecret + " ESMTP\r\n", lost},
		"cut in the header":       {"HTTP/1.1 200 OK\r\nContent-Ty", lost},
		"cut in the body":         {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"id\":42,", map[string]string{"request": "unknown", "update": "ok", "discover": "ok"}},
		"huge header":             {"HTTP/1.1 200 OK\r\nX-Pad: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", lost},
		"endless headers":         {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Pad: y\r\n", 200000), lost},
		"granted, cut in its id":  {"HTTP/1.1 201 Created\r\nContent-Length: 900\r\n\r\n{\"id\":4", lost},
		"TLS where none is asked": {"\x15\x03\x01\x00\x02\x02\x16", lost},
	} {
		for name, call := range calls {
			c := serveRaw(t, tc.reply)
			want := tc.want[name]
			if want == "" {
				want = "transient"
			}
			err := call(t.Context(), c)
			if got := verdict(err); got != want {
				t.Errorf("%s, %s: got %s (%v), want %s", title, name, got, err, want)
			}
			clean(t, title, err)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	for name, call := range calls {
		err := call(t.Context(), newClient(t, "http://127.0.0.1:1"))
		if got := verdict(err); got != "transient" {
			t.Errorf("%s: got %s (%v): no request can have arrived", name, got, err)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for name, call := range calls {
			other := serveOnce(t, func(http.ResponseWriter, *http.Request) { t.Errorf("%s: the redirect was followed", name) })
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", other+"/users/sign_in?token="+jobSecret)
				w.WriteHeader(status)
			})
			err := call(t.Context(), c)
			if got := verdict(err); got != "permanent" {
				t.Errorf("%d %s: got %s", status, name, got)
			}
			if want := "redirected to " + other + ", which is not followed: fix `url`"; !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%d %s: %v does not say %q", status, name, err, want)
			}
			clean(t, name, err)
		}
	}
}

func TestWhatARefusalCarries(t *testing.T) {
	t.Parallel()
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", asJSON)
		w.Header().Set("Job-Status", "canceled")
		w.Header().Set("X-Request-Id", "01HXYZ")
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(403)
		_, _ = io.WriteString(w, `{"message":"403 Forbidden  - Job is not processing on runner"}`)
	})
	for _, name := range []string{"update", "append", "probe"} {
		err := calls[name](t.Context(), c)
		e, ok := errors.AsType[*coordinator.StatusError](err)
		if !ok || e.Status != 403 || e.JobStatus != "canceled" || e.RequestID != "01HXYZ" || fleet.RetryAfterOf(err) != time.Minute {
			t.Errorf("%s: got %#v, retry after %v", name, e, fleet.RetryAfterOf(err))
		}
	}
	err := calls["probe"](t.Context(), c)
	want := "PATCH /api/v4/jobs/42/trace: 403 Forbidden: 403 Forbidden  - Job is not processing on runner (job is canceled) (request id 01HXYZ)"
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
}

func TestHeadersThatAreNoPlainWords(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"failed; canceled", "Failed", "<b>", strings.Repeat("x", 65), jobSecret} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Job-Status", value)
			w.Header().Set("X-Request-Id", value+"\t"+jobSecret)
			w.WriteHeader(403)
		})
		err := calls["update"](t.Context(), c)
		e, ok := errors.AsType[*coordinator.StatusError](err)
		if !ok || e.JobStatus != "" || e.RequestID != "" {
			t.Errorf("%q: got %#v", value, e)
		}
		clean(t, value, err)
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"message":"plain"}`:                     "plain",
		`{"error":"invalid_token"}`:               "invalid_token",
		`{"message":{"tag_list":["is missing"]}}`: `{"tag_list":["is missing"]}`,
		`{"other":1}`:                             "",
		`just text`:                               "just text",
		"two\nlines\x00":                          "two lines",
		"bad \xff bytes":                          "bad ? bytes",
		strings.Repeat("ä", 500):                  strings.Repeat("ä", 300) + "…",
		``:                                        "",
	} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", asText)
			w.WriteHeader(422)
			_, _ = io.WriteString(w, body)
		})
		e, ok := errors.AsType[*coordinator.StatusError](calls["status"](t.Context(), c))
		if !ok || e.Message != want {
			t.Errorf("%q: got %q, want %q", body, e.Message, want)
		}
	}
}

func TestTraceRanges(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status int
		value  string
		size   int64 // -1: an error
	}{
		{202, "0-16", 16}, {202, "0-20", 20}, {202, "", 16}, {202, "16", -1}, {202, "0-16/20", -1}, {202, "0--1", -1},
		{416, "0-0", 0}, {416, "0-700", 700}, {416, "0-9223372036854775807", 9223372036854775807},
		{416, "0-9223372036854775808", -1}, {416, "", -1}, {416, "1-700", -1}, {416, "0-07", -1}, {416, "0-", -1},
		{416, "bytes 0-700", -1}, {416, "0-+7", -1}, {416, "0-7 ", 7}, {416, "0-" + jobSecret, -1},
	} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if tc.value != "" {
				w.Header().Set("Range", tc.value)
			}
			w.WriteHeader(tc.status)
		})
		answer, err := c.AppendTrace(t.Context(), 42, jobToken, 10, []byte("hello\n"))
		if tc.size < 0 {
			if got := verdict(err); got != "transient" {
				t.Errorf("%d %q: got %v, %s", tc.status, tc.value, answer, got)
			}
			clean(t, tc.value, err)
			continue
		}
		if err != nil || answer.Size != tc.size || answer.Conflict != (tc.status == 416) {
			t.Errorf("%d %q: got %+v, %v", tc.status, tc.value, answer, err)
		}
	}
}
