// SPDX-License-Identifier: Apache-2.0

package launch_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/launch"
)

// output collects what a task prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func newProcess(t *testing.T, cfg launch.Config) (*launch.Process, string) {
	t.Helper()
	cfg.Dir = t.TempDir()
	p, err := launch.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p, cfg.Dir
}

// shell is a task that runs a pushed script.
func shell(script string, log *output) clever.Task {
	return clever.Task{
		Name: "one", Argv: []string{"/opt/run.sh", "/etc/conf/runner.toml", "plain"}, Log: log, Env: map[string]string{"K": "V", "PATH": "/evil", "HOME": "/evil"},
		Files: map[string][]byte{
			"/opt/run.sh":           []byte("#!/bin/sh\n" + script),
			"/etc/conf/runner.toml": []byte("[[runners]]\n  executor = \"docker\"\n  tls-ca-file = \"/etc/conf/ca.pem\"\n  [runners.docker]\n  image = \"docker\"\n"),
			"/etc/conf/ca.pem":      []byte("pem"),
		},
		Executable: map[string]bool{"/opt/run.sh": true},
	}
}

func empty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestFilesAreMappedAndTheEnvironmentIsClean(t *testing.T) {
	t.Setenv("LEAKED_SECRET", "x")
	p, dir := newProcess(t, launch.Config{})
	var log output
	err := p.Launch(t.Context(), shell(`
echo "args $2 $#"; cat "$1"; ca=$(sed -n 's/.*tls-ca-file = "\(.*\)"/\1/p' "$1"); cat "$ca"; echo
test -x "$1" && echo "executable config"
ls "$HOME" "$TMPDIR"; pwd; env; touch "$TMPDIR/x" x; chmod 0 .; exit 0
`, &log))
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	for _, want := range []string{"args plain 2\n", "executor = \"shell\"\n", "image = \"docker\"\n", "\npem\n", "\nK=V\n", "\nLANG=C.UTF-8\n", "/work\n", "HOME=" + dir} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in\n%s", want, &log)
		}
	}
	for _, never := range []string{"LEAKED_SECRET", "evil", "executable config"} {
		if strings.Contains(log.String(), never) {
			t.Errorf("%q is in\n%s", never, &log)
		}
	}
	empty(t, dir)
}

func TestFailuresAreTold(t *testing.T) {
	t.Parallel()
	p, dir := newProcess(t, launch.Config{})
	var log output
	if err := p.Launch(t.Context(), shell("exit 7", &log)); err == nil || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("exit 7: %v", err)
	}
	task := shell("", &log)
	task.Argv = []string{"/nonexistent/program"}
	if err := p.Launch(t.Context(), task); err == nil || !strings.Contains(err.Error(), "/nonexistent/program") {
		t.Errorf("no such program: %v", err)
	}
	if _, err := launch.New(launch.Config{GitlabRunner: "/nonexistent/gitlab-runner"}); err == nil {
		t.Error("a gitlab-runner that is not there was accepted")
	}
	empty(t, dir)
}

// until waits for something that happens outside of this process.
func until(t *testing.T, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !happened(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("it never happened")
		}
	}
}

func TestGitlabRunnerIsInThePath(t *testing.T) {
	t.Parallel()
	self := filepath.Join(t.TempDir(), "it's me")
	if err := os.WriteFile(self, []byte("#!/bin/sh\necho self \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []launch.Config{{GitlabRunner: self}, {Self: self}} {
		if _, err := os.Stat("/usr/bin/gitlab-runner"); err == nil && cfg.GitlabRunner == "" {
			continue // a stock one is preferred
		}
		p, _ := newProcess(t, cfg)
		var log output
		task := shell("gitlab-runner a 'b c'", &log)
		if err := p.Launch(t.Context(), task); err != nil {
			t.Errorf("%v\n%s", err, &log)
		}
		task.Argv = []string{"/usr/bin/gitlab-runner", "exec-fetched-job", "/etc/conf/ca.pem"}
		if err := p.Launch(t.Context(), task); err != nil {
			t.Errorf("%v\n%s", err, &log)
		}
		want := "self sim sub-runner a b c\nself sim sub-runner exec-fetched-job "
		if cfg.GitlabRunner != "" {
			want = "self a b c\nself exec-fetched-job "
		}
		if !strings.HasPrefix(log.String(), want) || !strings.HasSuffix(log.String(), "/root/etc/conf/ca.pem\n") {
			t.Errorf("with %+v: %s", cfg, &log)
		}
	}
}
