// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"heptapod-paas-runner/internal/sim/clever"
)

const (
	subRunner = "gitlab-runner"
	markName  = "SIM_MACHINE"   // in the environment of everything that a machine starts
	pipeDelay = 2 * time.Second // for what an entry point leaves behind
)

// Config says how machines are made. Its zero value is good.
type Config struct {
	GitlabRunner string       // a stock gitlab-runner; "" = the one on PATH, else the reference sub-runner
	Self         string       // the program that knows `sim sub-runner`; "" = this one
	Dir          string       // machines' folders go here; "" = the system's temporary folder
	Log          *slog.Logger // nil = nothing is logged
}

// Process is a [clever.Launcher] whose machines are processes.
type Process struct {
	cfg   Config
	stock string // a stock gitlab-runner, or ""
}

var _ clever.Launcher = (*Process)(nil)

// New checks the configuration and looks for a gitlab-runner.
func New(cfg Config) (*Process, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Self == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find this program: %w", err)
		}
		cfg.Self = self
	}
	name := cfg.GitlabRunner
	if name == "" {
		name = subRunner
	}
	stock, err := exec.LookPath(name)
	if err == nil {
		stock, err = filepath.Abs(stock)
	}
	if err != nil {
		if cfg.GitlabRunner != "" {
			return nil, fmt.Errorf("find %s: %w", cfg.GitlabRunner, err)
		}
		stock = ""
	}
	return &Process{cfg: cfg, stock: stock}, nil
}

// Launch implements [clever.Launcher].
func (p *Process) Launch(ctx context.Context, task clever.Task) error {
	dir, err := os.MkdirTemp(p.cfg.Dir, "machine-")
	if err != nil {
		return fmt.Errorf("make a machine for %s: %w", task.Name, err)
	}
	err = p.run(ctx, dir, task)
	if removed := removeAll(dir); removed != nil {
		p.cfg.Log.Warn("machine's folder stays behind", "instance", task.Name, "err", removed)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("run %s: %w", task.Name, ctx.Err())
	}
	return err
}

func (p *Process) run(ctx context.Context, dir string, task clever.Task) error {
	d := disk{dir: dir}
	if err := d.write(task); err != nil {
		return fmt.Errorf("fill the disk of %s: %w", task.Name, err)
	}
	if err := d.shim(p.stock, p.cfg.Self); err != nil {
		return fmt.Errorf("put %s in place: %w", subRunner, err)
	}
	mark := rand.Text()
	argv := d.argv(task)
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // the whole group is ended below
	cmd.Dir = d.work()
	cmd.Env = d.env(task, mark)
	cmd.Stdout, cmd.Stderr = task.Log, task.Log
	cmd.WaitDelay = pipeDelay
	cmd.SysProcAttr = attributes()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", argv[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	select {
	case err = <-ended:
		endMachine(cmd.Process.Pid, mark)
	case <-ctx.Done():
		endMachine(cmd.Process.Pid, mark)
		err = <-ended
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("run %s: %w", filepath.Base(argv[0]), err)
	}
	return nil
}

// endMachine kills the entry point's process group and whatever else it started,
// wherever that has gone.
func endMachine(group int, mark string) {
	_ = syscall.Kill(-group, syscall.SIGKILL) // it may have ended by itself
	killMarked(markName + "=" + mark)
}

// env is what the entry point sees: little of this computer, all of the application.
func (d disk) env(task clever.Task, mark string) []string {
	env := []string{
		"HOME=" + d.home(), "TMPDIR=" + d.temp(), "LANG=C.UTF-8", markName + "=" + mark,
		"PATH=" + d.bin() + string(os.PathListSeparator) + os.Getenv("PATH"),
	}
	own := []string{"HOME", "TMPDIR", "PATH", markName}
	for k, v := range task.Env {
		if !slices.Contains(own, k) && !strings.ContainsAny(k+v, "\x00") && !strings.Contains(k, "=") {
			env = append(env, k+"="+v)
		}
	}
	slices.Sort(env)
	return env
}
