// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
	"time"
)

// What takes moments as a rule and does not this time is told in the job's log and in the
// status: who pays, what exists already, an instance that can't be made at once.
func TestSlowWaitsAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		setup func(w *world) // ends while the job waits
		heal  string
		want  string
	}{
		"who pays": {func(w *world) {
			w.manyTenants()
			w.begin("")
			time.Sleep(30 * time.Second) // the groups are known by then, but for the next one
			w.clever.SetOrganisation("orga_three", "canary-token-three")
			w.attributes("three", "orga_three", "canary-token-three")
			w.fault(gitlabURL, map[string]any{"match": "GET /api/v4/groups/*/custom_attributes", "times": 0, "status": 502})
			w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5, "project": "three/project"}, "success")
			time.Sleep(30 * time.Second)
		}, gitlabURL, "the coordinator to tell which organisation pays for it"},
		"no list": {func(w *world) {
			w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 200}, "success")
			w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5, "variables": map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XL"}}, "success")
			w.begin("")
			time.Sleep(30 * time.Second)
			w.end()
			w.fault(cleverURL, map[string]any{"match": "GET /v2/organisations/*/applications", "times": 0, "status": 502})
			w.begin("")
			time.Sleep(30 * time.Second)
		}, cleverURL, "a list of all instances that exist already"},
		"not made": {func(w *world) {
			w.fault(cleverURL, map[string]any{"match": "POST /v2/organisations/*/applications", "times": 0, "status": 429})
			w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
			w.begin("")
			time.Sleep(30 * time.Second)
		}, cleverURL, "the platform to make the instance: it is not reachable or is busy; trying again"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(w *world) {
				c.setup(w)
				told := ""
				for _, j := range w.life.manager.Status().Jobs {
					told += j.WaitsFor
				}
				if told != c.want {
					t.Errorf("the status says that it waits for %q, want %q", told, c.want)
				}
				w.heal(c.heal)
			}, func(w *world) {
				jobs := w.simJobs()
				if n := strings.Count(jobs[len(jobs)-1].Trace, "waiting for "+c.want); n != 1 {
					t.Errorf("the job is told %d times what it waits for:\n%s", n, jobs[len(jobs)-1].Trace)
				}
			})
		})
	}
}
