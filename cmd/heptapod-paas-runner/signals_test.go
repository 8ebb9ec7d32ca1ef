// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// reading starts the service and leaves it reading its configuration, which is what is written
// to the file.
func reading(t *testing.T) (*exec.Cmd, *os.File, *strings.Builder) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "paas.toml")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, stderr := exec.CommandContext(t.Context(), "heptapod-paas-runner", path), &strings.Builder{}
	cmd.Stderr, cmd.WaitDelay = stderr, time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0) // waits until it is read
	if err != nil {
		t.Fatal(err)
	}
	return cmd, file, stderr
}

// A signal that comes twice at once is one signal; a later one ends the process.
func TestOneSignalTwice(t *testing.T) {
	t.Parallel()
	cmd, file, _ := reading(t)
	defer func() { _ = file.Close() }()
	terminate := func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	terminate()
	time.Sleep(20 * time.Millisecond) // two of a kind that are not taken yet are one
	terminate()
	time.Sleep(2 * oneSignal)
	if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Fatal("it has ended:", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		t.Fatal("it has ended:", err)
	case <-time.After(100 * time.Millisecond):
	}
	terminate()
	exit, is := errors.AsType[*exec.ExitError](<-ended)
	if !is || exit.ExitCode() != codeInterrupted {
		t.Errorf("it ended with %v, want exit code %d", exit, codeInterrupted)
	}
}

// Signals for the running service don't end one that is still reading its configuration.
func TestSignalsAtTheStart(t *testing.T) {
	t.Parallel()
	cmd, file, stderr := reading(t)
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1} {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(100 * time.Millisecond) // a process that dies of it does so at once
	_, _ = file.WriteString("no = configuration\n")
	_ = file.Close()
	exit, ended := errors.AsType[*exec.ExitError](cmd.Wait())
	if !ended || exit.ExitCode() != codeInvalid {
		t.Errorf("it ended with %v, want exit code %d\n%s", exit, codeInvalid, stderr.String())
	}
}
