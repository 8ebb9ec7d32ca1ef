// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"heptapod-paas-runner/internal/fleet"
	"heptapod-paas-runner/internal/manager"
)

// told collects what a herald sends.
type told struct {
	mu    sync.Mutex
	lines []string
}

func (x *told) send(lines ...string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lines = append(x.lines, lines...)
	return nil
}

// take gives what was sent since the last take.
func (x *told) take() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := strings.Join(x.lines, "\n")
	x.lines = nil
	return all
}

func TestNoSignOfLifeWhileTheOwnerHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var x told
		owner := make(chan struct{}, 1) // full = it hangs
		h := &herald{send: x.send, every: 5 * time.Second, watchdog: true, log: slog.New(slog.DiscardHandler), status: func() manager.Status {
			owner <- struct{}{}
			defer func() { <-owner }()
			return manager.Status{StartedAt: time.Now(), Ready: true}
		}}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = h.Run(ctx) }()
		synctest.Wait()
		if got := x.take(); got != "READY=1\nWATCHDOG=1\nSTATUS=0 open jobs, 0 instances, weight 0 of 0" {
			t.Errorf("at the start it told\n%s", got)
		}
		wait(11 * time.Second)
		if got := x.take(); got != "WATCHDOG=1\nWATCHDOG=1" {
			t.Errorf("in 11 seconds it told\n%s", got)
		}
		owner <- struct{}{}
		wait(10 * time.Minute)
		if got := x.take(); got != "" {
			t.Errorf("the owner hangs, and yet it told\n%s", got)
		}
		<-owner
		synctest.Wait()
		if got := x.take(); !strings.HasPrefix(got, "WATCHDOG=1") {
			t.Errorf("the owner answers again, and it told\n%s", got)
		}
		owner <- struct{}{} // a service that hangs is told to stop
		cancel()
		synctest.Wait()
		if got := x.take(); !strings.HasPrefix(got, "STOPPING=1\n") {
			t.Errorf("at the end it told\n%s", got)
		}
		<-owner
		synctest.Wait()
	})
}

// wait lets simulated time pass.
func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestNeverReadyWhenTheManagerNeverBegan(t *testing.T) {
	t.Parallel()
	var x told
	h := &herald{send: x.send, every: time.Second, watchdog: true, log: slog.New(slog.DiscardHandler), status: func() manager.Status { return manager.Status{} }}
	if err := h.Run(t.Context()); err != nil || x.take() != "" {
		t.Errorf("Run = %v", err)
	}
}

func TestHeadline(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]manager.Status{
		"1 open job, 2 instances, weight 0 of 0":                              {Ready: true, Jobs: make([]manager.JobStatus, 1), Instances: make([]fleet.Instance, 2)},
		"0 open jobs, 0 instances, weight 0 of 0; not ready: a":               {Reasons: []string{"a"}},
		"0 open jobs, 0 instances, weight 0 of 0; not ready: a (and 2 more)":  {Reasons: []string{"a", "b", "c"}},
		"0 open jobs, 0 instances, weight 0 of 0; fuse blown: too many gone!": {Ready: true, Fuse: "too many gone!"},
	} {
		if got := headline(s); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestServiceManagerIsTold runs the program as systemd would.
func TestServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	theirs, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	path := offlineService(t, dir)
	cmd := exec.CommandContext(t.Context(), "heptapod-paas-runner", path)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "WATCHDOG_USEC=400000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	expect := func(all ...string) {
		t.Helper()
		for _, want := range all {
			if got := await1(t, theirs, want); got == "" {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				t.Fatalf("it never told %s\n%s", want, stderr.String())
			}
		}
	}
	expect("READY=1\nWATCHDOG=1\nSTATUS=0 open jobs, 0 instances, ", "WATCHDOG=1", "WATCHDOG=1")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	expect("RELOADING=1\nMONOTONIC_USEC=", "READY=1")
	if err := os.WriteFile(path, []byte("no = configuration"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	expect("RELOADING=1\nMONOTONIC_USEC=", "READY=1", "WATCHDOG=1")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expect("STOPPING=1\nSTATUS=stopping")
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, stderr.String())
	}
}

// await1 reads messages until one begins as wanted; "" when none comes.
func await1(t *testing.T, theirs *net.UnixConn, want string) string {
	t.Helper()
	if err := theirs.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 4096)
	for {
		n, err := theirs.Read(text)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return ""
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(text[:n]), want) {
			return want
		}
	}
}

// offlineService writes the configuration of a service that reaches nobody.
func offlineService(t *testing.T, dir string) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	text := `
state_file = "` + filepath.Join(dir, "state.db") + `"
listen_address = "127.0.0.1:` + strconv.Itoa(port) + `"
paas_relay_path = "relay"
[quota_computation]
  reference_runner = "offline"
  reference_flavor = "M"
  reference_jobs_count = 8
[[runners]]
  name = "offline"
  url = "http://127.0.0.1:9"
  token = "D3adNQYu8OCjkYDbwDaG"
  executor = "clever-docker"
  cc_api_url = "http://127.0.0.1:9/v2"
  cc_orga_id = "orga_07cf2ef0-c9ad-4f04-b492-94c164f95c76"
  cc_token = "bb52e490-d47e-47a4-b190-73e23eb17111"
  [runners.cc_extra_env]
    CC_ENABLE_HEPTAPOD_RUNNER = "true"
`
	path := filepath.Join(dir, "paas-runner.toml")
	for name, content := range map[string]string{path: text, filepath.Join(dir, "relay"): "stands in for the relay"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}
