// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/manager"
)

// A notice is a hint: what says that the job has finished, with the right bearer, ends
// nothing while the coordinator says that it runs.
func TestNoticeAloneEndsNothing(t *testing.T) {
	run(t, func(w *world) {
		w.cfg.AdvertiseURL = "http://manager.example"
		id := w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 600}, "success").id
		w.begin("")
		time.Sleep(2 * time.Minute)
		apps := w.clever.Applications()
		if len(apps) != 1 {
			w.t.Fatalf("%d applications", len(apps))
		}
		text, _ := apps[0].Files["relay.json"].(string)
		var pushed struct{ Notice struct{ Bearer string } }
		if err := json.Unmarshal([]byte(text), &pushed); err != nil || pushed.Notice.Bearer == "" {
			w.t.Fatalf("relay.json %q: %v", text, err)
		}
		for _, event := range []string{"booted", "handed_out", "finished", "finished"} {
			if err := w.life.manager.Notice(apps[0].Name, event, pushed.Notice.Bearer); err != nil {
				w.t.Errorf("%s: %v", event, err)
			}
			time.Sleep(20 * time.Second)
		}
		if err := w.life.manager.Notice(apps[0].Name, "finished", "a guess"); !errors.Is(err, manager.ErrNoticeRefused) {
			w.t.Errorf("another bearer: %v", err)
		}
		s := w.life.manager.Status()
		if len(s.Jobs) != 1 || s.Jobs[0].State != fleet.JobRunning || w.simJob(id).Status != "running" {
			w.t.Errorf("after the notices: %+v", s.Jobs)
		}
	}, nil)
}
