// SPDX-License-Identifier: Apache-2.0

package clever_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/sim/clever"
)

// world changes how the platform behaves.
func (a api) world(body string) {
	a.t.Helper()
	if status, raw := a.do("POST", "/_sim/world", body); status != http.StatusOK {
		a.t.Fatalf("%s: %d %s", body, status, raw)
	}
}

// lasting is a launcher whose tasks take a minute.
func lasting() *recorder {
	return &recorder{end: func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Minute):
			return nil
		}
	}}
}

type machineAnswer struct {
	ID, State    string
	DeletionDate *time.Time
}

func (a api) machines(app, query string) string {
	a.t.Helper()
	var list []machineAnswer
	a.get("GET", "/v4/orchestration"+strings.TrimPrefix(apps, "/v2")+"/"+app+"/instances"+query, "", &list)
	var states []string
	for _, m := range list {
		if (m.DeletionDate != nil) != (m.State == "DELETED") {
			a.t.Errorf("%+v", m)
		}
		states = append(states, m.State)
	}
	return strings.Join(states, " ")
}

func TestWorldIsChangedByName(t *testing.T) {
	t.Parallel()
	a := api{t: t, s: clever.New(clever.Config{BootTime: 2 * time.Second, TaskState: clever.TaskWIP}), token: ""}
	a.world(`{"ignore_delete":2}`)
	a.world(`{"repo_delay_seconds":0.5,"docker_version":"20991231"}`)
	want := clever.World{
		BootSeconds: 2, RepoDelaySeconds: 0.5, TaskState: "wip", FailedTaskState: "FAIL", DockerVersion: "20991231", IgnoreDelete: 2,
	}
	if diff := cmp.Diff(want, a.s.World()); diff != "" {
		t.Errorf("world (-want +got):\n%s", diff)
	}
	for body, says := range map[string]string{
		`{"boot":1}`: "unknown field", `{"boot_seconds":-1}`: "boot_seconds is -1", `{"boot_seconds":"2s"}`: "boot_seconds",
		`{"task_state":"x"}`: `task_state is \"x\"`, `{"logs":"x"}`: "logs is", `{"application_state":"x"}`: "application_state is",
		`{"failed_task_state":""}`: "failed_task_state is", `{"docker_version":""}`: "docker_version is", `{"ignore_delete":-1}`: "ignore_delete is", `[]`: "read the body",
	} {
		if status, raw := a.do("POST", "/_sim/world", body); status != 400 || !strings.Contains(string(raw), says) {
			t.Errorf("%s: %d %s, want %q", body, status, raw, says)
		}
	}
	if diff := cmp.Diff(want, a.s.World()); diff != "" {
		t.Errorf("a refused change had an effect (-want +got):\n%s", diff)
	}
}

// A task's machine goes through all states, and its deployment through all steps.
func TestMachineOfATask(t *testing.T) {
	t.Parallel()
	for state, v2 := range map[string]string{clever.TaskRunning: "TASK_RUNNING", clever.TaskWIP: "WIP"} {
		bubble(t, clever.Config{BootTime: 30 * time.Second, TaskState: state, Launcher: lasting()}, func(t *testing.T, a api) {
			a.world(`{"stop_seconds":10,"deployment_lag_seconds":5}`)
			app := a.create("one")
			pushOK(t, a.s, app.ID, given())
			for _, step := range []struct {
				wait                time.Duration
				machine, deployment string
			}{
				{0, "", ""}, {5 * time.Second, "BOOTING", "WIP"}, {10 * time.Second, "STARTING", "WIP"}, {10 * time.Second, "DEPLOYING", "WIP"},
				{10 * time.Second, "TASK_IN_PROGRESS", v2}, {time.Minute, "STOPPING", "OK"}, {10 * time.Second, "DELETED", "OK"},
			} {
				at(step.wait)
				if machine, d := a.machines(app.ID, ""), a.deployments(app.ID); machine != step.machine || d != step.deployment {
					t.Errorf("%s: machine %q, deployment %q, want %q and %q", state, machine, d, step.machine, step.deployment)
				}
				if ended := a.s.Applications()[0].EndedAt; (ended != nil) != (step.machine == "DELETED") {
					t.Errorf("%s: machine %q, but its end is %v", state, step.machine, ended)
				}
			}
			if got := a.machines(app.ID, "?excludeState=DELETED") + a.machines(app.ID, "?includeState=UP"); got != "" {
				t.Errorf("filtered: %s", got)
			}
			var v4 []struct {
				State string
				Steps []struct{ State string }
			}
			a.get("GET", "/v4/orchestration"+strings.TrimPrefix(apps, "/v2")+"/"+app.ID+"/deployments", "", &v4)
			var steps []string
			for _, s := range v4[0].Steps {
				steps = append(steps, s.State)
			}
			want := "QUEUED WORK_IN_PROGRESS TASK_IN_PROGRESS SUCCEEDED"
			if state == clever.TaskWIP {
				want = "QUEUED WORK_IN_PROGRESS SUCCEEDED"
			}
			if got := strings.Join(steps, " "); got != want || v4[0].State != "SUCCEEDED" {
				t.Errorf("%s: steps %s, want %s", state, got, want)
			}
			if u := a.s.Usage(); len(u) != 1 || u[0].VMSeconds != 100 || u[0].Flavor != "heptapod-runner-M" || u[0].Price != 0.015433 {
				t.Errorf("usage %+v", u)
			}
		})
	}
}

func TestFailedTask(t *testing.T) {
	t.Parallel()
	l := &recorder{end: func(context.Context) error { return errors.New("exit status 1") }}
	for _, want := range []string{"FAIL", "OK"} {
		bubble(t, clever.Config{Launcher: l}, func(t *testing.T, a api) {
			a.world(`{"failed_task_state":"` + want + `"}`)
			app := a.create("one")
			pushOK(t, a.s, app.ID, given())
			at(time.Second)
			if got := a.deployments(app.ID); got != want || a.s.Applications()[0].State != "failed" {
				t.Errorf("%s, %s, want %s", got, a.s.Applications()[0].State, want)
			}
		})
	}
}

// What goes wrong on demand.
func TestMishaps(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		world string
		play  func(t *testing.T, a api)
	}{
		"a variable in the body is refused": {`{"refuse_env_in_body":true}`, func(t *testing.T, a api) {
			a.refused("POST", apps, newBody("x"), 400, 400)
			a.get("POST", apps, strings.Replace(newBody("x"), `,"env":{"K":"V"}`, "", 1), nil)
		}},
		"an answer is cut after the creation": {`{"malformed_creates":1}`, func(t *testing.T, a api) {
			a.loose = true
			status, raw := a.do("POST", apps, newBody("x"))
			if status != 200 || strings.HasSuffix(string(raw), "}\n") || len(a.s.Applications()) != 1 {
				t.Errorf("%d %s", status, raw)
			}
			a.create("y")
		}},
		"a version is out of date": {`{"docker_version":"20991231"}`, func(t *testing.T, a api) {
			a.refused("POST", apps, newBody("x"), 400, 9017)
			a.get("POST", apps, strings.Replace(newBody("x"), "20260601", "20991231", 1), nil)
		}},
		"a deletion is not done": {`{"ignore_delete":1}`, func(t *testing.T, a api) {
			app := a.create("x")
			a.get("DELETE", apps+"/"+app.ID, "", nil)
			a.get("GET", apps+"/"+app.ID, "", nil)
			a.get("DELETE", apps+"/"+app.ID, "", nil)
			a.refused("GET", apps+"/"+app.ID, "", 404, 4004)
		}},
		"lists are old": {`{"stale_lists_seconds":60}`, func(t *testing.T, a api) {
			app := a.create("x")
			names := func() (names string) {
				var list []appAnswer
				a.get("GET", apps, "", &list)
				for _, x := range list {
					names += x.Name
				}
				return names
			}
			at(59 * time.Second)
			early := names()
			at(2 * time.Second)
			later := names()
			a.get("DELETE", apps+"/"+app.ID, "", nil)
			a.refused("GET", apps+"/"+app.ID, "", 404, 4004)
			deleted := names()
			at(61 * time.Second)
			if early != "" || later != "x" || deleted != "x" || names() != "" {
				t.Errorf("seen %q, %q, after the deletion %q, %q", early, later, deleted, names())
			}
		}},
		"a push is accepted and not deployed": {`{"accept_push_without_deployment":true}`, func(t *testing.T, a api) {
			app := a.create("x")
			pushOK(t, a.s, app.ID, given())
			at(time.Hour)
			if got := a.deployments(app.ID); got != "" || a.s.Applications()[0].Files["job.json"] != "{}" {
				t.Errorf("deployments %s", got)
			}
		}},
		"a deployment is stuck": {`{"stuck_deployments":true}`, func(t *testing.T, a api) {
			app := a.create("x")
			pushOK(t, a.s, app.ID, given())
			at(time.Hour)
			if got := a.deployments(app.ID) + " " + a.machines(app.ID, ""); got != "WIP DEPLOYING" {
				t.Error(got)
			}
		}},
		"a machine is a ghost": {`{"ghost_instances":true}`, func(t *testing.T, a api) {
			app := a.create("x")
			pushOK(t, a.s, app.ID, given())
			at(time.Hour)
			if got := a.deployments(app.ID) + " " + a.machines(app.ID, ""); got != "WIP GHOST" {
				t.Error(got)
			}
			a.get("DELETE", apps+"/"+app.ID, "", nil)
		}},
		"nobody paid": {`{"application_state":"DEFAULT_OF_PAYMENT"}`, func(t *testing.T, a api) {
			if app := a.create("x"); app.State != "DEFAULT_OF_PAYMENT" {
				t.Error(app.State)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, clever.Config{BootTime: time.Second, Launcher: lasting()}, func(t *testing.T, a api) {
				a.world(tt.world)
				tt.play(t, a)
			})
		})
	}
}

// What is no task is up only when something listens, and fails when nothing does.
func TestServersMustListen(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		listens bool
		ends    time.Duration
		want    string
	}{
		"listens": {true, time.Hour, "OK UP running"}, "is silent": {false, time.Hour, "FAIL DELETED failed"},
		"ends at once": {false, time.Second, "FAIL DELETED failed"},
	} {
		l := &recorder{end: func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(tt.ends):
				return nil
			}
		}}
		asked := ""
		cfg := clever.Config{Launcher: l, Listens: func(_ context.Context, port string) bool { asked = port; return tt.listens }}
		bubble(t, cfg, func(t *testing.T, a api) {
			var app appAnswer
			a.get("POST", apps, strings.NewReplacer(`"TASK"`, `"REGULAR"`, `{"K":"V"}`, `{"CC_DOCKER_EXPOSED_HTTP_PORT":"9000"}`).Replace(newBody("x")), &app)
			pushOK(t, a.s, app.ID, given())
			at(40 * time.Second)
			if got := a.deployments(app.ID) + " " + a.machines(app.ID, "") + " " + a.s.Applications()[0].State; got != tt.want || asked != "9000" {
				t.Errorf("%s: %s, port %s, want %s", name, got, asked, tt.want)
			}
		})
	}
}

func TestLogsOnDemand(t *testing.T) {
	t.Parallel()
	s := clever.New(clever.Config{Launcher: &recorder{end: func(context.Context) error { return nil }}})
	go func() { _ = s.Run(t.Context()) }()
	web := httptest.NewServer(s)
	defer web.Close()
	a := api{t: t, s: s, token: clever.FirstToken}
	app := a.create("one")
	read := func(query string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, web.URL+"/v4/logs/organisations/orga_sim/applications/"+app.ID+"/logs"+query, nil)
		if err != nil {
			return "", err
		}
		req.Header.Set("Authorization", "token sim-cc-token")
		resp, err := web.Client().Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		all, err := io.ReadAll(resp.Body)
		return string(all), err
	}
	pushOK(t, s, app.ID, given())
	all, err := read("?limit=2")
	if err != nil || strings.Count(all, "event:APPLICATION_LOG") != 2 || !strings.Contains(all, `{"endedBy":"LIMIT_REACHED"}`) {
		t.Errorf("limited: %v\n%s", err, all)
	}
	if all, err := read("?service=bas&limit=1"); err != nil || !strings.Contains(all, "hello from one") || strings.Contains(all, "Successfully") {
		t.Errorf("of one service: %v\n%s", err, all)
	}
	if all, err := read("?deploymentId=other&until=2020-01-01T00:00:00Z"); err != nil || strings.Contains(all, "APPLICATION_LOG") || !strings.Contains(all, "UNTIL_REACHED") {
		t.Errorf("of another deployment: %v\n%s", err, all)
	}
	a.world(`{"logs":"no_end"}`)
	if all, err := read("?limit=1"); err != nil || strings.Contains(all, "END_OF_STREAM") || !strings.Contains(all, "APPLICATION_LOG") {
		t.Errorf("without an end: %v\n%s", err, all)
	}
	a.world(`{"logs":"drop"}`)
	if all, err := read(""); err == nil || !strings.Contains(all, "hello from one") {
		t.Errorf("dropped: %v\n%s", err, all)
	}
}
