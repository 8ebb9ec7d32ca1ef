// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
)

// serveOnce starts a server for one test and gives its URL.
func serveOnce(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// TestAnEndlessBodyEnds: headers decide for updates and appends, so what follows them
// costs no more than the limit; the others say that the answer is unusable.
func TestAnEndlessBodyEnds(t *testing.T) {
	t.Parallel()
	flood := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", asJSON)
			w.WriteHeader(status)
			for chunk := strings.Repeat("[", 1<<20); r.Context().Err() == nil; {
				if _, err := io.WriteString(w, chunk); err != nil {
					return
				}
			}
		}
	}
	for _, tc := range []struct {
		call   string
		status int
		want   string
	}{
		{"request", 201, "unknown"}, {"request", 500, "unknown"}, {"update", 200, "ok"}, {"append", 202, "ok"},
		{"status", 200, "transient"}, {"status", 403, "permanent unauthorized"},
	} {
		err := calls[tc.call](t.Context(), newClient(t, serveOnce(t, flood(tc.status))))
		if got := verdict(err); got != tc.want {
			t.Errorf("%s %d: got %s (%v), want %s", tc.call, tc.status, got, err, tc.want)
		}
	}
}

func TestLastUpdateComesFromAnyAnswer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status       int
		header, want string
	}{
		{204, "new", "new"}, {204, "", "old"}, {409, "new", "new"}, {500, "new", "new"}, {403, "new", "new"}, {201, "new", "new"},
		{204, strings.Repeat("x", 40<<10), "old"}, // echoed, it would make every further request too large
	} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-GitLab-Last-Update", tc.header)
			w.WriteHeader(tc.status)
		})
		grant, _ := c.Request(t.Context(), coordinator.RunnerCall{Token: runnerToken, LastUpdate: "old"})
		if grant.LastUpdate != tc.want {
			t.Errorf("%d: got %.20q, want %q", tc.status, grant.LastUpdate, tc.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const now = "Fri, 20 Nov 2026 10:00:00 GMT"
	for _, tc := range []struct {
		header map[string]string
		want   time.Duration
	}{
		{map[string]string{}, 0},
		{map[string]string{"Retry-After": "7"}, 7 * time.Second},
		{map[string]string{"Retry-After": "0"}, 0},
		{map[string]string{"Retry-After": "-7"}, 0},
		{map[string]string{"Retry-After": "1.5"}, 0},
		{map[string]string{"Retry-After": "soon"}, 0},
		{map[string]string{"Retry-After": "999999999999"}, time.Hour},
		{map[string]string{"Retry-After": "99999999999999999999999"}, 0},
		{map[string]string{"Retry-After": "Fri, 20 Nov 2026 10:01:30 GMT", "Date": now}, 90 * time.Second},
		{map[string]string{"Retry-After": "Fri, 20 Nov 2026 09:00:00 GMT", "Date": now}, 0},
		{map[string]string{"Retry-After": "Fri, 20 Nov 2099 09:00:00 GMT", "Date": now}, time.Hour},
		{map[string]string{"RateLimit-ResetTime": "Fri, 20 Nov 2026 10:00:20 GMT", "Retry-After": "60", "Date": now}, 20 * time.Second},
		{map[string]string{"RateLimit-ResetTime": "x", "Retry-After": "60", "Date": now}, time.Minute},
	} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			for k, v := range tc.header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(429)
		})
		if got := fleet.RetryAfterOf(calls["status"](t.Context(), c)); got != tc.want {
			t.Errorf("%v: got %v, want %v", tc.header, got, tc.want)
		}
	}
}
