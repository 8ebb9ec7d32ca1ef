// SPDX-License-Identifier: Apache-2.0

package subrunner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	killAfter = 10 * time.Second // from asking the script to end to killing it
	pipeDelay = 2 * time.Second  // for what a script leaves in the background
)

// Real runs commands with bash, or sh where there is no bash, as this user.
type Real struct{}

func (Real) name() string { return filepath.Base(shellPath()) }

func shellPath() string {
	if bash, err := exec.LookPath("bash"); err == nil {
		return bash
	}
	return "/bin/sh"
}

func (Real) open(p place) (workspace, error) {
	r := &realPlace{project: p.project, temp: p.project + ".tmp", payload: p.payload, out: p.out, vars: p.vars}
	for _, dir := range []string{r.project, r.temp} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the job's folder: %w", err)
		}
	}
	return r, nil
}

type realPlace struct {
	project, temp string
	payload       *payload
	vars          []Variable
	out           io.Writer
	scripts       int
}

func (r *realPlace) close() error { return os.RemoveAll(r.temp) }

// run writes a script with all variables and runs it from a file: variables may
// be larger than an environment can be.
func (r *realPlace) run(ctx context.Context, lines []string, vars []Variable) (int, error) {
	script, err := r.script(lines, vars)
	if err != nil {
		return -1, err
	}
	r.scripts++
	file := filepath.Join(r.temp, fmt.Sprintf("script-%d", r.scripts))
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return -1, fmt.Errorf("write the script: %w", err)
	}
	return r.exec(ctx, shellPath(), file)
}

func (r *realPlace) script(lines []string, vars []Variable) (string, error) {
	var b strings.Builder
	b.WriteString("set -e\nif (set -o pipefail) 2>/dev/null; then set -o pipefail; fi\nset +o noclobber\n")
	for _, v := range vars {
		if !exportable(v.Key) {
			continue
		}
		value := v.Value
		if v.File {
			value = filepath.Join(r.temp, v.Key)
			if err := os.WriteFile(value, []byte(v.Value), 0o600); err != nil {
				return "", fmt.Errorf("write the file of variable %s: %w", v.Key, err)
			}
		}
		fmt.Fprintf(&b, "export %s=%s\n", v.Key, quote(value))
	}
	fmt.Fprintf(&b, "cd %s\n", quote(r.project))
	for _, line := range lines {
		fmt.Fprintf(&b, "printf '%%s' %s\n%s\n", quote(echo(line)), line)
	}
	return b.String(), nil
}

// exec runs one program in a process group of its own.
func (r *realPlace) exec(ctx context.Context, argv ...string) (int, error) {
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // the whole group is ended below, and asked first
	cmd.Dir = r.project
	cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0")
	cmd.Stdout, cmd.Stderr = r.out, r.out
	cmd.WaitDelay = pipeDelay
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return -1, fmt.Errorf("start %s: %w", argv[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = r.kill(cmd.Process.Pid, ended)
	}
	if ctx.Err() != nil {
		return -1, context.Cause(ctx)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exitCode(exit), nil
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return -1, fmt.Errorf("run %s: %w", argv[0], err)
	}
	return 0, nil
}

// kill asks a process group to end, and ends it when it does not.
func (r *realPlace) kill(pid int, ended <-chan error) error {
	_ = syscall.Kill(-pid, syscall.SIGTERM) // gone already: then Wait returns
	grace := time.NewTimer(killAfter)
	defer grace.Stop()
	select {
	case err := <-ended:
		_ = syscall.Kill(-pid, syscall.SIGKILL) // what ignored the first signal
		return err
	case <-grace.C:
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		return <-ended
	}
}

// exitCode is the shell's view: 128 + signal for what was killed.
func exitCode(e *exec.ExitError) int {
	if status, ok := e.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return e.ExitCode()
}

// quote makes one word of a shell command.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'" }

// exportable tells whether a shell can have a variable of that name.
func exportable(key string) bool {
	name, n := variableName(key)
	return name != "" && n == len(key) && name == key
}
