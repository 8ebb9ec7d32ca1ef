// SPDX-License-Identifier: Apache-2.0

package clever_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/revlist"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-billy/v5/util"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/google/go-cmp/cmp"

	"heptapod-paas-runner/internal/sim/clever"
)

const dockerfile = `# what an instance is given
FROM registry.example.test/runner:1
COPY runner.toml job.json \
     /etc/heptapod-runner/
COPY paas-relay /usr/local/bin/paas-relay
ENV DEBUG="true" OTHER=x
ENTRYPOINT ["/usr/local/bin/paas-relay", "/etc/heptapod-runner/relay.json"]
`

func given() map[string]string {
	return map[string]string{
		"Dockerfile": dockerfile, "runner.toml": "[[runners]]\n", "job.json": "{}", "paas-relay": "\x7fELF\xff",
	}
}

// push sends files to master without a network. It gives the answer.
func push(t *testing.T, s *clever.Server, app string, files map[string]string) *httptest.ResponseRecorder {
	t.Helper()
	tree := memfs.New()
	for name, text := range files {
		if err := util.WriteFile(tree, name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	store := memory.NewStorage()
	repo, err := git.Init(store, tree)
	if err != nil {
		t.Fatal(err)
	}
	work, err := repo.Worktree()
	if err != nil {
		t.Fatal(err)
	}
	if err := work.AddGlob("."); err != nil {
		t.Fatal(err)
	}
	who := &object.Signature{Name: "a", Email: "a@example.test", When: time.Unix(1, 0)}
	commit, err := work.Commit("files", &git.CommitOptions{Author: who})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := revlist.Objects(store, []plumbing.Hash{commit}, nil)
	if err != nil {
		t.Fatal(err)
	}
	update := packp.NewReferenceUpdateRequest()
	update.Commands = []*packp.Command{{Name: "refs/heads/master", New: commit}}
	if err := update.Capabilities.Set("report-status"); err != nil {
		t.Fatal(err)
	}
	var body strings.Builder
	if err := update.Encode(&body); err != nil {
		t.Fatal(err)
	}
	if _, err := packfile.NewEncoder(&body, store, false).Encode(objects, 0); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/git/"+app+".git/git-receive-pack", strings.NewReader(body.String()))
	r.SetBasicAuth("Jenkins", clever.FirstToken)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func pushOK(t *testing.T, s *clever.Server, app string, files map[string]string) {
	t.Helper()
	if w := push(t, s, app, files); !strings.Contains(w.Body.String(), "ok refs/heads/master") {
		t.Fatalf("push: %d %q", w.Code, w.Body)
	}
}

// bubble runs f with a running server in simulated time.
func bubble(t *testing.T, cfg clever.Config, f func(t *testing.T, a api)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := clever.New(cfg)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		f(t, api{t: t, s: s, token: clever.FirstToken})
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func (a api) create(name string) appAnswer {
	a.t.Helper()
	var app appAnswer
	a.get("POST", apps, newBody(name), &app)
	return app
}

func (a api) deployments(app string) string {
	a.t.Helper()
	var list []deployAnswer
	a.get("GET", apps+"/"+app+"/deployments", "", &list)
	var states []string
	for _, d := range list {
		states = append(states, d.State)
	}
	return strings.Join(states, " ")
}

// at moves the clock and lets everything settle.
func at(d time.Duration) {
	time.Sleep(d) // simulated
	synctest.Wait()
}

func TestTaskFromCreationToEnd(t *testing.T) {
	t.Parallel()
	l := &recorder{end: func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Minute):
			return nil
		}
	}}
	bubble(t, clever.Config{URL: "http://clever.test", BootTime: 20 * time.Second, RepoDelay: 5 * time.Second, Launcher: l}, func(t *testing.T, a api) {
		app := a.create("hpd-job-abc-1")
		if app.Deployment.RepoState != "CREATING" || app.Deployment.HTTPURL != "http://clever.test/git/"+app.ID+".git" || app.Instance.MaxFlavor.Mem != 8192 {
			t.Errorf("created %+v", app)
		}
		if w := push(t, a.s, app.ID, given()); w.Code != http.StatusNotFound {
			t.Errorf("a push while the repository is created: %d", w.Code)
		}
		at(5 * time.Second)
		a.get("GET", apps+"/"+app.ID, "", &app)
		if app.Deployment.RepoState != "CREATED" || app.State != "SHOULD_BE_DOWN" {
			t.Errorf("after the delay %+v", app)
		}
		pushOK(t, a.s, app.ID, given())
		at(20*time.Second - 1)
		if s := a.s.Applications()[0].State; s != "booting" || a.deployments(app.ID) != "WIP" {
			t.Errorf("while booting: %s, %s", s, a.deployments(app.ID))
		}
		at(1)
		if s := a.s.Applications()[0].State; s != "running" || a.deployments(app.ID) != "TASK_RUNNING" {
			t.Errorf("while running: %s, %s", s, a.deployments(app.ID))
		}
		at(time.Minute)
		a.get("GET", apps+"/"+app.ID, "", &app)
		if app.State != "SHOULD_BE_DOWN" || a.deployments(app.ID) != "OK" {
			t.Errorf("afterwards: %s, %s", app.State, a.deployments(app.ID))
		}
		at(time.Hour)
		shown := a.s.Applications()[0]
		if shown.State != "ended" || shown.VMSeconds != 80 || shown.EndedAt.Sub(*shown.StartedAt) != 80*time.Second || shown.DeletedAt != nil {
			t.Errorf("in the end %+v", shown)
		}
		if !strings.Contains(a.s.Output(app.ID), "hello from hpd-job-abc-1") {
			t.Errorf("output %q", a.s.Output(app.ID))
		}
		task := l.seen()[0]
		want := map[string][]byte{
			"/etc/heptapod-runner/runner.toml": []byte("[[runners]]\n"), "/etc/heptapod-runner/job.json": []byte("{}"),
			"/usr/local/bin/paas-relay": []byte("\x7fELF\xff"),
		}
		if diff := cmp.Diff(want, task.Files); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"/usr/local/bin/paas-relay", "/etc/heptapod-runner/relay.json"}, task.Argv); diff != "" {
			t.Errorf("argv:\n%s", diff)
		}
		if task.Env["K"] != "V" || task.Env["DEBUG"] != "true" || task.Env["APP_ID"] != app.ID {
			t.Errorf("env %v", task.Env)
		}
	})
}

func TestDeletionDestroysTheMachineInEveryState(t *testing.T) {
	t.Parallel()
	for name, when := range map[string]time.Duration{"booting": 3 * time.Second, "running": 40 * time.Second, "ended": 200 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			destroyed := false
			l := &recorder{end: func(ctx context.Context) error {
				select {
				case <-ctx.Done():
					destroyed = true
					return ctx.Err()
				case <-time.After(100 * time.Second):
					return nil
				}
			}}
			bubble(t, clever.Config{BootTime: 10 * time.Second, Launcher: l}, func(t *testing.T, a api) {
				app := a.create("one")
				pushOK(t, a.s, app.ID, given())
				at(when)
				if s := a.s.Applications()[0].State; s != name {
					t.Fatalf("state %s", s)
				}
				status, raw := a.do("DELETE", apps+"/"+app.ID, "")
				if status != http.StatusOK || !strings.Contains(string(raw), `"id":302`) {
					t.Errorf("delete: %d %s", status, raw)
				}
				a.refused("DELETE", apps+"/"+app.ID, "", http.StatusNotFound, 4004)
				a.refused("GET", apps+"/"+app.ID, "", http.StatusNotFound, 4004)
				at(time.Hour)
				shown := a.s.Applications()[0]
				want := min(when, 110*time.Second).Seconds()
				if shown.State != "deleted" || shown.VMSeconds != want || shown.Files["job.json"] != "{}" || destroyed != (name == "running") {
					t.Errorf("%+v, destroyed %t, want %v VM seconds", shown, destroyed, want)
				}
				if w := push(t, a.s, app.ID, given()); w.Code != http.StatusNotFound {
					t.Errorf("git after the deletion: %d", w.Code)
				}
				if len(l.seen()) > 1 || name == "booting" && len(l.seen()) > 0 {
					t.Errorf("launched %d times", len(l.seen()))
				}
			})
		})
	}
}

func TestTwoPushesRunOneAfterTheOther(t *testing.T) {
	t.Parallel()
	l := &recorder{end: func(context.Context) error { time.Sleep(10 * time.Second); return nil }} // simulated
	bubble(t, clever.Config{Launcher: l}, func(t *testing.T, a api) {
		app := a.create("one")
		pushOK(t, a.s, app.ID, given())
		at(time.Second)
		var answer struct{ DeploymentID string }
		a.get("POST", apps+"/"+app.ID+"/instances", "", &answer)
		if got := a.deployments(app.ID); got != "WIP TASK_RUNNING" || answer.DeploymentID == "" {
			t.Errorf("deployments %s, answer %+v", got, answer)
		}
		at(time.Minute)
		if got := a.deployments(app.ID); got != "OK OK" || len(l.seen()) != 2 || a.s.Applications()[0].VMSeconds != 20 {
			t.Errorf("deployments %s, %d launches, %+v", got, len(l.seen()), a.s.Applications()[0])
		}
	})
}

func TestWhatCannotRunFails(t *testing.T) {
	t.Parallel()
	broken := func(text string) map[string]string {
		return map[string]string{"Dockerfile": text, "a": "1", "d/b": "2"}
	}
	for _, tt := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{"job.json": "{}"}, "no Dockerfile"},
		{broken("COPY a /a\n"), "must be FROM"},
		{broken("FROM x\nCOPY missing /a\nENTRYPOINT [\"a\"]\n"), "line 2: COPY: source \"missing\" was not pushed"},
		{broken("FROM x\nENTRYPOINT [\"a\"\n"), "line 2: ENTRYPOINT: exec form"},
		{broken("FROM x\nRUN rm -rf /\n"), "line 2: RUN: not simulated"},
		{broken("FROM x\nCOPY --from=y /a /b\n"), "other images"},
		{broken("FROM x\nCOPY a \\\n"), "never ends"},
		{broken("FROM x\n"), "neither ENTRYPOINT nor CMD"},
		{broken("FROM x\nCOPY a d /both\n"), "ends with /"},
		{given(), "the launcher says no"},
	} {
		l := &recorder{end: func(context.Context) error { return errors.New("the launcher says no") }}
		bubble(t, clever.Config{Launcher: l}, func(t *testing.T, a api) {
			app := a.create("one")
			pushOK(t, a.s, app.ID, tt.files)
			at(time.Second)
			if s := a.s.Applications()[0].State; s != "failed" || a.deployments(app.ID) != "FAIL" || !strings.Contains(a.s.Output(app.ID), tt.want) {
				t.Errorf("%v: state %s, %s, output %q", tt.files["Dockerfile"], s, a.deployments(app.ID), a.s.Output(app.ID))
			}
		})
	}
}

func TestDockerfileForms(t *testing.T) {
	t.Parallel()
	l := &recorder{end: func(context.Context) error { return nil }}
	bubble(t, clever.Config{Launcher: l}, func(t *testing.T, a api) {
		app := a.create("one")
		pushOK(t, a.s, app.ID, map[string]string{"a": "1", "d/b": "2", "d/e/c": "3", "x y": "4", "Dockerfile": `ARG V=1
from x
LABEL a=b
env OLD a b  c
env A='1 2' B="x\"y" C=a\ b
WORKDIR /srv
WORKDIR app
COPY --chmod=755 a ./
# inside
COPY d /all
COPY ["x y", "/with blank"]
COPY d/* /flat/
CMD -x
ENTRYPOINT run me
CMD ["--now"]
`})
		at(time.Second)
		task := l.seen()[0]
		var paths []string
		for p := range task.Files {
			paths = append(paths, p)
		}
		want := map[string]string{"/srv/app/a": "1", "/all/b": "2", "/all/e/c": "3", "/with blank": "4", "/flat/b": "2"}
		for p, text := range want {
			if string(task.Files[p]) != text {
				t.Errorf("%s is %q, of %v", p, task.Files[p], paths)
			}
		}
		if len(paths) != len(want) || !task.Executable["/srv/app/a"] || task.Executable["/all/b"] {
			t.Errorf("files %v, executable %v", paths, task.Executable)
		}
		if diff := cmp.Diff([]string{"/bin/sh", "-c", "run me", "--now"}, task.Argv); diff != "" {
			t.Error(diff)
		}
		if task.Env["OLD"] != "a b  c" || task.Env["A"] != "1 2" || task.Env["B"] != `x"y` || task.Env["C"] != "a b" {
			t.Errorf("env %q", task.Env)
		}
	})
}
