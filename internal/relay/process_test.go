// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// script puts a shell script in the place of gitlab-runner, over real sockets.
func (w *world) script(t *testing.T, text string) (Outcome, error) {
	t.Helper()
	server := httptest.NewServer(w.coordinator)
	defer server.Close()
	path := filepath.Join(w.dir, "gitlab-runner")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	w.settings["coordinator"] = server.URL
	w.settings["sub_runner"] = []string{path}
	w.realProcess = true
	return w.run(t.Context())
}

func TestARealProcess(t *testing.T) {
	w := newWorld(t, prefix)
	out, err := w.script(t, `test "$1 $2 $4 $5" = "run-single --config --runner the runner" || exit 9
grep -q 'url = "http://127.0.0.1:' "$3" || exit 8
pwd >cwd
echo "cannot go on" >&2
exit 3
`)
	if err != nil {
		t.Fatal(err)
	}
	want := Outcome{State: "failed", FailureReason: "runner_system_failure", By: ByRelay}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Error(diff)
	}
	if got := string(w.coordinator.trace); !strings.Contains(got, "gitlab-runner ended (exit status 3) without taking the job.\nIts last words:\n  cannot go on\n") {
		t.Errorf("trace %q", got)
	}
	if cwd, err := os.ReadFile(filepath.Join(w.dir, "cwd")); err != nil || strings.TrimSpace(string(cwd)) != w.dir {
		t.Errorf("working directory %q %v", cwd, err)
	}
}

func TestARealProcessGetsTheSignal(t *testing.T) {
	w := newWorld(t, prefix)
	ready := filepath.Join(w.dir, "ready")
	if err := syscall.Mkfifo(ready, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		os.ReadFile(ready) // returns when the script has written
		w.stop <- syscall.SIGTERM
	}()
	out, err := w.script(t, `trap 'echo "told to stop" >&2; exit 0' TERM
echo >ready
while :; do sleep 0.05; done
`)
	if err != nil || out.State != "failed" {
		t.Fatal(out, err)
	}
	if got := string(w.coordinator.trace); !strings.Contains(got, "told to stop") {
		t.Errorf("trace %q", got)
	}
}

func TestTheTailIsShort(t *testing.T) {
	t.Parallel()
	var last tail
	for range 3000 {
		last.Write([]byte("line \xff with secret-word\n"))
	}
	lines := last.lines([]string{"secret-word"})
	if len(lines) != tailLines || lines[0] != "line � with [redacted]" || len(last.text) > tailBytes {
		t.Errorf("%d lines, %q, %d bytes", len(lines), lines[0], len(last.text))
	}
}
