// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/manager"
)

// A creation that the cloud did twice leaves a second instance under one key: the audit
// tells of both until the second one is gone.
func TestAuditTellsOfATwin(t *testing.T) {
	run(t, func(w *world) {
		w.lenient = true // for that one
		w.watch.lies.set(doTwice, 1)
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 400}, "success")
		w.begin("")
		time.Sleep(100 * time.Second)
		twins := func() int {
			found, err := w.life.manager.Audit()
			if err != nil {
				t.Fatal(err)
			}
			if found.Unexplained != 0 {
				t.Errorf("unexplained: %+v", found.Entries)
			}
			return len(slices.DeleteFunc(found.Entries, func(e manager.AuditEntry) bool { return !strings.Contains(e.Verdict, "a second instance") }))
		}
		if n := twins(); n != 1 {
			t.Errorf("%d second instances are told of, want 1", n)
		}
		time.Sleep(4 * time.Minute)
		if n := twins(); n != 0 {
			t.Errorf("%d second instances are told of when it is gone", n)
		}
	}, nil)
}

// Two groups of one organisation: what stands there is told once.
func TestAuditTellsOnce(t *testing.T) {
	run(t, func(w *world) {
		w.manyTenants()
		w.attributes("also", "orga_one", "canary-token-one")
		copied := w.cfg.Runners[0].Owner.KeyPrefix() + "1-copy"
		if _, err := w.clever.AddForeign("orga_one", copied); err != nil {
			t.Fatal(err)
		}
		w.begin("")
		time.Sleep(time.Minute)
		found, err := w.life.manager.Audit()
		if err != nil || len(found.Entries) != 1 {
			t.Errorf("%+v, %v", found.Entries, err)
		}
	}, nil)
}

// The cloud refuses an instance and makes it all the same: it is destroyed once lists show it,
// and the job, whose end takes long to be stored, is closed after that only.
func TestRefusedAndMadeAllTheSame(t *testing.T) {
	run(t, func(w *world) {
		w.lenient = true // for what comes back
		w.watch.lies.set(sayRefused, 1)
		w.watch.lies.set(acceptEnd, 9)
		w.queue(map[string]any{"script": []string{"true"}}, "failed")
		w.begin("")
		time.Sleep(50 * time.Second)
		w.fault(cleverURL, map[string]any{"match": "DELETE /v2/organisations/*/applications/*", "times": 0, "status": 503})
		time.Sleep(20 * time.Minute)
		if s := w.life.manager.Status(); len(s.Jobs) != 1 || len(s.Instances) != 1 {
			t.Errorf("want the job open while its instance is there: %+v", s)
		}
		w.heal(cleverURL)
	}, nil)
}
