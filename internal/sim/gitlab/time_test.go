// SPDX-License-Identifier: Apache-2.0

package gitlab_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/sim/gitlab"
)

// bubble runs a test with a running server in simulated time.
func bubble(t *testing.T, c gitlab.Config, test func(t *testing.T, b bench)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, c)
		go func() { _ = b.Run(t.Context()) }()
		synctest.Wait() // it sleeps, as it does before a first job
		test(t, b)
	})
}

// value asks for a job that isn't there and gives the queue value.
func (b bench) value() string {
	b.t.Helper()
	return b.expect("204", "POST", request, `{"token":"sim-runner-token"}`).Header().Get("X-GitLab-Last-Update")
}

func TestLongPollIsHeldAndNeverBringsAJob(t *testing.T) {
	bubble(t, gitlab.Config{}, func(t *testing.T, b bench) {
		poll := fmt.Sprintf(`{"token":"sim-runner-token","last_update":%q}`, b.value())
		start := time.Now()
		w := b.expect("204", "POST", request, poll)
		if time.Since(start) != 50*time.Second || w.Header().Get("Gitlab-Ci-Builds-Polling") != "yes" {
			t.Errorf("answered after %v with %v, want 50s and the sign of long polling", time.Since(start), w.Header())
		}
		start = time.Now()
		time.AfterFunc(7*time.Second, func() { b.queue(`{"script":["true"]}`) })
		w = b.expect("204", "POST", request, poll)
		if time.Since(start) != 7*time.Second || w.Header().Get("X-GitLab-Last-Update") != "" {
			t.Errorf("answered after %v with %v, want 7s and no new queue value: who took it would be held again", time.Since(start), w.Header())
		}
		start = time.Now()
		if g := b.acquire(poll); g.ID != 100001 || time.Since(start) != 0 {
			t.Errorf("job %d after %v, want the queued one at once", g.ID, time.Since(start))
		}
	})
}

func TestLongPollEndsWithItsClient(t *testing.T) {
	bubble(t, gitlab.Config{LongPoll: time.Hour}, func(t *testing.T, b bench) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		req := httptest.NewRequestWithContext(ctx, http.MethodPost, request,
			strings.NewReader(fmt.Sprintf(`{"token":"sim-runner-token","last_update":%q}`, b.value())))
		start := time.Now()
		b.ServeHTTP(httptest.NewRecorder(), req)
		if time.Since(start) != time.Minute {
			t.Errorf("held for %v, want until the client was gone", time.Since(start))
		}
	})
}

func TestSilentJobsAreDropped(t *testing.T) {
	bubble(t, gitlab.Config{}, func(t *testing.T, b bench) {
		silent, loud, asked := b.running(`{"script":["true"]}`), b.running(`{"script":["true"]}`), b.running(`{"script":["true"]}`)
		b.Cancel(asked.ID)
		for range 2 {
			time.Sleep(20 * time.Minute)
			b.expect("200 200", "PUT", loud.path(""), loud.update(`"state":"running"`))
		}
		b.ended(silent.ID, "failed", "no_updates_running")
		b.ended(asked.ID, "canceled", "")
		b.ended(loud.ID, "running", "")
		if j := b.job(silent.ID); j.FinishedAt.Sub(*j.AcquiredAt) != 30*time.Minute {
			t.Errorf("dropped %v after it was acquired, want 30m", j.FinishedAt.Sub(*j.AcquiredAt))
		}
		if w := b.expect(ended, "PUT", silent.path(""), silent.update(`"state":"success"`)); w.Header().Get("Job-Status") != "failed" {
			t.Errorf("headers %v", w.Header())
		}
	})
}

func TestAppendsKeepAJobAliveAndRefusedOnesDont(t *testing.T) {
	bubble(t, gitlab.Config{DropSilent: time.Minute}, func(t *testing.T, b bench) {
		g, probed := b.running(`{"script":["true"]}`), b.running(`{"script":["true"]}`)
		for i := range 3 {
			time.Sleep(40 * time.Second)
			b.call("PATCH", g.path("/trace"), "x", "Job-Token", g.Token, "Content-Range", fmt.Sprint(i))
			b.call("PATCH", probed.path("/trace"), "x", "Job-Token", probed.Token, "Content-Range", "1-1")
		}
		b.ended(g.ID, "running", "")
		b.ended(probed.ID, "failed", "no_updates_running")
	})
}

func TestLateJobsAreDropped(t *testing.T) {
	bubble(t, gitlab.Config{}, func(t *testing.T, b bench) {
		g := b.running(`{"script":["true"],"timeout":600}`)
		asked := b.running(`{"script":["true"],"timeout":600}`)
		for range 12 {
			time.Sleep(2 * time.Minute)
			b.expect("200 200", "PUT", g.path(""), g.update(`"state":"running"`))
			b.expect("200 200", "PUT", asked.path(""), asked.update(`"state":"running"`))
		}
		b.Cancel(asked.ID)
		time.Sleep(2 * time.Minute)
		b.ended(g.ID, "failed", "server_timeout_running")
		b.ended(asked.ID, "canceled", "")
		if j := b.job(g.ID); j.FinishedAt.Sub(*j.AcquiredAt) != 25*time.Minute {
			t.Errorf("dropped %v after it was acquired, want its timeout and 15m", j.FinishedAt.Sub(*j.AcquiredAt))
		}
	})
}

func TestNothingIsDroppedWhenToldNotTo(t *testing.T) {
	bubble(t, gitlab.Config{DropSilent: -1, DropLate: -1}, func(t *testing.T, b bench) {
		g := b.running(`{"script":["true"],"timeout":1}`)
		time.Sleep(72 * time.Hour)
		b.ended(g.ID, "running", "")
		b.expect("200 200", "PUT", g.path(""), g.update(`"state":"success"`))
	})
}

func TestJobsWaitForWhatTheyDependOn(t *testing.T) {
	bubble(t, gitlab.Config{}, func(t *testing.T, b bench) {
		needed := b.running(`{"script":["true"]}`)
		id := b.queue(fmt.Sprintf(`{"script":["true"],"dependencies":[%d]}`, needed.ID))
		poll := fmt.Sprintf(`{"token":"sim-runner-token","last_update":%q}`, b.value())
		b.upload(needed, []byte("zip zip"))
		time.AfterFunc(5*time.Second, func() {
			b.expect("200 200", "PUT", needed.path(""), needed.update(`"state":"success"`))
		})
		start := time.Now()
		b.expect("204", "POST", request, poll)
		g := b.acquire(poll)
		if g.ID != id || time.Since(start) != 5*time.Second {
			t.Errorf("got job %d after %v, want %d when the other one has ended", g.ID, time.Since(start), id)
		}
		d := g.Dependencies[0]
		if d.ID != needed.ID || d.Token != g.Token || d.ArtifactsFile.Filename != "out.zip" || d.ArtifactsFile.Size != 7 {
			t.Errorf("the dependency is %+v %+v", d, d.ArtifactsFile)
		}
		b.expect("200 zip zip", "GET", needed.path("/artifacts?direct_download=true"), "", "Job-Token", g.Token)

		third := b.queue(fmt.Sprintf(`{"script":["true"],"dependencies":[%d]}`, g.ID))
		b.expect("200 200", "PUT", g.path(""), g.update(`"state":"failed","failure_reason":"script_failure"`))
		b.ended(third, "failed", "missing_dependency_failure")
		b.expect(`401 {"message":"401 Unauthorized"}`, "GET", needed.path("/artifacts"), "", "Job-Token", g.Token)
	})
}
