// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
	"heptapod-paas-runner/internal/sim/gitlab"
)

var simToken = secret.New(gitlab.RunnerToken)

// control uses a control endpoint of the simulator, past the network.
func control(t *testing.T, sim http.Handler, method, path, body string, into any) {
	t.Helper()
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	if w.Code >= 300 {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	if into != nil {
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatal(err)
		}
	}
}

// seen is what the simulator shows of a job.
type seen struct {
	Status        string `json:"status"`
	FailureReason string `json:"failure_reason"`
	ExitCode      int    `json:"exit_code"`
	Trace         string `json:"trace"`
}

func look(t *testing.T, sim http.Handler, id int64) seen {
	t.Helper()
	var out seen
	control(t, sim, "GET", fmt.Sprintf("/_sim/jobs/%d", id), "", &out)
	return out
}

// acquire queues a job and takes it.
func acquire(t *testing.T, sim http.Handler, c *coordinator.Client, job string) *coordinator.Payload {
	t.Helper()
	control(t, sim, "POST", "/_sim/jobs", job, nil)
	grant, err := c.Request(t.Context(), coordinator.RunnerCall{Token: simToken})
	if err != nil || grant.Job == nil {
		t.Fatalf("got %v, %v", grant, err)
	}
	return grant.Job
}

// withSim runs a test in simulated time against the simulator, which is made in the
// bubble, since a held request waits on its channels.
func withSim(t *testing.T, f func(t *testing.T, sim *gitlab.Server, c *coordinator.Client)) {
	t.Parallel()
	var sim *gitlab.Server
	serve := func(w http.ResponseWriter, r *http.Request) { sim.ServeHTTP(w, r) }
	inBubble(t, serve, func(t *testing.T, c *coordinator.Client) {
		sim = gitlab.New(gitlab.Config{URL: "http://gitlab.example", Seed: 1})
		f(t, sim, c)
	})
}

// TestSimLongPoll: with last_update a request is held until the queue changes; the
// change is told by a 204, and the job comes with the next request.
func TestSimLongPoll(t *testing.T) {
	withSim(t, func(t *testing.T, sim *gitlab.Server, c *coordinator.Client) {
		began := time.Now()
		first, err := c.Request(t.Context(), coordinator.RunnerCall{Token: simToken})
		if err != nil || first.Job != nil || first.LastUpdate == "" || time.Since(began) != 0 {
			t.Fatalf("got %v, %v after %v", first, err, time.Since(began))
		}
		again := coordinator.RunnerCall{Token: simToken, LastUpdate: first.LastUpdate}
		held, err := c.Request(t.Context(), again)
		if err != nil || held.Job != nil || held.LastUpdate != first.LastUpdate || time.Since(began) != 50*time.Second {
			t.Fatalf("got %v, %v after %v", held, err, time.Since(began))
		}
		time.AfterFunc(7*time.Second, func() { control(t, sim, "POST", "/_sim/jobs", `{"script":["true"]}`, nil) })
		told, err := c.Request(t.Context(), again)
		if err != nil || told.Job != nil || time.Since(began) != 57*time.Second {
			t.Fatalf("got %v, %v after %v", told, err, time.Since(began))
		}
		grant, err := c.Request(t.Context(), coordinator.RunnerCall{Token: simToken, LastUpdate: told.LastUpdate})
		if err != nil || grant.Job == nil || grant.Job.ID != 100001 {
			t.Errorf("got %v, %v", grant, err)
		}
	})
}

func TestSimAJobsWay(t *testing.T) {
	withSim(t, func(t *testing.T, sim *gitlab.Server, c *coordinator.Client) {
		p := acquire(t, sim, c, `{"script":["true"],"project":"top/sub/demo","timeout":1800,"variables":{"CI_CLEVER_CLOUD_FLAVOR":"XS"}}`)
		flavor, _ := p.Variable("CI_CLEVER_CLOUD_FLAVOR")
		got := []any{p.ID, p.Project, p.RootNamespace, p.Timeout, flavor, p.Token.Empty(), p.WebURL != ""}
		if diff := cmp.Diff([]any{int64(100001), "top/sub/demo", "top", 30 * time.Minute, "XS", false, true}, got); diff != "" {
			t.Error(diff)
		}
		if answer, err := c.Update(t.Context(), p.ID, p.Token, coordinator.Update{State: coordinator.StateRunning}); err != nil || answer.Status != 200 || answer.JobStatus != "running" {
			t.Errorf("touch: %+v, %v", answer, err)
		}
		text := "waiting for room äöü\n"
		// Twice the same is once: the server sees that the trace ends where it should.
		for range 2 {
			answer, err := c.AppendTrace(t.Context(), p.ID, p.Token, 0, []byte(text))
			if err != nil || answer.Size != int64(len(text)) || answer.Conflict {
				t.Errorf("append: %+v, %v", answer, err)
			}
		}
		for _, offset := range []int64{1, 1000} {
			answer, err := c.AppendTrace(t.Context(), p.ID, p.Token, offset, []byte(text))
			if err != nil || answer.Size != int64(len(text)) || !answer.Conflict {
				t.Errorf("append at %d: %+v, %v", offset, answer, err)
			}
		}
		if answer, err := c.ProbeTrace(t.Context(), p.ID, p.Token); err != nil || answer.Size != int64(len(text)) || !answer.Conflict {
			t.Errorf("probe: %+v, %v", answer, err)
		}
		if standing, err := c.JobStatus(t.Context(), p.ID, p.Token); err != nil || standing.Status != "running" {
			t.Errorf("status: %s, %v", standing.Status, err)
		}
		answer, err := c.Update(t.Context(), p.ID, p.Token, coordinator.Update{State: coordinator.StateFailed, FailureReason: "runner_system_failure", ExitCode: 103})
		if err != nil || answer.Status != 200 || answer.JobStatus != "failed" {
			t.Errorf("final update: %+v, %v", answer, err)
		}
		if diff := cmp.Diff(seen{"failed", "runner_system_failure", 103, text}, look(t, sim, p.ID)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSimAProbeWritesNothing(t *testing.T) {
	withSim(t, func(t *testing.T, sim *gitlab.Server, c *coordinator.Client) {
		p := acquire(t, sim, c, `{"script":["true"]}`)
		// At size 2 the byte would end where the trace ends: the server then says 202, and
		// writes nothing either.
		for text := ""; len(text) < 5; {
			answer, err := c.ProbeTrace(t.Context(), p.ID, p.Token)
			if err != nil || answer.Size != int64(len(text)) || answer.Conflict != (len(text) != 2) {
				t.Errorf("at size %d: got %+v, %v", len(text), answer, err)
			}
			if got := look(t, sim, p.ID).Trace; got != text {
				t.Errorf("at size %d: the trace is %q", len(text), got)
			}
			next := "x"
			if text == "" {
				next = "xy" // no trace is one byte long
			}
			if _, err := c.AppendTrace(t.Context(), p.ID, p.Token, int64(len(text)), []byte(next)); err != nil {
				t.Fatal(err)
			}
			text += next
		}
	})
}

func TestSimACanceledJob(t *testing.T) {
	withSim(t, func(t *testing.T, sim *gitlab.Server, c *coordinator.Client) {
		p := acquire(t, sim, c, `{"script":["true"]}`)
		control(t, sim, "POST", fmt.Sprintf("/_sim/jobs/%d/cancel", p.ID), "", nil)
		touch := func() (coordinator.Answer, error) {
			return c.Update(t.Context(), p.ID, p.Token, coordinator.Update{State: coordinator.StateRunning})
		}
		if answer, err := touch(); err != nil || answer.JobStatus != "canceling" {
			t.Errorf("touch while canceling: %+v, %v", answer, err)
		}
		if answer, err := c.Update(t.Context(), p.ID, p.Token, coordinator.Update{State: coordinator.StateFailed, FailureReason: "unknown_failure"}); err != nil || answer.JobStatus != "canceled" {
			t.Errorf("final update: %+v, %v", answer, err)
		}
		_, err := touch()
		e, ok := errors.AsType[*coordinator.StatusError](err)
		if !ok || e.Status != 403 || e.JobStatus != "canceled" || !errors.Is(err, fleet.ErrUnauthorized) {
			t.Errorf("touch after the end: %v", err)
		}
		if _, err := c.JobStatus(t.Context(), p.ID, p.Token); verdict(err) != "permanent unauthorized" {
			t.Errorf("status after the end: %v", err)
		}
	})
}

func TestSimRefusesWhatIsNotKnown(t *testing.T) {
	withSim(t, func(t *testing.T, sim *gitlab.Server, c *coordinator.Client) {
		if _, err := c.Request(t.Context(), coordinator.RunnerCall{Token: secret.New("nobody")}); verdict(err) != "permanent unauthorized" {
			t.Errorf("unknown runner: %v", err)
		}
		p := acquire(t, sim, c, `{"script":["true"]}`)
		if _, err := c.ProbeTrace(t.Context(), p.ID, jobToken); verdict(err) != "permanent unauthorized" {
			t.Errorf("another token: %v", err)
		}
		if _, err := c.ProbeTrace(t.Context(), p.ID+1, p.Token); err == nil {
			t.Error("another job with this token: no error")
		}
	})
}

// TestSimALostAnswer: the server grants a job and the connection breaks before its
// answer: the client must not say that nothing happened.
func TestSimALostAnswer(t *testing.T) {
	withSim(t, func(t *testing.T, sim *gitlab.Server, c *coordinator.Client) {
		control(t, sim, "POST", "/_sim/jobs", `{"script":["true"]}`, nil)
		control(t, sim, "POST", "/_sim/faults", `{"match":"POST /api/v4/jobs/request","drop":"after"}`, nil)
		if _, err := c.Request(t.Context(), coordinator.RunnerCall{Token: simToken}); verdict(err) != "unknown" {
			t.Errorf("got %s (%v)", verdict(err), err)
		}
		if got := look(t, sim, 100001).Status; got != "running" {
			t.Errorf("the job is %s: nothing was tested", got)
		}
	})
}
