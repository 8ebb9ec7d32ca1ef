// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
	"time"
)

// A proxy that refuses everything is asked now and then, also for a job that is
// overdue on a frozen instance: not as fast as it can answer.
func TestRefusalsAreNotHammered(t *testing.T) {
	run(t, func(w *world) {
		w.longOutage = true // nobody can report this job's end
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 300, "timeout": 600}, "failed")
		w.begin("")
		w.done.Go(func() {
			time.Sleep(2 * time.Minute)
			w.bench.freeze()
			w.refuse.Store(true)
			time.Sleep(time.Hour)
			w.refuse.Store(false)
		})
		time.Sleep(70 * time.Minute)
	}, func(w *world) {
		asked := 0
		for _, line := range w.story.trail() {
			if strings.Contains(line, "call PUT /api/v4/jobs/100001/before") || strings.Contains(line, "call GET /api/v4/job/before") {
				asked++
			}
		}
		if asked > 500 {
			t.Errorf("the coordinator was asked %d times about one job in 70 minutes", asked)
		}
	})
}
