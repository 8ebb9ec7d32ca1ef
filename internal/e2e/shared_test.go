// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/fleet"
)

// A runner for a whole server: a small default, an upper limit, a list of sizes, and one
// cache of one organisation. Each user reads in the job's log what is to be had.
func TestInstanceWideRunner(t *testing.T) {
	cache := map[string]any{"Type": "s3", "Shared": true, "s3": map[string]any{
		"ServerAddress": "cellar-c2.services.clever-cloud.com", "AccessKey": "dEA7gjmYM98gobVi6Y1x", "SecretKey": "of-the-cache",
		"BucketName": "heptapod-ci", "Insecure": false,
	}}
	run(t, func(w *world) {
		w.cfg.Quota.ReferenceJobs = 8
		cc := &w.cfg.Runners[0].Clever
		cc.DefaultFlavor, cc.MaxFlavor, cc.AllowedFlavors = "S", "2XL", []string{"XS", "S", "M", "XL", "2XL", "3XL"}
		w.cfg.Runners[0].Forward["cache"] = cache
		for i, flavor := range []string{"", "2XL", "XS", "3XL", "L", "xl"} {
			want := "success"
			if i > 2 {
				want = "failed"
			}
			body := map[string]any{"script": []string{"true"}, "virtual_seconds": 5, "project": fmt.Sprintf("group%d/project", i), "tags": []string{"docker-registry-push"}}
			if flavor != "" {
				body["variables"] = map[string]any{"CI_CLEVER_CLOUD_FLAVOR": flavor}
			}
			w.queue(body, want)
		}
	}, func(w *world) {
		var sizes []string
		for _, app := range w.clever.Applications() {
			sizes = append(sizes, strings.TrimPrefix(app.Flavor, "heptapod-runner-"))
			var given struct {
				Runners []struct{ Cache map[string]any }
			}
			if _, err := toml.Decode(fmt.Sprint(app.Files["runner.toml"]), &given); err != nil {
				w.t.Error(err)
			} else if diff := cmp.Diff(cache, given.Runners[0].Cache); diff != "" {
				w.t.Errorf("the cache was forwarded changed (-configured +given):\n%s", diff)
			}
		}
		slices.Sort(sizes)
		if want := []string{"2XL", "S", "XS"}; !slices.Equal(sizes, want) {
			w.t.Errorf("instances of %v, want %v", sizes, want)
		}
		for i, want := range map[int]string{
			3: "flavor 3XL is larger than this runner allows (at most 2XL), though it is in the list of its flavors. Set CI_CLEVER_CLOUD_FLAVOR to one of: XS, S, M, XL, 2XL; or use another runner.",
			4: "flavor L is not one that this runner allows. Set CI_CLEVER_CLOUD_FLAVOR to one of: XS, S, M, XL, 2XL; or use another runner.",
			5: `flavor "xl" is not available. Set CI_CLEVER_CLOUD_FLAVOR to one of: XS, S, M, XL, 2XL.`,
		} {
			if text := w.simJobs()[i].Trace; !strings.Contains(text, want) {
				w.t.Errorf("job %d is told:\n%s\nwant %s", i, text, want)
			}
		}
	})
}

// Several coordinators in one service share one quota: it is never exceeded, whoever has
// how many jobs, and none waits for the other to have none left. Their jobs' ids are the
// same ones.
func TestCoordinatorsShareOneQuota(t *testing.T) {
	t.Parallel()
	run(t, func(w *world) {
		w.coordinator(heptapodURL)
		w.addRunner("second", "glrt-canary-second", heptapodURL)
		for i := range 10 {
			body := map[string]any{"script": []string{"true"}, "virtual_seconds": 30}
			w.queueAt(gitlabURL, body, "success")
			if i < 4 {
				w.queueAt(heptapodURL, body, "success")
			}
		}
		w.begin("")
		time.Sleep(90 * time.Second)
		s := w.life.manager.Status()
		if s.Weight == 0 || s.Weight > s.Quota {
			w.t.Errorf("weight %s of %s", s.Weight, s.Quota)
		}
	}, func(w *world) {
		ended := map[string][]time.Time{}
		for _, j := range w.simJobs() {
			ended[j.place] = append(ended[j.place], *j.FinishedAt)
		}
		last := slices.MaxFunc(ended[heptapodURL], time.Time.Compare)
		after := 0
		for _, at := range ended[gitlabURL] {
			if at.After(last) {
				after++
			}
		}
		if after < 3 {
			w.t.Errorf("the coordinator with few jobs had to wait for the one with many: %v", ended)
		}
		keys := map[string]int{}
		for _, app := range w.clever.Applications() {
			keys[app.Name]++
		}
		if len(keys) != 14 || slices.Max(slices.Collect(maps.Values(keys))) != 1 {
			w.t.Errorf("instances: %v", keys)
		}
	})
}

// kept is a service whose finished instances stay.
func kept(w *world, jobs int) {
	w.cfg.KeepFinished = true
	for range jobs {
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
	}
	w.begin("")
	time.Sleep(5 * time.Minute)
}

// What the configuration asks to keep is spared by whatever looks for leftovers, also
// after a restart and when the configuration asks no more; its weight counts.
func TestKeptIsSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		defer w.close()
		kept(w, 2)
		w.end()
		w.cfg.KeepFinished = false
		w.begin("")
		time.Sleep(30 * time.Minute)
		s := w.life.manager.Status()
		if s.Weight != 2*weights["M"] || len(s.Jobs) != 0 || len(s.Instances) != 2 || s.Instances[0].State != fleet.InstanceKept {
			t.Errorf("%+v", s)
		}
		for _, app := range w.clever.Applications() {
			if app.State == "deleted" {
				t.Errorf("%s was destroyed", app.Name)
			}
			w.wantVerdict(app.Name, "kept, as configured; audit --forget "+app.Name, true)
		}
		w.end()
	})
}

// The weight of what was kept is free once somebody has deleted it in the cloud, one or
// many at once; that is no reason for a fuse.
func TestKeptIsDeletedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		defer w.close()
		w.cfg.Quota.ReferenceJobs = 4
		kept(w, 4)
		if s := w.life.manager.Status(); s.Weight != 4*weights["M"] || len(s.Runners) != 1 || s.Runners[0].Waits == "" {
			t.Errorf("the quota is used up, and the runner asks: %+v", s)
		}
		for _, app := range w.clever.Applications() {
			w.remove(app.Name)
		}
		time.Sleep(5 * time.Minute)
		if s := w.life.manager.Status(); s.Weight != 0 || len(s.Instances) != 0 || s.Fuse != "" {
			t.Errorf("%+v", s)
		}
		w.end()
	})
}

// Instances whose launch failed are kept for inspection, with the setting in all of its
// spellings; others are not.
func TestLaunchFailuresAreKept(t *testing.T) {
	for _, spelling := range []string{"paas_decommission_launch_failures", "pass_decommision_launched_failures", "paas_decommission_launched_failures"} {
		t.Run(spelling, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &scene{world: newWorld(t, 5)}
				defer s.close()
				if s.load(at("global", spelling+" = false")(s.base())); s.err != nil {
					t.Fatal(s.err)
				}
				s.bench.deaf.Store(1)
				s.job(5, nil)
				s.begin("")
				time.Sleep(10 * time.Minute)
				s.job(5, nil)
				time.Sleep(10 * time.Minute)
				apps := s.clever.Applications()
				if len(apps) != 2 || apps[0].State == "deleted" || apps[1].State != "deleted" {
					t.Errorf("%+v", apps)
				}
				s.wantVerdict(apps[0].Name, "kept", true)
				if status := s.life.manager.Status(); status.Weight != weights["M"] {
					t.Errorf("weight %s", status.Weight)
				}
				if jobs := s.simJobs(); jobs[0].Status != "failed" || jobs[1].Status != "success" {
					t.Errorf("%+v", jobs)
				}
				s.end()
			})
		})
	}
}

// Launches keep their distance, however many jobs there are, and over a restart too.
func TestLaunchesKeepTheirDistance(t *testing.T) {
	const distance = 40 * time.Second
	run(t, func(w *world) {
		w.cfg.MinBetweenLaunches = distance
		for range 5 {
			w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 300, "variables": map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XS"}}, "success")
		}
		w.begin("")
		time.Sleep(50 * time.Second)
		if s := w.life.manager.Status(); s.Runners[0].Waits != "the minimum time between two launches" {
			w.t.Errorf("the wait is not explained: %+v", s.Runners[0])
		}
		w.end()
		w.begin("")
	}, func(w *world) {
		apps := w.clever.Applications()
		for i, app := range apps[1:] {
			// A creation takes its time to arrive: less than two seconds.
			if apart := app.CreatedAt.Sub(apps[i].CreatedAt); apart < distance-2*time.Second {
				w.t.Errorf("instances %d and %d were made %s apart", i, i+1, apart)
			}
		}
	})
}
