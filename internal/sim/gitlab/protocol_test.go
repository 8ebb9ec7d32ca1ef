// SPDX-License-Identifier: Apache-2.0

package gitlab_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"heptapod-paas-runner/internal/sim/gitlab"
)

const (
	request   = "/api/v4/jobs/request"
	forbidden = `403 {"message":"403 Forbidden"}`
	ended     = `403 {"message":"403 Forbidden  - Job is not processing on runner"}`
)

func TestWhoMayRequestJobs(t *testing.T) {
	t.Parallel()
	b := newBench(t, gitlab.Config{LongPoll: -1})
	b.expect(`400 {"error":"token is missing"}`, "POST", request, `{}`)
	b.expect(forbidden, "POST", request, `{"token":"nobody"}`)
	b.expect(forbidden, "POST", request, `{"token":"glrt-"}`)
	b.expect("204", "POST", request, `{"token":"sim-runner-token"}`)
	b.expect("204", "POST", request, `{"token":"glrt-anything"}`)
	b.expect(`413 {"message":"413 Request Entity Too Large"}`, "POST", request, `{"token":"`+strings.Repeat("x", 33<<10)+`"}`)
	if w := b.call("POST", request, `{"token":`); w.Code != http.StatusBadRequest {
		t.Errorf("a broken body is answered %d", w.Code)
	}
}

func TestQueueValueIsEchoedAndAnswered204WithoutLongPolling(t *testing.T) {
	t.Parallel()
	b := newBench(t, gitlab.Config{LongPoll: -1})
	w := b.expect("204", "POST", request, `{"token":"sim-runner-token"}`)
	value := w.Header().Get("X-GitLab-Last-Update")
	if value == "" || w.Header().Get("Gitlab-Ci-Builds-Polling") != "" {
		t.Errorf("headers %v, want a queue value and no sign of long polling", w.Header())
	}
	b.queue(`{"script":["true"]}`)
	g := b.acquire(fmt.Sprintf(`{"token":"sim-runner-token","last_update":%q}`, value))
	if g.ID != 100001 {
		t.Errorf("the job's id is %d, want 100001", g.ID)
	}
	w = b.expect("204", "POST", request, fmt.Sprintf(`{"token":"sim-runner-token","last_update":%q}`, value))
	if w.Header().Get("X-GitLab-Last-Update") == value {
		t.Error("the queue changed, its value did not")
	}
}

func TestTokenOfAJobIsLookedForInBodyQueryAndHeader(t *testing.T) {
	t.Parallel()
	b := newBench(t, gitlab.Config{})
	g := b.running(`{"script":["true"]}`)
	other := b.running(`{"script":["true"]}`)
	b.expect("200 200", "PUT", g.path(""), g.update(`"state":"running"`))
	b.expect("200 200", "PUT", g.path(""), `{"state":"running"}`, "Job-Token", g.Token)
	b.expect("200 200", "PUT", g.path(""), g.update(`"state":"running"`), "Job-Token", "the body goes first")
	b.expect("202 0-1", "PATCH", g.path("/trace?token="+g.Token), "x", "Content-Range", "0-1")
	b.expect(forbidden, "PUT", g.path(""), `{"state":"running"}`)
	b.expect(forbidden, "PUT", g.path(""), `{"state":"running"}`, "Job-Token", other.Token)
	b.expect(forbidden, "PUT", g.path(""), `{"state":"running"}`, "Private-Token", g.Token)
	b.expect(forbidden, "PUT", "/api/v4/jobs/42", g.update(`"state":"running"`))
	b.expect(forbidden, "PUT", "/api/v4/jobs/x", g.update(`"state":"running"`))
}

func TestFinalUpdates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		update, status, reason string
		code                   *int
	}{
		{`"state":"success"`, "success", "", new(0)},
		{`"state":"failed","failure_reason":"script_failure","exit_code":3`, "failed", "script_failure", new(3)},
		{`"state":"failed","failure_reason":"runner_system_failure"`, "failed", "runner_system_failure", nil},
		{`"state":"failed","failure_reason":"nonsense"`, "failed", "unknown_failure", nil},
		{`"state":"failed"`, "failed", "unknown_failure", nil},
	} {
		b := newBench(t, gitlab.Config{})
		g := b.running(`{"script":["true"]}`)
		w := b.expect("200 200", "PUT", g.path(""), g.update(c.update))
		if got := w.Header().Get("Job-Status"); got != c.status {
			t.Errorf("%s: Job-Status is %s, want %s", c.update, got, c.status)
		}
		b.ended(g.ID, c.status, c.reason)
		j := b.job(g.ID)
		if (j.ExitCode == nil) != (c.code == nil) || c.code != nil && *j.ExitCode != *c.code || j.FinishedAt == nil {
			t.Errorf("%s: the job is %+v", c.update, j)
		}
		w = b.expect(ended, "PUT", g.path(""), g.update(`"state":"running"`))
		if got := w.Header().Get("Job-Status"); got != c.status {
			t.Errorf("%s: Job-Status after the end is %q", c.update, got)
		}
		b.expect(ended, "PATCH", g.path("/trace"), "x", "Job-Token", g.Token, "Content-Range", "0-0")
	}
}

func TestUpdateToAStrangeStateIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, gitlab.Config{})
	g := b.running(`{"script":["true"]}`)
	b.expect(`400 {"message":"400 Bad Request"}`, "PUT", g.path(""), g.update(`"state":"pending"`))
	b.ended(g.ID, "running", "")
}

func TestTraceIsAppendedAtItsEndOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t, gitlab.Config{})
	g := b.running(`{"script":["true"]}`)
	patch := func(want, start, data, agent string) {
		t.Helper()
		w := b.expect(want, "PATCH", g.path("/trace?debug_trace=false"), data, "Job-Token", g.Token, "Content-Range", start, "User-Agent", agent)
		size := fmt.Sprintf("0-%d", len(b.job(g.ID).Trace))
		if w.Code != http.StatusBadRequest && w.Header().Get("Range") != size {
			t.Errorf("append at %s: Range is %q, want %s", start, w.Header().Get("Range"), size)
		}
		if w.Code == http.StatusAccepted && w.Header().Get("Job-Status") != "running" {
			t.Errorf("append at %s: headers %v", start, w.Header())
		}
	}
	conflict := `416 {"error":"416 Range Not Satisfiable"}`
	patch(conflict, "1-1", "?", "heptapod-paas-runner 1") // the probe of an empty trace
	patch("202 0-9", "0-8", "acquired\n", "heptapod-paas-runner 1")
	patch("202 0-16", "9-15", "booted\n", "paas-relay 1")
	patch(conflict, "1-1", "?", "heptapod-paas-runner 1")
	if j := b.job(g.ID); j.FirstOutputAt != nil {
		t.Errorf("the manager and the relay wrote: first output at %v", j.FirstOutputAt)
	}
	patch(conflict, "9-12", "late", "gitlab-runner 17")
	if j := b.job(g.ID); j.FirstOutputAt != nil {
		t.Errorf("nothing was appended: first output at %v", j.FirstOutputAt)
	}
	patch("202 0-18", "16-17", "$ ", "gitlab-runner 17")
	patch("202 0-18", "16-17", "$ ", "gitlab-runner 17") // again, as its answer was lost
	patch(conflict, "40-41", "xx", "gitlab-runner 17")
	patch(`400 {"error":"400 Missing header Content-Range"}`, "", "xx", "gitlab-runner 17")
	j := b.job(g.ID)
	if j.Trace != "acquired\nbooted\n$ " || j.FirstOutputAt == nil {
		t.Errorf("the job is %+v", j)
	}
}

func TestTraceLimitIsCheckedBeforeTheOffset(t *testing.T) {
	t.Parallel()
	b := newBench(t, gitlab.Config{})
	g := b.running(`{"script":["true"]}`)
	b.expect(`416 {"error":"416 Range Not Satisfiable"}`, "PATCH", g.path("/trace"), "x", "Job-Token", g.Token, "Content-Range", fmt.Sprint(100<<20-2))
	b.expect(`403 {"error":"403 Forbidden"}`, "PATCH", g.path("/trace"), "x", "Job-Token", g.Token, "Content-Range", fmt.Sprint(100<<20-1))
	b.ended(g.ID, "failed", "trace_size_exceeded")
}

func TestCancelIsGracefulWhereTheRunnerCan(t *testing.T) {
	t.Parallel()
	b := newBench(t, gitlab.Config{})
	id := b.queue(`{"script":["true"]}`)
	if j, _ := b.Cancel(id); j.Status != "canceled" || j.FinishedAt == nil {
		t.Errorf("a pending job becomes %+v", j)
	}
	b.expect("204", "POST", request, graceful)

	b.queue(`{"script":["true"]}`)
	plain := b.acquire(`{"token":"sim-runner-token"}`)
	if j, _ := b.Cancel(plain.ID); j.Status != "canceled" {
		t.Errorf("without cancel_gracefully the job becomes %s", j.Status)
	}
	if w := b.expect(ended, "PUT", plain.path(""), plain.update(`"state":"running"`)); w.Header().Get("Job-Status") != "canceled" {
		t.Errorf("headers %v", w.Header())
	}

	for _, final := range []string{`"state":"failed","failure_reason":"unknown_failure"`, `"state":"success"`} {
		g := b.running(`{"script":["true"]}`)
		b.Cancel(g.ID)
		b.ended(g.ID, "canceling", "")
		if w := b.expect("202 0-1", "PATCH", g.path("/trace"), "x", "Job-Token", g.Token, "Content-Range", "0-0"); w.Header().Get("Job-Status") != "canceling" {
			t.Errorf("headers %v", w.Header())
		}
		if w := b.expect("200 200", "PUT", g.path(""), g.update(final)); w.Header().Get("Job-Status") != "canceled" {
			t.Errorf("headers %v", w.Header())
		}
		b.ended(g.ID, "canceled", "")
	}
}

func TestOwnJobOfAJobToken(t *testing.T) {
	t.Parallel()
	b := newBench(t, gitlab.Config{})
	g := b.running(`{"script":["true"]}`)
	status := func(headers ...string) string {
		var e struct{ Status string }
		path := "/api/v4/job"
		if headers == nil {
			path += "?job_token=" + g.Token
		}
		w := b.call("GET", path, "", headers...)
		_ = json.Unmarshal(w.Body.Bytes(), &e)
		return fmt.Sprint(w.Code, " ", e.Status)
	}
	check := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("GET /job: %s, want %s", got, want)
		}
	}
	check(status("Job-Token", g.Token), "200 running")
	check(status(), "200 running")
	check(status("Job-Token", "x"), "401 ")
	check(status("Private-Token", gitlab.AdminToken), "404 ")
	b.Cancel(g.ID)
	check(status("Job-Token", g.Token), "200 canceling")
	b.expect("200 200", "PUT", g.path(""), g.update(`"state":"success"`))
	check(status("Job-Token", g.Token), "401 ")
}

func TestTagsAndPausedRunners(t *testing.T) {
	t.Parallel()
	b := newBench(t, gitlab.Config{LongPoll: -1})
	register := func(fields string) string {
		var answer struct{ Token string }
		w := b.call("POST", "/api/v4/runners", fmt.Sprintf(`{"token":%q,%s}`, gitlab.RegistrationToken, fields))
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusCreated {
			t.Fatalf("register: %d %s", w.Code, w.Body)
		}
		return fmt.Sprintf(`{"token":%q}`, answer.Token)
	}
	tagged := register(`"tag_list":"big, linux","run_untagged":false`)
	paused := register(`"paused":true`)
	capped := register(`"tag_list":["short"],"maximum_timeout":600`)
	b.expect(`400 {"message":{"tags_list":["can not be empty when runner is not allowed to pick untagged jobs"]}}`,
		"POST", "/api/v4/runners", `{"token":"sim-registration-token","run_untagged":false}`)
	b.expect(`403 {"message":"403 Forbidden - invalid token supplied"}`, "POST", "/api/v4/runners", `{"token":"x"}`)

	untagged, big, other := b.queue(`{"script":["x"]}`), b.queue(`{"script":["x"],"tags":["big"]}`), b.queue(`{"script":["x"],"tags":["big","gpu"]}`)
	b.expect("204", "POST", request, paused)
	if got := b.acquire(tagged).ID; got != big {
		t.Errorf("the tagged runner got %d, want %d", got, big)
	}
	b.expect("204", "POST", request, tagged)
	if g := b.acquire(capped); g.ID != untagged || g.RunnerInfo.Timeout != 600 {
		t.Errorf("the runner with a limit got %d with %d seconds", g.ID, g.RunnerInfo.Timeout)
	}
	b.expect("204", "POST", request, `{"token":"glrt-x"}`)
	if got := b.acquire(`{"token":"sim-runner-token"}`).ID; got != other {
		t.Errorf("the runner for everything got %d, want %d", got, other)
	}
}

func TestManyClientsAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, gitlab.Config{LongPoll: -1})
	const jobs = 60
	for range jobs {
		b.queue(`{"script":["true"]}`)
	}
	var mu sync.Mutex
	seen := map[int64]int{}
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for {
				w := b.call("POST", request, graceful)
				if w.Code == http.StatusNoContent {
					return
				}
				var g granted
				if err := json.Unmarshal(w.Body.Bytes(), &g); err != nil {
					t.Errorf("%d %s: %v", w.Code, w.Body, err)
					return
				}
				mu.Lock()
				seen[g.ID]++
				mu.Unlock()
				b.call("PATCH", g.path("/trace"), "hello", "Job-Token", g.Token, "Content-Range", "0-4")
				b.call("GET", "/_sim/jobs", "")
				b.Cancel(g.ID)
				b.upload(g, []byte("zip"))
				b.call("PUT", g.path(""), g.update(`"state":"success"`))
			}
		})
	}
	clients.Wait()
	if len(seen) != jobs {
		t.Errorf("%d jobs were granted, want %d", len(seen), jobs)
	}
	for _, j := range b.Jobs() {
		if seen[j.ID] != 1 || j.Status != "canceled" || j.Trace != "hello" {
			t.Errorf("job %d was granted %d times and is %s with %q", j.ID, seen[j.ID], j.Status, j.Trace)
		}
	}
}
