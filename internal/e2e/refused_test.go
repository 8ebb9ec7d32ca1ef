// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// The coordinator does not know a job any more: it refuses its token, and does not say how the
// job ended. Nobody asks this coordinator anything else meanwhile, so that it is asked whether it
// is well; then the refusals are believed, and the instance goes.
func TestRefusedForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 9)
		defer w.close()
		w.cfg.Concurrent = 1 // no job is asked for while one is open
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 1500}, ends()...)
		w.begin("")
		time.Sleep(2 * time.Minute)
		w.watch.lies.refuse(http.StatusForbidden, 1, 1000)
		time.Sleep(4 * time.Minute)
		if s := w.life.manager.Status(); len(s.Jobs) != 0 || len(s.Instances) != 0 {
			t.Errorf("a job that its coordinator does not know is cared for after four minutes: %+v", s)
		}
		w.end()
	})
}
