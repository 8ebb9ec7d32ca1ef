// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/secret"
	"heptapod-paas-runner/internal/sim/clever"
)

func (w *world) cancel(id int64) {
	w.control("POST", fmt.Sprintf("%s/_sim/jobs/%d/cancel", gitlabURL, id), map[string]any{}, nil)
}

// fault asks a simulator to fail.
func (w *world) fault(url string, f map[string]any) { w.control("POST", url+"/_sim/faults", f, nil) }

func (w *world) heal(url string) { w.control("DELETE", url+"/_sim/faults", nil, nil) }

func (w *world) simJob(id int64) simJob {
	var j simJob
	w.control("GET", fmt.Sprintf("%s/_sim/jobs/%d", gitlabURL, id), nil, &j)
	return j
}

// run runs the orders of setup to the end and gives the world for a closer look.
func run(t *testing.T, setup func(w *world), look func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		defer w.close()
		setup(w)
		if w.life == nil {
			w.begin("")
		}
		if !w.quiet(patience) {
			t.Errorf("not quiet: %+v", w.life.manager.Status())
		}
		w.report()
		if look != nil {
			look(w)
		}
		w.end()
	})
}

// An answer that is cut after the call took effect never leads to a second instance.
func TestCutAnswers(t *testing.T) {
	t.Parallel()
	for _, match := range []string{
		"POST /v2/organisations/*/applications", "DELETE /v2/organisations/*/applications/*", "GET /v2/organisations/*/applications/*",
		"POST /git/*/git-receive-pack", "GET /v2/organisations/*/applications",
	} {
		for _, drop := range []string{"before", "after"} {
			t.Run(drop+" "+match, func(t *testing.T) {
				run(t, func(w *world) {
					w.fault(cleverURL, map[string]any{"match": match, "times": 2, "drop": drop})
					w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
					w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
				}, nil)
			})
		}
	}
}

// Whatever the cloud answers for a while, the jobs run afterwards and nothing is left.
func TestCloudMisbehaves(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]map[string]any{
		"503 with HTML":    {"status": 503, "body": "<html>busy</html>"},
		"500":              {"status": 500, "body": `{"id":-500,"message":"Error from provider","type":"error"}`},
		"429":              {"status": 429, "headers": map[string]string{"Retry-After": "7"}},
		"garbage with 200": {"status": 200, "body": "{{{"},
		"hang":             {"delay": "45s"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(w *world) {
				f["match"], f["times"] = "* /v2/organisations/*/applications", 3
				w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
				w.fault(cleverURL, f)
				f["match"] = "* /v2/organisations/*/applications/*"
				w.fault(cleverURL, f)
			}, nil)
		})
	}
}

// A coordinator that misbehaves never ends the service, and its jobs run afterwards.
func TestCoordinatorMisbehaves(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]map[string]any{
		"500":         {"status": 500},
		"502":         {"status": 502, "body": "<html>bad gateway</html>"},
		"403":         {"status": 403, "body": `{"message":"403 Forbidden"}`},
		"garbage":     {"status": 200, "body": "what?"},
		"broken 204":  {"status": 204},
		"conflict":    {"status": 409},
		"orphaned":    {"status": 422, "body": `{"message":"Runner is orphaned"}`},
		"rate limit":  {"status": 429, "headers": map[string]string{"Retry-After": "30"}},
		"cut":         {"drop": "before"},
		"wrong place": {"status": 302, "headers": map[string]string{"Location": "http://evil.example/"}},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(w *world) {
				f["match"], f["times"] = "POST /api/v4/jobs/request", 20
				w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
				w.fault(gitlabURL, f)
			}, nil)
		})
	}
}

// The coordinator is down for an hour while a job runs: the job ends as if it had not been.
func TestCoordinatorIsDownForAnHour(t *testing.T) {
	run(t, func(w *world) {
		w.queue(map[string]any{"script": []string{"echo done"}, "virtual_seconds": 600, "timeout": 7200}, "success", "failed")
		w.begin("")
		time.Sleep(2 * time.Minute)
		w.fault(gitlabURL, map[string]any{"match": "* /api/v4/*", "times": 0, "status": 502})
		w.fault(gitlabURL, map[string]any{"match": "* /api/v4/jobs/*", "times": 0, "status": 502})
		w.fault(gitlabURL, map[string]any{"match": "* /api/v4/jobs/*/trace", "times": 0, "status": 502})
		time.Sleep(25 * time.Minute)
		w.heal(gitlabURL)
	}, func(w *world) {
		if j := w.simJobs()[0]; j.Status != "success" || !strings.Contains(j.Trace, "Job succeeded") {
			w.t.Errorf("the job ended %s: %s", j.Status, j.Trace)
		}
	})
}

// A proxy that answers 401 to everything for ten minutes destroys nothing.
func TestBrokenProxyDestroysNothing(t *testing.T) {
	run(t, func(w *world) {
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 1500}, "success")
		w.begin("")
		time.Sleep(3 * time.Minute)
		// The instance is not behind that proxy: only the service's calls are refused.
		w.refuse.Store(true)
		time.Sleep(10 * time.Minute)
		for _, app := range w.clever.Applications() {
			if app.State == "deleted" {
				w.t.Error("the instance of a running job was destroyed")
			}
		}
		w.refuse.Store(false)
	}, nil)
}

// SIGTERM ends the service within five seconds, whatever is under way; the next start
// goes on.
func TestStopIsQuick(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Duration{0, 200 * time.Millisecond, time.Second, 3 * time.Second, 20 * time.Second, time.Minute} {
		t.Run(at.String(), func(t *testing.T) {
			run(t, func(w *world) {
				w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 30}, "success")
				w.fault(cleverURL, map[string]any{"match": "POST /v2/organisations/*/applications", "delay": "20s"})
				w.begin("")
				time.Sleep(at)
				asked := time.Now()
				w.end()
				if took := time.Since(asked); took > 5*time.Second {
					w.t.Errorf("stopping took %v", took)
				}
				w.begin("")
			}, nil)
		})
	}
}

// The ledger is lost while jobs run, beside look-alike applications of others: the jobs
// end well, ours go, the others stay.
func TestLedgerIsLost(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Duration{5 * time.Second, 15 * time.Second, 40 * time.Second, 2 * time.Minute} {
		t.Run(at.String(), func(t *testing.T) {
			run(t, func(w *world) {
				owner := w.cfg.Runners[0].Owner
				for _, name := range []string{
					"hpd-job-aaaaaaaaaa-100001", owner.KeyPrefix() + "100001-x", owner.KeyPrefix() + "one", owner.KeyPrefix(), "hpd-job-kvzWdEMo-100001", "production",
				} {
					if _, err := w.clever.AddForeign("orga_sim", name); err != nil {
						w.t.Fatal(err)
					}
				}
				for range 2 {
					w.queue(map[string]any{"script": []string{"echo still here"}, "virtual_seconds": 200}, "success", "failed")
				}
				w.begin("")
				time.Sleep(at)
				w.end()
				w.forgot = true
				files, _ := filepath.Glob(w.cfg.StateFile + "*")
				for _, f := range files {
					if err := os.Remove(f); err != nil {
						w.t.Fatal(err)
					}
				}
				w.begin("")
			}, func(w *world) {
				for _, j := range w.simJobs() {
					if at >= 40*time.Second && (j.Status != "success" || !strings.Contains(j.Trace, "still here")) {
						w.t.Errorf("job %d was running when the ledger was lost and ended %s", j.ID, j.Status)
					}
				}
			})
		})
	}
}

// A canceled job that runs gets its after_script; the instance goes.
func TestCancelWhileRunning(t *testing.T) {
	run(t, func(w *world) {
		o := w.queue(map[string]any{"script": []string{"true"}, "after_script": []string{"echo cleaned up"}, "virtual_seconds": 3000}, "canceled")
		id := o.id
		w.begin("")
		time.Sleep(2 * time.Minute)
		w.cancel(id)
	}, func(w *world) {
		if j := w.simJobs()[0]; !strings.Contains(j.Trace, "cleaned up") {
			w.t.Errorf("after_script did not run:\n%s", j.Trace)
		}
	})
}

// A job too big for what is free is parked, is told so in its log, and runs when there is
// room; the small one behind it does not overtake it.
func TestParkedJobIsTold(t *testing.T) {
	run(t, func(w *world) {
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 120}, "success")
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5, "variables": map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XL"}}, "success")
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5, "variables": map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XS"}}, "success")
	}, func(w *world) {
		jobs := w.simJobs()
		if !strings.Contains(jobs[1].Trace, "waiting for the quota: 13.454 of 40.362 in use, 32 needed") {
			w.t.Errorf("the parked job is not told why:\n%s", jobs[1].Trace)
		}
		if jobs[2].AcquiredAt.Before(jobs[0].FinishedAt.Add(-time.Second)) {
			w.t.Error("a job was acquired while another was parked")
		}
	})
}

// A job that can't be parked for longer fails with the reason, and can be retried.
func TestParkedTooLong(t *testing.T) {
	run(t, func(w *world) {
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 1200}, "success")
		w.queue(map[string]any{"script": []string{"true"}, "variables": map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XL"}}, "failed")
	}, func(w *world) {
		j := w.simJobs()[1]
		if j.FailureReason != "runner_system_failure" || !strings.Contains(j.Trace, "No instance was free for this job within") {
			w.t.Errorf("reason %s, trace:\n%s", j.FailureReason, j.Trace)
		}
	})
}

// In the mode of the Python program nothing stands before the sub-runner's output.
func TestExecFetchedJob(t *testing.T) {
	run(t, func(w *world) {
		w.cfg.Runners[0].SubRunner = config.ModeExec
		w.queue(map[string]any{"script": []string{"echo hello"}, "virtual_seconds": 20}, "success")
		w.queue(map[string]any{"script": []string{"exit 4"}, "virtual_seconds": 5}, "failed")
		w.queue(map[string]any{"script": []string{"true"}, "variables": map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "huge"}}, "failed")
	}, func(w *world) {
		for _, j := range w.simJobs()[:2] {
			if !strings.HasPrefix(j.Trace, "\x1b[0KRunning with gitlab-runner") {
				w.t.Errorf("the trace of job %d begins with %.60q", j.ID, j.Trace)
			}
		}
		if j := w.simJobs()[2]; !strings.Contains(j.Trace, `flavor "huge" is not available`) {
			w.t.Errorf("the user is not told: %q", j.Trace)
		}
	})
}

// The operator's token for traces is used when it is given; refused, it is said once and
// the job's own token does.
func TestTraceWatchToken(t *testing.T) {
	for token, want := range map[string]int{"sim-admin-token": 0, "no such token": 1} {
		t.Run(token, func(t *testing.T) {
			run(t, func(w *world) {
				w.cfg.Runners[0].TraceWatch.Token = secret.New(token)
				w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 20}, "success")
				w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 20}, "success")
			}, func(w *world) {
				if n := strings.Count(w.log.String(), "job_trace_watch is refused"); n != want {
					w.t.Errorf("said %d times, want %d", n, want)
				}
				if probes := strings.Contains(strings.Join(w.story.trail(), "\n"), "(probe)"); probes != (want == 1) {
					w.t.Errorf("probed with the job's own token: %v", probes)
				}
				if strings.Contains(w.log.String(), token) {
					w.t.Error("I7: the token is in the log")
				}
			})
		})
	}
}

// Deletions that fail, or are accepted and not done: the weight is held until the cloud
// itself says that the instance is gone, however often it takes, and then it is gone.
func TestDeletionResists(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]map[string]any{
		"accepted, not done": {"status": 200, "body": `{"id":302,"message":"deleted","type":"success"}`, "times": 9},
		"500":                {"status": 500, "times": 60},
		"503":                {"status": 503, "body": "<html>", "times": 12},
		"slow":               {"delay": "40s", "times": 3},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(w *world) {
				w.cfg.MaxParked = 3 * time.Hour
				f["match"] = "DELETE /v2/organisations/*/applications/*"
				w.fault(cleverURL, f)
				for range 4 { // room for three
					w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "success")
				}
			}, nil)
		})
	}
}

// A job that waits for longer than a coordinator keeps one that nobody speaks for is spoken
// for meanwhile, and runs when there is room.
func TestWaitingForLong(t *testing.T) {
	run(t, func(w *world) {
		w.cfg.MaxParked, w.cfg.Quota.ReferenceJobs = 2*time.Hour, 1
		w.queue(map[string]any{
			"script": []string{"true"}, "virtual_seconds": 4200, "timeout": 7200, "variables": map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XS"},
		}, "success")
		w.begin("")
		time.Sleep(10 * time.Second)
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5, "timeout": 7200}, "success") // of flavor M: both don't fit
	}, func(w *world) {
		if w.took(w.orders[1].id) < time.Hour {
			t.Error("the second job did not have to wait")
		}
	})
}

// An instance that does not boot in time is removed, and its job is told so.
func TestInstanceDoesNotBoot(t *testing.T) {
	run(t, func(w *world) {
		w.cfg.Runners[0].TraceWatch.Timeout = bootTime - 3*time.Second
		w.fault(cleverURL, map[string]any{"match": "DELETE /v2/organisations/*/applications/*", "delay": "2s"})
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5}, "failed")
	}, func(w *world) {
		j := w.simJobs()[0]
		if j.FailureReason != "runner_system_failure" || !strings.Contains(j.Trace, "its sub-runner has written nothing after 17s") {
			w.t.Errorf("reason %s, trace:\n%s", j.FailureReason, j.Trace)
		}
	})
}

// An instance that vanishes while its job runs ends the job within minutes.
func TestInstanceVanishes(t *testing.T) {
	run(t, func(w *world) {
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 3000}, "failed")
		w.begin("")
		time.Sleep(4 * time.Minute)
		w.remove(w.cfg.Runners[0].Owner.Key(100001))
	}, func(w *world) {
		j := w.simJobs()[0]
		if j.FailureReason != "runner_system_failure" || !strings.Contains(j.Trace, "disappeared while the job was running") || j.FinishedAt.Sub(*j.AcquiredAt) > 7*time.Minute {
			w.t.Errorf("reason %s after %v, trace:\n%s", j.FailureReason, j.FinishedAt.Sub(*j.AcquiredAt), j.Trace)
		}
	})
}

// remove deletes an application as somebody with a console would.
func (w *world) remove(name string) {
	for _, app := range w.clever.Applications() {
		if app.Name != name || app.State == "deleted" {
			continue
		}
		r, err := http.NewRequest(http.MethodDelete, cleverURL+"/v2/organisations/"+app.Organisation+"/applications/"+app.ID, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		r.Header.Set("Authorization", "token sim-cc-token")
		answer, err := (&http.Client{Transport: w.net.Transport()}).Do(r)
		if err != nil || answer.StatusCode != http.StatusOK {
			w.t.Fatal(answer, err)
		}
		_ = answer.Body.Close()
	}
}

// Images come through the group's Dependency Proxy, unless the operator says no.
func TestDependencyProxy(t *testing.T) {
	for on, want := range map[bool]string{true: `"p.example/g/library/debian:12"`, false: `"debian:12"`} {
		t.Run(fmt.Sprint(on), func(t *testing.T) {
			run(t, func(w *world) {
				w.cfg.Runners[0].DependencyProxy = on
				w.queue(map[string]any{
					"script": []string{"true"}, "virtual_seconds": 1, "image": "debian:12",
					"variables": map[string]any{"CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX": "p.example/g"},
				}, "success")
			}, func(w *world) {
				if text := fmt.Sprint(w.clever.Applications()[0].Files["job.json"]); !strings.Contains(text, want) {
					w.t.Errorf("no %s in job.json:\n%s", want, text)
				}
			})
		})
	}
}

// The service is away while a job begins, for longer than a job may stay without output:
// what was written meanwhile is seen before anything is given up.
func TestAwayWhileAJobBegins(t *testing.T) {
	run(t, func(w *world) {
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 1500}, "success")
		w.begin("")
		for w.life.manager.Status().Instances == nil || w.life.manager.Status().Instances[0].StartedAt.IsZero() {
			time.Sleep(time.Second)
		}
		w.end()
		time.Sleep(20 * time.Minute)
		w.begin("")
	}, nil)
}

// A job does not wait for longer than it may run: its coordinator would drop it without a word.
func TestWaitingForLongerThanItMayRun(t *testing.T) {
	run(t, func(w *world) {
		w.cfg.MaxParked, w.cfg.Quota.ReferenceJobs = 3*time.Hour, 1
		w.queue(map[string]any{
			"script": []string{"true"}, "virtual_seconds": 4200, "timeout": 7200, "variables": map[string]any{"CI_CLEVER_CLOUD_FLAVOR": "XS"},
		}, "success")
		w.begin("")
		time.Sleep(10 * time.Second)
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 5, "timeout": 900}, "failed")
	}, func(w *world) {
		if j := w.simJob(w.orders[1].id); j.FailureReason != "runner_system_failure" || !strings.Contains(j.Trace, "No instance was free for this job within 15m") {
			t.Errorf("reason %s, trace:\n%s", j.FailureReason, j.Trace)
		}
	})
}

// The process is killed right after a job was started, and its credential is refused when the
// next life asks whether it was: the job runs, and is not ended for that.
func TestStartedAndRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 7)
		defer w.close()
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 200}, "success")
		f := &fate{target: "call POST /git/APP.git/git-receive-pack/after#1"}
		w.beginFate(f)
		w.untilCut(2 * time.Minute)
		if f.cut == "" {
			t.Fatal("nothing was started")
		}
		w.end()
		w.clever.SetOrganisation(clever.FirstOrganisation, "canary-token-rotated")
		w.begin("")
		time.Sleep(90 * time.Second)
		w.clever.SetOrganisation(clever.FirstOrganisation, clever.FirstToken)
		if !w.quiet(patience) {
			t.Errorf("not quiet: %+v", w.life.manager.Status())
		}
		for _, wrong := range w.check() {
			t.Error(wrong)
		}
		w.end()
	})
}
