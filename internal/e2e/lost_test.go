// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
	"time"
)

// A machine that is up and whose sub-runner is frozen looks like one that works. Its job
// is ended by the service, as one that may be retried, before the coordinator would drop
// it, and its instance goes first.
func TestFrozenSubRunner(t *testing.T) {
	run(t, func(w *world) {
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 300, "timeout": 600}, "failed")
		w.begin("")
		time.Sleep(time.Minute - 10*time.Second)
		w.bench.freeze()
	}, func(w *world) {
		j := w.simJobs()[0]
		took := j.FinishedAt.Sub(*j.AcquiredAt)
		if j.FailureReason != "runner_system_failure" || !strings.Contains(j.Trace, "The job is past its time limit of 10m0s by 10m") {
			t.Errorf("reason %s, trace:\n%s", j.FailureReason, j.Trace)
		}
		if took < 20*time.Minute || took > 21*time.Minute {
			t.Errorf("the job took %s", took)
		}
	})
}

// A canceled job whose sub-runner is frozen is ended by the service ten minutes later.
func TestFrozenSubRunnerOfACanceledJob(t *testing.T) {
	run(t, func(w *world) {
		id := w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 3000, "timeout": 3600}, "canceled", "failed").id
		w.begin("")
		time.Sleep(time.Minute)
		w.bench.freeze()
		w.cancel(id)
	}, func(w *world) {
		j := w.simJobs()[0]
		took := j.FinishedAt.Sub(*j.AcquiredAt)
		if !strings.Contains(j.Trace, "The job was canceled, but its sub-runner did not end within 10m") || took > 12*time.Minute {
			t.Errorf("it took %s, trace:\n%s", took, j.Trace)
		}
	})
}

// A job that can't be recorded is ended from memory, also when something in between
// refuses that at first.
func TestUnrecordableJobIsEndedThroughABadProxy(t *testing.T) {
	run(t, func(w *world) {
		w.begin("")
		time.Sleep(10 * time.Second)
		w.fault(gitlabURL, map[string]any{"match": "PUT /api/v4/jobs/*", "times": 2, "status": 401, "body": `{"message":"401 Unauthorized"}`})
		w.full.Store(true)
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "failed")
		time.Sleep(2 * time.Minute)
		w.full.Store(false)
	}, func(w *world) {
		if j := w.simJobs()[0]; j.FailureReason != "runner_system_failure" || w.took(j.ID) > time.Minute {
			t.Errorf("reason %s after %s", j.FailureReason, w.took(j.ID))
		}
	})
}

// A job that can't be recorded is ended from memory by a service that is being stopped too:
// one that its last request brings, and one that it could not end yet.
func TestUnrecordableJobIsEndedByAStop(t *testing.T) {
	for name, refused := range map[string]bool{"brought by the last request": false, "not ended yet": true} {
		t.Run(name, func(t *testing.T) {
			run(t, func(w *world) {
				w.begin("")
				time.Sleep(10 * time.Second)
				if refused {
					w.fault(gitlabURL, map[string]any{"match": "PUT /api/v4/jobs/*", "times": 0, "status": 503})
				} else {
					w.fault(gitlabURL, map[string]any{"match": "POST /api/v4/jobs/request", "delay": "2s"})
				}
				w.full.Store(true)
				w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "failed")
				if refused {
					time.Sleep(20 * time.Second)
				} else {
					time.Sleep(time.Second)
				}
				w.heal(gitlabURL)
				w.end()
				w.full.Store(false)
				w.begin("")
			}, func(w *world) {
				if j := w.simJobs()[0]; j.FailureReason != "runner_system_failure" || w.took(j.ID) > time.Minute {
					t.Errorf("reason %s after %s", j.FailureReason, w.took(j.ID))
				}
			})
		})
	}
}

// All instances of three jobs vanish at once, while the ledger's disk is full: that looks
// odd, so the fuse blows, for the next life as well, and nothing is believed until somebody
// has looked and released it. Then the jobs end.
func TestAllInstancesVanish(t *testing.T) {
	run(t, func(w *world) {
		for range 3 {
			w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 3000}, "failed")
		}
		w.begin("")
		time.Sleep(4 * time.Minute)
		w.full.Store(true)
		for id := range int64(3) {
			w.remove(w.cfg.Runners[0].Owner.Key(100001 + id))
		}
		time.Sleep(3 * time.Minute)
		w.full.Store(false)
		time.Sleep(20 * time.Second)
		w.fault(cleverURL, map[string]any{"match": "GET /v2/organisations/*/applications", "times": 0, "status": 503})
		w.end()
		w.begin("")
		time.Sleep(30 * time.Second)
		if s := w.life.manager.Status(); s.Fuse == "" || len(s.Jobs) != 3 {
			t.Errorf("fuse %q, %d jobs", s.Fuse, len(s.Jobs))
		}
		w.heal(cleverURL)
		time.Sleep(5 * time.Minute)
		if s := w.life.manager.Status(); s.Fuse == "" || len(s.Jobs) != 3 {
			t.Errorf("fuse %q, %d jobs", s.Fuse, len(s.Jobs))
		}
		if err := w.life.manager.ReleaseFuse(); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Minute)
	}, func(w *world) {
		for _, j := range w.simJobs() {
			if j.FailureReason != "runner_system_failure" || !strings.Contains(j.Trace, "disappeared while the job was running") || w.took(j.ID) > 20*time.Minute {
				t.Errorf("reason %s, trace:\n%s", j.FailureReason, j.Trace)
			}
		}
	})
}
