// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/secret"
)

// reload hands the service a changed copy of its configuration.
func (w *world) reload(change func(c *config.Config)) {
	next := *w.cfg
	next.Runners = slices.Clone(w.cfg.Runners)
	change(&next)
	if err := w.life.manager.Reload(context.Background(), &next); err != nil {
		w.t.Error(err)
	}
}

// A changed limit and default flavor hold for the next jobs; the running one is not touched.
func TestReloadChangesARunner(t *testing.T) {
	run(t, func(w *world) {
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 300}, "success")
		w.begin("")
		time.Sleep(2 * time.Minute)
		w.reload(func(c *config.Config) { c.Runners[0].Clever.DefaultFlavor = "XS" })
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
	}, func(w *world) {
		var flavors []string
		for _, app := range w.clever.Applications() {
			flavors = append(flavors, app.Flavor)
		}
		if want := []string{"heptapod-runner-M", "heptapod-runner-XS"}; !slices.Equal(flavors, want) {
			w.t.Errorf("flavors %v, want %v", flavors, want)
		}
	})
}

// A runner whose token was rotated keeps its instances; one that is removed acquires
// nothing more, and its jobs finish.
func TestReloadRotatesAndRemoves(t *testing.T) {
	run(t, func(w *world) {
		w.owners = []fleet.Owner{"abcdefghij"}
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 400}, "success")
		w.begin("")
		time.Sleep(2 * time.Minute)
		w.reload(func(c *config.Config) {
			c.Runners[0].Token = secret.New("glrt-rotated")
			owner, err := fleet.OwnerOf("glrt-rotated", gitlabURL)
			if err != nil {
				w.t.Fatal(err)
			}
			c.Runners[0].Owner = owner
		})
		time.Sleep(time.Minute)
		other := func(c *config.Config) {
			c.Runners[0].Name, c.Runners[0].Token, c.Runners[0].Owner = "other", secret.New("glrt-other"), "abcdefghij"
			c.Quota.ReferenceRunner = "other"
		}
		w.reload(other)
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
	}, func(w *world) {
		for _, app := range w.clever.Applications() {
			if app.State != "deleted" {
				w.t.Errorf("%s is left", app.Name)
			}
		}
		if !strings.Contains(w.simJobs()[1].Trace, "acquired by other") {
			w.t.Errorf("the new runner did not take the second job:\n%s", w.simJobs()[1].Trace)
		}
		if s := w.life.manager.Status(); len(s.Jobs)+len(s.Instances) != 0 {
			w.t.Errorf("left: %+v", s)
		}
	})
}

// A job whose runner was not in the configuration when the service started is watched to its
// end when a reload puts the runner back, also under a rotated token.
func TestReloadPutsARunnerBack(t *testing.T) {
	run(t, func(w *world) {
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 600}, "success")
		w.begin("")
		time.Sleep(2 * time.Minute)
		w.end()
		before := w.cfg.Runners[0]
		w.owners = []fleet.Owner{before.Owner, "abcdefghij"}
		w.cfg.Runners[0].Name, w.cfg.Runners[0].Token, w.cfg.Runners[0].Owner = "other", secret.New("glrt-other"), "abcdefghij"
		w.cfg.Quota.ReferenceRunner = "other"
		w.begin("")
		time.Sleep(2 * time.Minute)
		if s := w.life.manager.Status(); len(s.Jobs) != 1 || !strings.Contains(s.Jobs[0].WaitsFor, "not in the configuration") {
			w.t.Errorf("the job of the missing runner: %+v", s.Jobs)
		}
		w.reload(func(c *config.Config) {
			back := before
			back.Token = secret.New("glrt-rotated")
			owner, err := fleet.OwnerOf("glrt-rotated", gitlabURL)
			if err != nil {
				w.t.Fatal(err)
			}
			back.Owner = owner
			c.Runners = append(c.Runners, back)
		})
		if s := w.life.manager.Status(); len(s.Jobs) != 1 || s.Jobs[0].State != fleet.JobRunning || s.Jobs[0].WaitsFor != "" {
			w.t.Errorf("the job after its runner is back: %+v", s.Jobs)
		}
	}, func(w *world) {
		if s := w.life.manager.Status(); len(s.Jobs)+len(s.Instances) != 0 || s.Weight != 0 {
			w.t.Errorf("left: %+v", s)
		}
	})
}

// Reloading again and again while jobs come and go loses nothing.
func TestReloadUnderLoad(t *testing.T) {
	run(t, func(w *world) {
		w.begin("")
		for i := range 12 {
			if i%2 == 0 {
				w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 3 * i}, "success")
			}
			time.Sleep(time.Duration(700*i) * time.Millisecond)
			w.reload(func(c *config.Config) { c.Runners[0].Limit = 2 + i%3 })
		}
	}, nil)
}

// What carries a runner's key and stands in no record is looked after when the runner is taken
// out meanwhile: it goes, and its weight is not held for ever.
func TestReloadRemovesARunnerWithAStranger(t *testing.T) {
	run(t, func(w *world) {
		w.owners = []fleet.Owner{"abcdefghij"}
		w.begin("")
		time.Sleep(30 * time.Second)
		if _, err := w.clever.AddForeign("orga_sim", w.cfg.Runners[0].Owner.Key(500)); err != nil {
			w.t.Fatal(err)
		}
		time.Sleep(75 * time.Second)
		if s := w.life.manager.Status(); len(s.Strangers) != 1 {
			w.t.Fatalf("the stranger is not seen: %+v", s)
		}
		w.reload(func(c *config.Config) {
			c.Runners[0].Name, c.Runners[0].Token, c.Runners[0].Owner = "other", secret.New("glrt-other"), "abcdefghij"
			c.Quota.ReferenceRunner = "other"
		})
		time.Sleep(10 * time.Minute)
	}, func(w *world) {
		if s := w.life.manager.Status(); s.Weight != 0 || len(s.Strangers) != 0 || len(s.Runners) != 1 {
			w.t.Errorf("left: %+v", s)
		}
		if app := w.clever.Applications()[0]; app.State != "deleted" {
			w.t.Errorf("the stranger is %s", app.State)
		}
	})
}

// A reload while a request for a job is under way lets a runner have no more jobs than its limit.
func TestReloadKeepsTheLimit(t *testing.T) {
	run(t, func(w *world) {
		w.cfg.Runners[0].Limit = 1
		for range 2 {
			w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 60}, "success")
		}
		w.fault(gitlabURL, map[string]any{"match": "POST /api/v4/jobs/request", "delay": "2s"})
		w.begin("")
		time.Sleep(1500 * time.Millisecond)
		w.reload(func(*config.Config) {})
		for range 30 {
			time.Sleep(time.Second)
			if s := w.life.manager.Status(); len(s.Jobs) > 1 {
				w.t.Errorf("%d jobs at once, the limit is 1", len(s.Jobs))
				break
			}
		}
	}, nil)
}

// What was seen in one organisation proves nothing of another that a reload puts in its place:
// nothing is acquired before that has been listed, and audit has no proof.
func TestReloadChangesTheOrganisation(t *testing.T) {
	run(t, func(w *world) {
		w.clever.SetOrganisation("orga_other", "token-other")
		if _, err := w.clever.AddForeign("orga_sim", w.cfg.Runners[0].Owner.KeyPrefix()+"x"); err != nil {
			w.t.Fatal(err)
		}
		w.begin("")
		time.Sleep(2 * time.Minute)
		w.fault(cleverURL, map[string]any{"match": "GET /v2/organisations/*/applications", "times": 0, "status": 503})
		w.reload(func(c *config.Config) {
			c.Runners[0].Clever.OrgaID, c.Runners[0].Clever.Token = "orga_other", secret.New("token-other")
		})
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
		time.Sleep(time.Minute)
		found, err := w.life.manager.Audit()
		if err != nil || !found.ProvenAt.IsZero() || len(found.Entries) != 0 {
			w.t.Errorf("the new organisation was never listed, and audit says %+v, %v", found, err)
		}
		if s := w.life.manager.Status(); len(s.Jobs) != 0 {
			w.t.Errorf("a job was acquired before: %+v", s.Jobs)
		}
		w.heal(cleverURL)
	}, nil)
}
