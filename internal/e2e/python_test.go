// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/cloud"
	cc "heptapod-paas-runner/internal/cloud/clever"
	"heptapod-paas-runner/internal/config"
	"heptapod-paas-runner/internal/coordinator"
	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/hostfile"
	"heptapod-paas-runner/internal/manager"
	"heptapod-paas-runner/internal/pystate"
	"heptapod-paas-runner/internal/secret"
	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/store"
)

// pythonURL is the same cloud, for the Python program: the watcher holds only ours to
// the invariants.
const pythonURL = "http://python.example"

// python plays the program that ran before, by its own means: it acquires jobs, makes
// applications under its names, pushes, and writes its state when it stops.
type python struct {
	w      *world
	runner config.Runner
	client *coordinator.Client
	prov   *cc.Provisioner
	state  map[string][]any
}

func (w *world) python() *python {
	p := &python{w: w, runner: w.cfg.Runners[0], state: map[string][]any{"launched": {}, "pending": {}, "to_decommission": {}, "standby_resources": {}}}
	w.serve(w.ctx, "python.example", w.clever, func(ctx context.Context) error { <-ctx.Done(); return nil })
	w.marks, w.forgot = append(w.marks, p.mark()), true
	transport := w.net.Client("python").Transport()
	var err error
	if p.client, err = coordinator.New(coordinator.Config{URL: p.runner.URL, Version: "0.8", Transport: transport}); err != nil {
		w.t.Fatal(err)
	}
	if p.prov, err = cc.New(cc.Config{APIURL: pythonURL + "/v2", RepoWaitStep: time.Second}, cc.Deps{Transport: transport}); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (p *python) mark() string { return fleet.PythonMark(p.runner.Token.Reveal()) }

func (p *python) tenant() cloud.Tenant {
	return cloud.Tenant{ID: clever.FirstOrganisation, Token: secret.New(clever.FirstToken)}
}

// acquire queues a job and takes it.
func (p *python) acquire(body map[string]any, want ...string) *coordinator.Payload {
	p.w.queue(body, want...)
	for {
		grant, err := p.client.Request(p.w.ctx, coordinator.RunnerCall{Token: p.runner.Token})
		if err != nil {
			p.w.t.Fatal(err)
		}
		if grant.Job != nil {
			return grant.Job
		}
	}
}

// create makes an application under a job's name.
func (p *python) create(id int64) cloud.Sighting {
	seen, err := p.prov.Create(p.w.ctx, cloud.Spec{Key: fleet.PythonKey(p.mark(), id), Tenant: p.tenant(), Flavor: "M"})
	if err != nil {
		p.w.t.Fatal(err)
	}
	return seen
}

// push starts a job on an application as the Python program does.
func (p *python) push(job *coordinator.Payload, on cloud.Sighting) {
	files, err := hostfile.Render(hostfile.Host{
		Mode: hostfile.ModeExecFetchedJob, MainImage: config.DefaultMainImage, RunnerName: p.runner.Name, Forward: p.runner.Forward,
		Coordinator: p.runner.Coordinator, CoordinatorURL: p.runner.URL, Payload: job.Raw, JobID: job.ID, Key: on.Key,
		StandIn: secret.New("stands-in"), Timeout: job.Timeout,
	})
	if err == nil {
		err = p.prov.Start(p.w.ctx, cloud.Ref{Key: on.Key, Tenant: p.tenant(), Handle: on.Handle}, files)
	}
	if err != nil {
		p.w.t.Fatal(err)
	}
}

// handle is a job in the state file; resource may be nil.
func (p *python) handle(id int64, token secret.String, resource any) map[string]any {
	return map[string]any{
		"runner_name": p.mark(), "job_id": id, "token": token.Reveal(), "trace_offset": 0,
		"expected_weight": 13.454342644059432, "paas_resource": resource,
	}
}

func (p *python) resource(on cloud.Sighting, launched bool) map[string]any {
	var h struct {
		ID string `json:"app_id"`
	}
	if err := json.Unmarshal(on.Handle, &h); err != nil {
		p.w.t.Fatal(err)
	}
	return map[string]any{
		"id": h.ID, "gitlab_namespace": nil, "weight": 13.454342644059432, "launched": launched,
		"deploy_url": pythonURL + "/git/" + h.ID + ".git",
	}
}

func (p *python) put(list string, handle map[string]any) {
	p.state[list] = append(p.state[list], handle)
}

func (p *python) pend(job *coordinator.Payload, resource any) {
	p.state["pending"] = append(p.state["pending"], []any{p.handle(job.ID, job.Token, resource), json.RawMessage(job.Raw)})
}

// stop writes the state, and takes it over.
func (p *python) stop() {
	text, err := json.Marshal(p.state)
	if err == nil {
		err = os.WriteFile(p.w.cfg.StateFile, text, 0o600)
	}
	if err != nil {
		p.w.t.Fatal(err)
	}
	p.w.takeOver()
}

// takeOver makes a ledger of the state file, as the service does when it starts.
func (w *world) takeOver() {
	ledger, err := store.Open(w.ctx, store.Config{Path: w.cfg.StateFile, Release: "test", Import: func(old []byte, backup string) (store.Change, error) {
		return pystate.Import(old, pystate.Config{Runners: w.cfg.Runners, Now: time.Now(), Random: rand.NewChaCha8([32]byte{9}), Backup: backup})
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := ledger.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// legacy is a state with a job of every kind; what becomes of each is what was ordered.
func (w *world) legacy() {
	w.cfg.Quota.ReferenceJobs = 14
	p := w.python()
	script := func(seconds int) map[string]any {
		return map[string]any{"script": []string{"true"}, "virtual_seconds": seconds}
	}
	launch := func(seconds int, want ...string) (*coordinator.Payload, cloud.Sighting) {
		job := p.acquire(script(seconds), want...)
		app := p.create(job.ID)
		p.push(job, app)
		return job, app
	}
	running, on := launch(400, "success")
	p.put("launched", p.handle(running.ID, running.Token, p.resource(on, true)))

	short, on := launch(20, "success") // ends while nobody looks
	p.put("launched", p.handle(short.ID, short.Token, p.resource(on, true)))

	launching, on := launch(100, "success")
	p.pend(launching, p.resource(on, true))

	pushing, on := launch(100, "success") // the push went through after the stop
	p.pend(pushing, p.resource(on, false))

	made := p.acquire(script(30), "success")
	p.pend(made, p.resource(p.create(made.ID), false))

	creating := p.acquire(script(30), "success") // its application is not in the state
	p.create(creating.ID)
	p.pend(creating, nil)

	bare := p.acquire(script(30), "success")
	p.pend(bare, nil)

	vanished, on := launch(3000, "failed")
	p.put("launched", p.handle(vanished.ID, vanished.Token, p.resource(on, true)))
	w.remove(on.Key)

	p.put("launched", p.handle(999, secret.New("of-nobody"), p.resource(p.create(999), true)))

	ended, on := launch(1, "success")
	p.put("to_decommission", p.handle(ended.ID, ended.Token, p.resource(on, true)))

	reused, on := launch(1, "success") // in standby, under the name of the first job that it had
	p.put("standby_resources", p.handle(reused.ID+5000, reused.Token, p.resource(on, true)))

	told := p.acquire(script(1), "failed")
	said, err := p.client.AppendTrace(w.ctx, told.ID, told.Token, 0, []byte("not deployable\n"))
	if err != nil {
		w.t.Fatal(err)
	}
	h := p.handle(told.ID, told.Token, nil)
	h["trace_offset"] = said.Size
	p.state["pending"] = append(p.state["pending"], []any{h, json.RawMessage(told.Raw)})
	time.Sleep(2 * time.Minute)
	p.stop()
}

// Whatever state its jobs were in when the Python program stopped, they end well, and
// nothing that it made is left.
func TestPythonStateIsTakenOver(t *testing.T) {
	run(t, func(w *world) {
		w.legacy()
		if _, err := w.clever.AddForeign(clever.FirstOrganisation, fleet.PythonKey("othermrk", 1)); err != nil {
			w.t.Fatal(err)
		}
		w.begin("")
		time.Sleep(500 * time.Millisecond)
		if s := w.life.manager.Status(); s.Weight != 12*weights["M"] {
			w.t.Errorf("the weight of what the Python program made is not counted: %s", s.Weight)
		}
		time.Sleep(20 * time.Second)
		w.wantVerdict(fleet.PythonKey(w.marks[0], 100007), "nobody needs it, and it may not exist: being looked for", true)
		s := w.life.manager.Status()
		if i := slices.IndexFunc(s.Jobs, func(j manager.JobStatus) bool { return j.ID == 100007 }); i < 0 || !strings.HasPrefix(s.Jobs[i].WaitsFor, "an instance that the Python program may have made") {
			w.t.Errorf("the wait is not explained: %+v", s.Jobs)
		}
		running := slices.IndexFunc(s.Instances, func(i fleet.Instance) bool { return i.Job.ID == 100001 })
		if running < 0 || s.Instances[running].Flavor != "M" || s.Instances[running].Tenant != clever.FirstOrganisation {
			w.t.Errorf("status: %+v", s.Instances)
		}
		w.wantVerdict(fleet.PythonKey(w.marks[0], 100001), "in use by job 100001", true)
		w.queue(map[string]any{"script": []string{"true"}, "virtual_seconds": 10}, "success") // one of our own beside them
	}, func(w *world) {
		trace := func(id int64) string { return w.simJob(id).Trace }
		for id, want := range map[int64]string{100011: "was reporting a failed launch", 100008: "disappeared"} {
			if !strings.Contains(trace(id), want) {
				w.t.Errorf("job %d is told:\n%s", id, trace(id))
			}
		}
		if n := strings.Count(w.log.String(), "taken over from the Python program"); n != 12 {
			w.t.Errorf("%d lines tell of 12 jobs", n)
		}
		for _, app := range w.clever.Applications() {
			if app.Name == fleet.PythonKey("othermrk", 1) && app.State == "deleted" {
				w.t.Error("an instance of another runner was destroyed")
			}
		}
		if job, ok, err := w.life.store.Job(w.ctx, fleet.JobID{Coordinator: gitlabURL, ID: 999}); err != nil || !ok || job.State != fleet.JobClosed || job.Result != "unknown" {
			w.t.Errorf("the job that nobody knows: %+v, %v", job, err)
		}
	})
}

// The power is cut again and again while the Python program's jobs are followed.
func TestPythonStateAndCrashes(t *testing.T) {
	all := points(once(t, 5, (*world).legacy))
	if len(all) < 100 {
		t.Fatalf("only %d crash points: %q", len(all), all)
	}
	step := 6
	if testing.Short() {
		step = 40
	}
	for i := 0; i < len(all); i += step {
		t.Run(all[i], func(t *testing.T) {
			t.Parallel()
			once(t, 5, (*world).legacy, &fate{target: all[i]}, &fate{after: 40})
		})
	}
}

// A runner that is not in the configuration: nothing is lost, all is shown and counted,
// and goes on when the runner is back.
func TestPythonStateOfAnAbsentRunner(t *testing.T) {
	run(t, func(w *world) {
		p := w.python()
		job := p.acquire(map[string]any{"script": []string{"true"}, "virtual_seconds": 2000}, "success")
		app := p.create(job.ID)
		p.push(job, app)
		p.put("launched", p.handle(job.ID, job.Token, p.resource(app, true)))
		kept := w.cfg.Runners[0]
		w.addRunner("second", "glrt-canary-second", gitlabURL)
		w.cfg.Runners = w.cfg.Runners[1:]
		w.cfg.Quota.ReferenceRunner = "second"
		p.stop()
		w.begin("")
		time.Sleep(5 * time.Minute)
		w.wantVerdict(app.Key, "its runner "+p.mark()+" is not in the configuration", false)
		s := w.life.manager.Status()
		if s.Weight != weights["M"] || len(s.Jobs) != 1 || s.Jobs[0].WaitsFor == "" {
			w.t.Errorf("status: %+v", s)
		}
		w.end()
		w.cfg.Runners = append(w.cfg.Runners, kept)
		w.begin("")
		time.Sleep(time.Minute)
		w.wantVerdict(app.Key, fmt.Sprintf("in use by job %d", job.ID), true)
	}, nil)
}

// Who gives an absent runner up gets its weight back, and looks after the instance.
func TestPythonStateIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		defer w.close()
		p := w.python()
		app := p.create(7)
		p.put("launched", p.handle(7, secret.New("some-token"), p.resource(app, true)))
		w.cfg.Runners[0].Token = secret.New("other-runner-token")
		p.stop()
		w.begin("")
		time.Sleep(time.Minute)
		if err := w.life.manager.Forget(app.Key); err != nil {
			t.Error(err)
		}
		w.end()
		w.begin("")
		time.Sleep(time.Minute)
		if s := w.life.manager.Status(); s.Weight != 0 || len(s.Jobs)+len(s.Instances) != 0 {
			t.Errorf("given up, and still there: %+v", s)
		}
		if w.clever.Applications()[0].State == "deleted" {
			t.Error("it was destroyed")
		}
		w.end()
	})
}

// With several tenants the organisation of each instance is found by its group.
func TestPythonStateOfManyTenants(t *testing.T) {
	run(t, func(w *world) {
		w.manyTenants()
		p := w.python()
		job := p.acquire(job("one/project", map[string]any{"virtual_seconds": 200}), "success")
		seen, err := p.prov.Create(w.ctx, cloud.Spec{Key: fleet.PythonKey(p.mark(), job.ID), Tenant: cloud.Tenant{ID: "orga_one", Token: secret.New("canary-token-one")}, Flavor: "M"})
		if err != nil {
			w.t.Fatal(err)
		}
		files := cloud.Ref{Key: seen.Key, Tenant: cloud.Tenant{ID: "orga_one", Token: secret.New("canary-token-one")}, Handle: seen.Handle}
		rendered, err := hostfile.Render(hostfile.Host{
			Mode: hostfile.ModeExecFetchedJob, MainImage: config.DefaultMainImage, RunnerName: "x", Coordinator: gitlabURL, CoordinatorURL: gitlabURL,
			Payload: job.Raw, JobID: job.ID, Key: seen.Key, StandIn: secret.New("stands-in"),
		})
		if err == nil {
			err = p.prov.Start(w.ctx, files, rendered)
		}
		if err != nil {
			w.t.Fatal(err)
		}
		r := p.resource(seen, true)
		r["gitlab_namespace"] = "one"
		delete(r, "weight")
		p.put("launched", p.handle(job.ID, job.Token, r))
		for _, handle := range p.state["launched"] {
			handle.(map[string]any)["expected_weight"] = 1
		}
		pending := p.acquire(map[string]any{"script": []string{"true"}, "virtual_seconds": 20, "project": "two/project"}, "success")
		p.pend(pending, nil)
		p.stop()
		w.begin("")
		time.Sleep(10 * time.Second)
		s := w.life.manager.Status()
		if i := slices.IndexFunc(s.Instances, func(i fleet.Instance) bool { return i.Key == seen.Key }); i < 0 || s.Instances[i].Tenant != "orga_one" || s.Instances[i].Weight != weights["M"] {
			w.t.Errorf("status: %+v", s.Instances)
		}
	}, func(w *world) { w.noTokens() })
}

// A job that the state says was not launched, though its application is there and was
// pushed to: it may have begun, so it is never begun a second time.
func TestPythonLaunchedMoreThanItWrote(t *testing.T) {
	run(t, func(w *world) {
		p := w.python()
		job := p.acquire(map[string]any{"script": []string{"true"}, "virtual_seconds": 3000}, "failed")
		p.push(job, p.create(job.ID))
		p.pend(job, nil)
		time.Sleep(time.Minute)
		p.stop()
	}, func(w *world) {
		if apps := w.clever.Applications(); len(apps) != 1 {
			w.t.Errorf("it was launched again: %+v", apps)
		}
		if trace := w.simJob(w.orders[0].id).Trace; !strings.Contains(trace, "was exchanged while the job was being started") {
			w.t.Errorf("the user is told:\n%s", trace)
		}
	})
}

// The machine of a taken over job dies: lists show it, and the job ends.
func TestPythonMachineDies(t *testing.T) {
	run(t, func(w *world) {
		p := w.python()
		job := p.acquire(map[string]any{"script": []string{"true"}, "virtual_seconds": 3000}, "failed")
		app := p.create(job.ID)
		p.push(job, app)
		p.put("launched", p.handle(job.ID, job.Token, p.resource(app, true)))
		time.Sleep(time.Minute)
		p.stop()
		w.begin("")
		time.Sleep(2 * time.Minute)
		w.bench.kill(0)
		time.Sleep(5 * time.Minute)
		if j := w.simJob(job.ID); j.Status != "failed" || j.FailureReason != "runner_system_failure" {
			w.t.Errorf("five minutes later the job is %s (%s)", j.Status, j.FailureReason)
		}
	}, nil)
}

// A state file that names the application of somebody else, by mistake or on purpose: it
// is not touched, whatever becomes of the job, and the audit says why.
func TestPythonStateNamesAnothersApplication(t *testing.T) {
	for _, name := range []string{"production", "hpd-job-kvzWdEMo-7"} { // the second is another runner's
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3)
				defer w.close()
				p := w.python()
				theirs, err := w.clever.AddForeign(clever.FirstOrganisation, name)
				if err != nil {
					t.Fatal(err)
				}
				for i, list := range []string{"launched", "to_decommission"} {
					id := int64(7 + i)
					handle, err := json.Marshal(map[string]string{"app_id": theirs})
					if err != nil {
						t.Fatal(err)
					}
					p.put(list, p.handle(id, secret.New("some-token"), p.resource(cloud.Sighting{Handle: handle}, true)))
				}
				p.stop()
				w.begin("")
				time.Sleep(3 * time.Hour)
				if state := w.clever.Applications()[0].State; state != "created" {
					t.Errorf("somebody else's application is %s", state)
				}
				s := w.life.manager.Status()
				if len(s.Instances) == 0 || s.Weight == 0 || !strings.Contains(w.log.String(), `it is named \"`+name+`\"`) {
					t.Errorf("nothing is said of it: %+v", s)
				}
				for _, id := range []int64{7, 8} {
					key := fleet.PythonKey(p.mark(), id)
					w.wantVerdict(key, "which is not ours: never touched", false)
					if err := w.life.manager.Forget(key); err != nil {
						t.Errorf("job %d: %v", id, err)
					}
				}
				time.Sleep(10 * time.Minute)
				if s := w.life.manager.Status(); s.Weight != 0 || len(s.Instances)+len(s.Jobs) != 0 {
					t.Errorf("given up, and still there: %+v", s)
				}
				if state := w.clever.Applications()[0].State; state != "created" {
					t.Errorf("given up, somebody else's application is %s", state)
				}
				w.end()
			})
		})
	}
}
