// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/secret"
	"heptapod-paas-runner/internal/sim/gitlab"
)

// overseen gives the service a token of somebody who may see its runner.
func (w *world) overseen() { w.cfg.Runners[0].TraceWatch.Token = secret.New(gitlab.AdminToken) }

// acquireAs takes a job as another program with the same registration does.
func (w *world) acquireAs(systemID string) (id int64) {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{"token": gitlab.RunnerToken, "system_id": systemID, "info": map[string]any{
		"name": "another", "features": map[string]bool{"cancel_gracefully": true},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	client := http.Client{Transport: w.net.Client("another").Transport()}
	resp, err := client.Post(gitlabURL+"/api/v4/jobs/request", "application/json", bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	var job struct{ ID int64 }
	if err := json.NewDecoder(resp.Body).Decode(&job); err != nil || resp.StatusCode != http.StatusCreated {
		w.t.Fatalf("status %d: %v", resp.StatusCode, err)
	}
	return job.ID
}

// A job that was granted to a process which died before it had recorded it is found at the
// next start and ended, long before the coordinator would; a job of another manager of the
// same runner, which is as silent, is left alone.
func TestJobLostAtAcquisitionIsEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5)
		defer w.close()
		w.overseen()
		w.queue(map[string]any{"script": []string{"true"}}, "failed") // of the other manager: its coordinator ends it
		others := w.acquireAs("r_another")
		lost := w.queue(map[string]any{"script": []string{"true"}}, "canceled").id
		running := w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 240}, "success").id
		w.begin("commit acquire/before#1")
		w.untilCut(time.Minute)
		w.end()
		w.begin("")
		time.Sleep(4 * time.Minute)
		if j := w.simJob(lost); j.Status != "canceled" {
			t.Errorf("the lost job is %s", j.Status)
		}
		for _, id := range []int64{others, running} {
			if j := w.simJob(id); j.Status != "running" {
				t.Errorf("job %d, which is not lost, is %s", id, j.Status)
			}
		}
		if n := w.life.manager.Status().LostGrants; n != 1 {
			t.Errorf("%d lost jobs counted, want 1", n)
		}
		if !w.quiet(patience) {
			t.Errorf("not quiet: %+v", w.life.manager.Status())
		}
		w.end()
		if n := len(w.said("was lost at acquisition")); n != 1 {
			t.Errorf("the log tells %d times of the lost job", n)
		}
	})
}

// A job whose granting answer does not arrive, in a life that goes on.
func TestLostAnswerIsSearchedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 6)
		defer w.close()
		w.overseen()
		w.fault(gitlabURL, map[string]any{"match": "POST /api/v4/jobs/request", "times": 1, "drop": "after"})
		lost := w.queue(map[string]any{"script": []string{"true"}}, "canceled").id
		w.begin("")
		time.Sleep(3 * time.Minute)
		if j := w.simJob(lost); j.Status != "canceled" {
			t.Errorf("the lost job is %s", j.Status)
		}
		w.end()
	})
}

// With a token that may look and not act, the log names the job and where it is, once.
func TestLostJobThatMayNotBeCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 7)
		defer w.close()
		w.overseen()
		w.fault(gitlabURL, map[string]any{"match": "POST /api/v4/projects/*/jobs/*/cancel", "times": 0, "status": 403, "body": `{"message":"403 Forbidden - insufficient_scope"}`,
			"headers": map[string]string{"Content-Type": "application/json"}})
		lost := w.queue(map[string]any{"script": []string{"true"}}, "failed").id
		w.begin("commit acquire/before#1")
		w.untilCut(time.Minute)
		w.end()
		w.begin("")
		time.Sleep(20 * time.Minute)
		if j := w.simJob(lost); j.Status != "running" {
			t.Errorf("the lost job is %s", j.Status)
		}
		if n := len(w.said(fmt.Sprintf("job=%d", lost))); n != 1 {
			t.Errorf("the log tells %d times of the lost job", n)
		}
		if n := len(w.said("cancel it by hand")); n != 1 {
			t.Errorf("the log says %d times what to do", n)
		}
		w.end()
	})
}

// A token that may not list the runner's jobs is tried once.
func TestTokenThatMayNotLookForLostJobs(t *testing.T) {
	t.Parallel()
	run(t, func(w *world) {
		w.overseen()
		w.fault(gitlabURL, map[string]any{"match": "GET /api/v4/runners/*/jobs", "times": 0, "status": 403, "body": `{"message":"403 Forbidden"}`,
			"headers": map[string]string{"Content-Type": "application/json"}})
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 3000}, "success")
	}, func(w *world) {
		if n := len(w.said("not searched for")); n != 1 {
			w.t.Errorf("the log says %d times that lost jobs are not searched for", n)
		}
	})
}

// A job that somebody runs is left alone, even when neither the ledger nor the cloud knows
// of it for a while.
func TestJobThatRunsIsNotTakenForLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 8)
		defer w.close()
		w.overseen()
		id := w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 1200}, "success").id
		w.begin("")
		time.Sleep(2 * time.Minute)
		w.end()
		w.lose()
		w.fault(cleverURL, map[string]any{"match": "GET /v2/organisations/*/applications", "times": 0, "status": 200, "body": "[]",
			"headers": map[string]string{"Content-Type": "application/json"}})
		w.begin("")
		time.Sleep(5 * time.Minute)
		if j := w.simJob(id); j.Status != "running" {
			t.Errorf("the job is %s", j.Status)
		}
		w.heal(cleverURL)
		if !w.quiet(patience) {
			t.Errorf("not quiet: %+v", w.life.manager.Status())
		}
		w.report()
		w.end()
	})
}
