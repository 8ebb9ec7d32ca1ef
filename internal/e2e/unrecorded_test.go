// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/http"
	"testing"
	"time"
)

// A start that was answered well is not recorded, since the disk is full. That it is refused
// when it is sent again says nothing about the job, which runs.
func TestStartedOnAFullDisk(t *testing.T) {
	run(t, func(w *world) {
		w.fault(cleverURL, map[string]any{"match": "POST /git/*/git-receive-pack", "times": 1, "delay": "20s"})
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 200}, "success")
		w.begin("")
		time.Sleep(10 * time.Second)
		w.full.Store(true)
		time.Sleep(30 * time.Second)
		w.fault(cleverURL, map[string]any{"match": "GET /git/*/info/refs", "times": 3, "status": 403})
		w.full.Store(false)
	}, nil)
}

// The end of a job that could not be recorded is told as seldom as its coordinator asks for.
func TestUnrecordedJobObeysRetryAfter(t *testing.T) {
	run(t, func(w *world) {
		w.watch.lies.set(spoilGrant, 1)
		w.fault(gitlabURL, map[string]any{"match": "PATCH /api/v4/jobs/*/trace", "times": 2, "status": 429, "headers": map[string]string{"Retry-After": "20"}})
		w.fault(gitlabURL, map[string]any{"match": "PUT /api/v4/jobs/*", "times": 2, "drop": "before"})
		w.queue(map[string]any{"script": []string{"true"}}, "failed")
		w.begin("")
		time.Sleep(2 * time.Minute)
	}, func(w *world) {
		var all []simRequest
		w.control("GET", gitlabURL+"/_sim/requests", nil, &all)
		var asked []time.Time
		for _, r := range all {
			if r.Method == http.MethodPatch {
				asked = append(asked, r.At)
			}
		}
		if len(asked) < 2 || asked[1].Sub(asked[0]) < 20*time.Second {
			t.Errorf("the log was asked for at %v", asked)
		}
	})
}

// The end of a job that could not be recorded is told until its coordinator says that it has
// it: a proxy's page is not that.
func TestUnrecordedJobIsEnded(t *testing.T) {
	run(t, func(w *world) {
		w.watch.lies.set(spoilGrant, 1)
		w.fault(gitlabURL, map[string]any{"match": "PUT /api/v4/jobs/*", "times": 1, "status": 200, "body": "please log in"})
		w.queue(map[string]any{"script": []string{"true"}}, "failed")
		w.begin("")
		time.Sleep(2 * time.Minute)
	}, func(w *world) {
		if j := w.simJobs()[0]; j.FailureReason != "runner_system_failure" || j.FinishedAt.Sub(*j.AcquiredAt) > time.Minute {
			t.Errorf("the job ended at %s of its own: %s", j.FinishedAt, j.FailureReason)
		}
	})
}
