// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

const (
	runnerSecret = "glrt-CANARYRUNNERTOKEN01"
	jobSecret    = "glcbt-64_CANARYJOBTOKEN1"
)

var (
	runnerToken = secret.New(runnerSecret)
	jobToken    = secret.New(jobSecret)
)

// newClient makes a client of the given base URL with short limits.
func newClient(t *testing.T, base string) *coordinator.Client {
	t.Helper()
	c, err := coordinator.New(coordinator.Config{
		URL: base, Version: "1.2.3", SystemID: "r_0123456789ab",
		CallTimeout: 5 * time.Second, PollTimeout: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve starts a server for one test and gives a client of it.
func serve(t *testing.T, h http.HandlerFunc) *coordinator.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return newClient(t, s.URL)
}

// serveRaw answers every connection with the same bytes once a request came.
func serveRaw(t *testing.T, reply string) *coordinator.Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = conn.Read(make([]byte, 64<<10))
				_, _ = io.WriteString(conn, reply)
			}()
		}
	}()
	return newClient(t, "http://"+l.Addr().String())
}

// sent is what a server saw of a call.
type sent struct {
	Method, URI string
	Header      map[string]string
	Body        map[string]any
	Text        string
}

// record keeps the last request and answers it.
func record(t *testing.T, into *sent, status int, header map[string]string, body string) *coordinator.Client {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		*into = sent{Method: r.Method, URI: r.RequestURI, Header: map[string]string{}}
		for _, name := range []string{"Accept", "Content-Type", "Content-Range", "User-Agent", "Runner-Token", "Job-Token", "Private-Token", "Authorization"} {
			if v := r.Header.Get(name); v != "" {
				into.Header[name] = v
			}
		}
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.Header.Get("Content-Type") != "application/json" {
			into.Text = string(raw)
		} else if err := json.Unmarshal(raw, &into.Body); err != nil {
			t.Error(err)
		}
		for k, v := range header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// wireInfo is what a stock gitlab-runner 17.9.0 with the docker executor reported,
// with our own name and version in place of its.
func wireInfo(t *testing.T) map[string]any {
	t.Helper()
	raw, err := os.ReadFile("testdata/info-docker-17.9.json")
	if err != nil {
		t.Fatal(err)
	}
	var info map[string]any
	if err := json.Unmarshal(raw, &info); err != nil {
		t.Fatal(err)
	}
	info["name"], info["version"] = "heptapod-paas-runner", "1.2.3"
	info["platform"], info["architecture"] = runtime.GOOS, runtime.GOARCH
	delete(info, "revision")
	return info
}

const userAgent = "heptapod-paas-runner 1.2.3"

func TestRequestOnTheWire(t *testing.T) {
	t.Parallel()
	var got sent
	c := record(t, &got, 204, map[string]string{"X-GitLab-Last-Update": "queue-2"}, "")
	grant, err := c.Request(t.Context(), coordinator.RunnerCall{Token: runnerToken, LastUpdate: "queue-1"})
	if err != nil || grant.Job != nil || grant.LastUpdate != "queue-2" {
		t.Errorf("got %v, %v", grant, err)
	}
	want := sent{
		Method: "POST", URI: "/api/v4/jobs/request",
		Header: map[string]string{"Accept": "application/json", "Content-Type": "application/json", "User-Agent": userAgent, "Runner-Token": runnerSecret},
		Body:   map[string]any{"token": runnerSecret, "system_id": "r_0123456789ab", "last_update": "queue-1", "info": wireInfo(t)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTwoPhaseCommitIsNotPromised(t *testing.T) {
	t.Parallel()
	var got sent
	c := record(t, &got, 204, nil, "")
	if _, err := c.Request(t.Context(), coordinator.RunnerCall{Token: runnerToken}); err != nil {
		t.Fatal(err)
	}
	features := got.Body["info"].(map[string]any)["features"].(map[string]any)
	if _, there := features["two_phase_job_commit"]; there {
		t.Error("two_phase_job_commit is announced")
	}
	if _, there := got.Body["last_update"]; there {
		t.Error("last_update is sent before one is known")
	}
}

func TestUpdateOnTheWire(t *testing.T) {
	t.Parallel()
	header := map[string]string{"Content-Type": "application/json", "User-Agent": userAgent, "Job-Token": jobSecret}
	for name, tc := range map[string]struct {
		update coordinator.Update
		body   map[string]any
	}{
		"touch":        {coordinator.Update{State: "running"}, map[string]any{"state": "running"}},
		"success":      {coordinator.Update{State: "success", FailureReason: "script_failure", ExitCode: 3}, map[string]any{"state": "success"}},
		"failure":      {coordinator.Update{State: "failed", FailureReason: "runner_system_failure", ExitCode: 103}, map[string]any{"state": "failed", "failure_reason": "runner_system_failure", "exit_code": 103.0}},
		"no exit code": {coordinator.Update{State: "failed", FailureReason: "script_failure"}, map[string]any{"state": "failed", "failure_reason": "script_failure"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got sent
			c := record(t, &got, 200, map[string]string{"Job-Status": "running", "X-GitLab-Trace-Update-Interval": "3"}, "200")
			answer, err := c.Update(t.Context(), 42, jobToken, tc.update)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(coordinator.Answer{Status: 200, JobStatus: "running", Interval: 3 * time.Second}, answer); diff != "" {
				t.Error(diff)
			}
			tc.body["token"], tc.body["info"] = jobSecret, wireInfo(t)
			if diff := cmp.Diff(sent{Method: "PUT", URI: "/api/v4/jobs/42", Header: header, Body: tc.body}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTraceOnTheWire(t *testing.T) {
	t.Parallel()
	header := func(contentRange string) map[string]string {
		return map[string]string{"Content-Type": "text/plain", "User-Agent": userAgent, "Job-Token": jobSecret, "Content-Range": contentRange}
	}
	var got sent
	c := record(t, &got, 202, map[string]string{"Range": "0-109", "Job-Status": "canceling"}, "0-109")
	answer, err := c.AppendTrace(t.Context(), 42, jobToken, 103, []byte("häää\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(coordinator.TraceAnswer{Size: 109, JobStatus: "canceling"}, answer); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(sent{Method: "PATCH", URI: "/api/v4/jobs/42/trace", Header: header("103-110"), Text: "häää\n"}, got); diff != "" {
		t.Error(diff)
	}

	c = record(t, &got, 416, map[string]string{"Range": "0-700", "Job-Status": "running"}, "")
	answer, err = c.ProbeTrace(t.Context(), 42, jobToken)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(coordinator.TraceAnswer{Size: 700, Conflict: true, JobStatus: "running"}, answer); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(sent{Method: "PATCH", URI: "/api/v4/jobs/42/trace", Header: header("1-1"), Text: "\n"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestJobStatusOnTheWire(t *testing.T) {
	t.Parallel()
	var got sent
	c := record(t, &got, 200, map[string]string{"Content-Type": "application/json", "Date": "Fri, 20 Nov 2026 10:01:30 GMT"},
		`{"id":42,"status":"canceling","started_at":"2026-11-20T11:00:00.000+01:00","runner":null}`)
	standing, err := c.JobStatus(t.Context(), 42, jobToken)
	if want := (coordinator.Standing{Status: "canceling", Age: 90 * time.Second}); err != nil || standing != want {
		t.Errorf("got %+v, %v, want %+v", standing, err, want)
	}
	header := map[string]string{"Accept": "application/json", "User-Agent": userAgent, "Job-Token": jobSecret}
	if diff := cmp.Diff(sent{Method: "GET", URI: "/api/v4/job", Header: header}, got); diff != "" {
		t.Error(diff)
	}
}

// All jobs are asked for at one address: what keeps answers on the way may give one job's to
// another, and must not end it.
func TestStatusOfAnotherJob(t *testing.T) {
	t.Parallel()
	var got sent
	c := record(t, &got, 200, map[string]string{"Content-Type": "application/json"}, `{"id":41,"status":"success"}`)
	if standing, err := c.JobStatus(t.Context(), 42, jobToken); err == nil || fleet.ClassOf(err) != fleet.Transient {
		t.Errorf("job 42 is %q by the answer about job 41, %v", standing.Status, err)
	}
}

func TestBaseURLs(t *testing.T) {
	t.Parallel()
	var uri string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uri = r.RequestURI
		w.WriteHeader(204)
	}))
	t.Cleanup(s.Close)
	for suffix, want := range map[string]string{
		"": "/api/v4/jobs/request", "/": "/api/v4/jobs/request", "/ci": "/api/v4/jobs/request",
		"/forge/": "/forge/api/v4/jobs/request", "/forge/ci?x=1": "/forge/api/v4/jobs/request",
	} {
		if _, err := newClient(t, s.URL+suffix).Request(t.Context(), coordinator.RunnerCall{Token: runnerToken}); err != nil {
			t.Fatal(err)
		}
		if uri != want {
			t.Errorf("%q: called %s, want %s", suffix, uri, want)
		}
	}
	for _, bad := range []string{"", "gitlab.example", "ftp://gitlab.example", "https://"} {
		if _, err := coordinator.New(coordinator.Config{URL: bad}); err == nil {
			t.Errorf("%q is accepted as a URL", bad)
		}
	}
}

func TestNothingIsSentForWhatCanNotBeACall(t *testing.T) {
	t.Parallel()
	c := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	big := []byte(strings.Repeat("x", coordinator.MaxAppend+1))
	for name, call := range map[string]func() error{
		"empty append":    func() error { _, err := c.AppendTrace(t.Context(), 1, jobToken, 0, nil); return err },
		"large append":    func() error { _, err := c.AppendTrace(t.Context(), 1, jobToken, 0, big); return err },
		"negative offset": func() error { _, err := c.AppendTrace(t.Context(), 1, jobToken, -1, []byte("x")); return err },
		"no job": func() error {
			_, err := c.Update(t.Context(), 0, jobToken, coordinator.Update{State: "running"})
			return err
		},
		"no token":                func() error { _, err := c.ProbeTrace(t.Context(), 1, secret.String{}); return err },
		"token with a line break": func() error { _, err := c.JobStatus(t.Context(), 42, secret.New("a\nCANARY")); return err },
	} {
		err := call()
		if err == nil || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}
