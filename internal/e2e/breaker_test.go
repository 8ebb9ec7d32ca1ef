// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
	"time"
)

// The cloud refuses to make one flavor: after three failures its jobs wait, are told so,
// and stand in nobody's way; jobs of another flavor run at once. When the cloud makes it
// again, one is tried first, and then all run.
func TestABrokenFlavorDelaysNoOther(t *testing.T) {
	run(t, func(w *world) {
		w.cfg.Quota.ReferenceJobs, w.cfg.MaxParked = 12, 30*time.Minute
		w.watch.lies.refuseFlavor("heptapod-runner-L")
		large := map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "L"}
		for range 5 {
			w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5, "variables": large}, ends()...)
		}
		w.begin("")
		time.Sleep(40 * time.Second)
		for range 2 {
			w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5, "variables": large}, "success")
		}
		time.Sleep(20 * time.Second)
		other := w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5, "variables": map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "S"}}, "success").id
		time.Sleep(90 * time.Second)
		if j := w.simJob(other); j.Status != "success" {
			t.Errorf("a job of another flavor is %s after a minute and a half", j.Status)
		}
		s := w.life.manager.Status()
		if len(s.Breakers) != 1 || s.Breakers[0].Flavor != "L" || s.Breakers[0].State == "closed" || !strings.Contains(s.Breakers[0].Problem, "no capacity") {
			t.Errorf("breakers: %+v", s.Breakers)
		}
		w.watch.lies.refuseFlavor("")
	}, func(w *world) {
		told := 0
		for _, j := range w.simJobs() {
			if strings.Contains(j.Trace, "waiting for the platform to make instances of flavor L again: the last ") {
				told++
			}
		}
		if told < 2 {
			t.Errorf("%d jobs were told what they wait for", told)
		}
		if s := w.life.manager.Status(); len(s.Breakers) != 0 {
			t.Errorf("breakers are left: %+v", s.Breakers)
		}
		if n := w.watch.lies.refused(); n > 12 {
			t.Errorf("the cloud was asked %d times for what it has none of", n)
		}
	})
}
