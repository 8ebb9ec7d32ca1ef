// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nobody is the user without rights of most systems.
const nobody = 65534

// asNobody gives the program as somebody without rights runs it, and a folder that is
// open to everybody. Root needs a copy of the program that others may run.
func asNobody(t *testing.T) (run func(args ...string) (code int, says string), dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "register") //nolint:usetesting // TempDir is for one user only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	program, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	var as *syscall.SysProcAttr
	if os.Getuid() == 0 {
		as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		bin := filepath.Join(dir, "bin")
		if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(bin, 0o755), copyFile(program, filepath.Join(bin, name))); err != nil {
			t.Fatal(err)
		}
		program = filepath.Join(bin, name)
	}
	work := filepath.Join(dir, "work")
	if err := errors.Join(os.Mkdir(work, 0o755), os.Chmod(work, 0o777)); err != nil {
		t.Fatal(err)
	}
	return func(args ...string) (int, string) {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.SysProcAttr, cmd.Dir = as, work
		out, err := cmd.CombinedOutput()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return exit.ExitCode(), string(out)
		}
		if err != nil {
			t.Fatal(err)
		}
		return 0, string(out)
	}, work
}

// copyFile copies a program. A process that another test starts meanwhile would hold the copy
// open for writing until it is what it shall be, and so none is started.
func copyFile(from, to string) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close(), os.Chmod(to, 0o755))
}

// The caveats about folders and owners are found before anything is registered, and
// explained.
func TestWithoutRights(t *testing.T) {
	t.Parallel()
	url, _ := serve(t)
	run, work := asNobody(t)
	all := []string{"-n", "--url", url, "-t", "glrt-x", "--name", "x", "-e", "local-docker", "--max-concurrency", "1", "--state-file-path", "state.db"}
	code, says := run(append(all, "good.toml")...)
	if code != 0 || !strings.Contains(says, "can read it: run the service as this user") {
		t.Errorf("a folder for everybody: %d %s", code, says)
	}
	locked := filepath.Join(work, "locked")
	if err := errors.Join(os.Mkdir(locked, 0o755), os.Chmod(locked, 0o555)); err != nil {
		t.Fatal(err)
	}
	if code, says := run(append(all, "locked/new.toml")...); code != 1 || !strings.Contains(says, "can't be written by user") || !strings.Contains(says, "mode 0555") {
		t.Errorf("a folder without rights: %d %s", code, says)
	}
	valid, err := os.ReadFile(filepath.Join(work, "good.toml"))
	if err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(work, "foreign.toml")
	if err := errors.Join(os.WriteFile(foreign, valid, 0o644), os.Chmod(foreign, 0o644)); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		return // what is left is about files of others, which only root can make
	}
	if code, says := run(append(all, "foreign.toml")...); code != 1 || !strings.Contains(says, "foreign.toml can't be written by user") || !strings.Contains(says, "it belongs to root") {
		t.Errorf("a file of somebody else: %d %s", code, says)
	}
	if err := os.Chmod(foreign, 0o666); err != nil {
		t.Fatal(err)
	}
	all[4] = "glrt-y" // -t
	if code, says := run(append(all, "foreign.toml")...); code != 1 || !strings.Contains(says, "can't keep the owner root:root of foreign.toml") {
		t.Errorf("a file of somebody else for everybody: %d %s", code, says)
	}
	if now, err := os.ReadFile(foreign); err != nil || string(now) != string(valid) {
		t.Errorf("%v: the file changed: %s", err, now)
	}
}
