// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/fleet"
)

// The platform takes deletions and does not do them for half an hour. The job that failed
// has its end within a minute of the first one that is done.
func TestAFailedJobWaitsNoLongerThanItsInstance(t *testing.T) {
	var healed time.Time
	run(t, func(w *world) {
		w.bench.deaf.Store(1)
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "failed")
		w.fault(cleverURL, map[string]any{
			"match": "DELETE /v2/organisations/*/applications/*", "times": 0,
			"status": 200, "body": `{"id":302,"message":"deleted","type":"success"}`,
		})
		w.begin("")
		time.Sleep(28 * time.Minute)
		w.heal(cleverURL)
		healed = time.Now()
	}, func(w *world) {
		j := w.simJobs()[0]
		if late := j.FinishedAt.Sub(healed); late < 0 || late > time.Minute {
			t.Errorf("the job ended %s after its instance could be deleted", late)
		}
	})
}

// A failed job whose instance can't be removed, since its tenant's credential is gone, is
// not reported by us; its coordinator ends it at last, and that is noticed.
func TestACoordinatorGivesAJobUpThatWeCannotEnd(t *testing.T) {
	run(t, func(w *world) {
		w.manyTenants()
		w.bench.deaf.Store(1)
		w.queue(job("one/project", nil), "failed")
		w.begin("")
		time.Sleep(2 * time.Minute)
		w.attributes("one", "", "")
		time.Sleep(20 * time.Minute)
		if s := w.life.manager.Status(); len(s.Jobs) != 1 || s.Jobs[0].State != fleet.JobFailing {
			t.Errorf("while its instance may still report: %+v", s.Jobs)
		}
		w.wantVerdict(w.cfg.Runners[0].Owner.Key(100001), "no credential", false)
		time.Sleep(20 * time.Minute)
		s := w.life.manager.Status()
		if len(s.Jobs) != 1 || s.Jobs[0].State != fleet.JobFinished || len(s.Instances) != 1 {
			t.Errorf("when the coordinator has given it up: %+v", s.Jobs)
		}
		w.longOutage = true
		w.attributes("one", "orga_one", "canary-token-one")
	}, nil)
}

// A job that waits when the service goes away has not waited for room meanwhile: it gets
// its instance when the service is back.
func TestParkedWhileTheServiceIsAway(t *testing.T) {
	for name, target := range map[string]string{"sized": "commit size/after#1", "just acquired": "commit acquire/after#1", "being made": "commit create/after#1", "of one tenant": "commit acquire/after#1"} {
		t.Run(name, func(t *testing.T) {
			run(t, func(w *world) {
				if name == "of one tenant" {
					w.manyTenants()
				}
				w.queue(job("one/project", nil), "success")
				w.begin(target)
				time.Sleep(time.Minute)
				w.end()
				time.Sleep(15 * time.Minute)
				w.begin("")
			}, nil)
		})
	}
}

// A job whose size can't be found out, since the cloud does not answer after a start, is
// given up with the reason; one that was canceled meanwhile ends at once.
func TestSizeIsNeverKnown(t *testing.T) {
	run(t, func(w *world) {
		for range 2 {
			w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "failed", "canceled")
		}
		w.begin("commit acquire/after#2")
		time.Sleep(time.Minute)
		w.end()
		w.fault(cleverURL, map[string]any{"match": "* /v2/products/flavors", "times": 0, "status": 503})
		w.begin("")
		time.Sleep(20 * time.Minute)
		told := 0
		for _, j := range w.simJobs() {
			if j.FailureReason == "runner_system_failure" && strings.Contains(j.Trace, "What flavors there are could not be found out within 10m0s") {
				told++
			}
		}
		if told == 0 {
			t.Errorf("nobody is told: %+v", w.simJobs())
		}
		w.heal(cleverURL)
	}, nil)
}

// A coordinator that does not tell who pays for a job is in nobody else's way.
func TestUnsizedJobDelaysNoOtherRunner(t *testing.T) {
	run(t, func(w *world) {
		w.coordinator(heptapodURL)
		w.addRunner("second", "glrt-canary-second", heptapodURL)
		w.manyTenants()
		w.fault(gitlabURL, map[string]any{"match": "GET /api/v4/groups/*/custom_attributes", "times": 0, "status": 502})
		w.begin("")
		time.Sleep(time.Minute)
		w.queue(job("fresh/project", nil), "failed")
		time.Sleep(20 * time.Second)
		other := w.queueAt(heptapodURL, map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success").id
		time.Sleep(2 * time.Minute)
		for _, j := range w.simJobs() {
			if j.place == heptapodURL && j.ID == other && j.Status != "success" {
				t.Errorf("the other coordinator's job is %s", j.Status)
			}
		}
	}, nil)
}
