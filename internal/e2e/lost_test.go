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
		if j.FailureReason != "runner_system_failure" || !strings.Contains(j.Trace, "The job is past its time limit of 10m0s by 12m") {
			t.Errorf("reason %s, trace:\n%s", j.FailureReason, j.Trace)
		}
		if took < 22*time.Minute || took > 23*time.Minute {
			t.Errorf("the job took %s", took)
		}
	})
}
