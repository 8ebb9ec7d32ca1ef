// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"heptapod-paas-runner/internal/relay"
	"heptapod-paas-runner/internal/sim/clever"
	"heptapod-paas-runner/internal/sim/memnet"
	"heptapod-paas-runner/internal/sim/subrunner"
)

// bench runs instances in this process: the real relay and the reference sub-runner,
// with a virtual shell.
type bench struct {
	net *memnet.Network
	dir string

	deaf   atomic.Int32 // so many machines will boot and never do anything
	frozen atomic.Bool  // no machine says anything any more, or ends

	mu      sync.Mutex
	started map[string]int // how often a sub-runner was started for a key
	boots   int
	alive   []machine // in order of boot
	hung    map[string]bool
	busy    []*subRunner // that run, in order of their start
}

// killSubRunner lets one of the running sub-runners end without a word; its machine lives.
func (b *bench) killSubRunner(which int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.busy) > 0 {
		b.busy[which%len(b.busy)].kill()
	}
}

// hang lets one of the running machines stay as it is, and gives the key of its instance: the
// cloud sees nothing of it.
func (b *bench) hang(which int) (name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.alive) == 0 {
		return ""
	}
	m := b.alive[which%len(b.alive)]
	if b.hung == nil {
		b.hung = map[string]bool{}
	}
	b.hung[m.place] = true
	m.cut()
	return m.name
}

func (b *bench) hangs(place string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.frozen.Load() || b.hung[place]
}

// machine is one that runs, and what kills it.
type machine struct {
	place string
	name  string // of its instance
	die   context.CancelFunc
	cut   func()
}

// freeze lets all machines that run stay as they are: the cloud sees nothing of it.
func (b *bench) freeze() {
	b.frozen.Store(true)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.alive {
		m.cut()
	}
}

// kill lets one of the running machines die.
func (b *bench) kill(which int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.alive) > 0 {
		b.alive[which%len(b.alive)].die()
	}
}

// live notes a machine that runs; the function that comes back notes its end.
func (b *bench) live(place, name string, die context.CancelFunc, cut func()) func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.alive = append(b.alive, machine{place, name, die, cut})
	return func() {
		die()
		b.mu.Lock()
		defer b.mu.Unlock()
		b.alive = slices.DeleteFunc(b.alive, func(m machine) bool { return m.place == place })
	}
}

// Launch implements clever.Launcher.
func (b *bench) Launch(ctx context.Context, task clever.Task) error {
	b.mu.Lock()
	b.boots++
	place := fmt.Sprintf("vm%d", b.boots)
	b.mu.Unlock()
	ctx, die := context.WithCancel(ctx)
	vm := b.net.Client(place)
	defer b.live(place, task.Name, die, vm.Cut)()
	defer func() {
		if b.hangs(place) {
			<-ctx.Done()
		}
	}()
	if b.deaf.Load() > 0 && b.deaf.Add(-1) >= 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	dir := filepath.Join(b.dir, place)
	settings := ""
	for path, data := range task.Files {
		to := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if filepath.Base(path) == "runner.toml" { // there is no Docker here
			data = []byte(strings.Replace(string(data), `executor = "docker"`, `executor = "shell"`, 1))
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			return err
		}
		if filepath.Base(path) == "relay.json" {
			settings = to
		}
	}
	defer vm.Cut()
	context.AfterFunc(ctx, vm.Cut)
	if settings == "" {
		return b.execFetchedJob(ctx, task, vm, dir)
	}
	_, err := relay.Run(ctx, relay.Config{File: settings}, relay.Deps{
		Transport: vm.Transport(), Listen: vm.Listen, Version: "test",
		Own: func(net.Addr, net.Addr) bool { return true },
		Env: []string{},
		Start: func(ctx context.Context, c relay.Command) (relay.Process, error) {
			p := startSubRunner(ctx, c, vm, b.gone)
			b.mu.Lock()
			defer b.mu.Unlock()
			b.started[task.Name]++
			b.busy = append(b.busy, p)
			return p, nil
		},
	})
	return err
}

// execFetchedJob does what the entry point of the other mode does.
func (b *bench) execFetchedJob(ctx context.Context, task clever.Task, vm *memnet.Client, dir string) error {
	if len(task.Argv) != 5 || task.Argv[1] != "exec-fetched-job" || task.Argv[2] != "--config" {
		return fmt.Errorf("entry point %q", task.Argv)
	}
	b.mu.Lock()
	b.started[task.Name]++
	b.mu.Unlock()
	return subrunner.ExecFetchedJob(ctx, subrunner.Options{
		ConfigFile: filepath.Join(dir, task.Argv[3]), Transport: vm.Transport(), Shell: subrunner.Virtual{}, Dir: dir,
	}, filepath.Join(dir, task.Argv[4]))
}

// subRunner is the reference sub-runner as a process would be.
type subRunner struct {
	kill context.CancelFunc
	term chan struct{}
	once sync.Once
	done chan error
}

// gone notes that a sub-runner has ended.
func (b *bench) gone(p *subRunner) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy = slices.DeleteFunc(b.busy, func(other *subRunner) bool { return other == p })
}

func startSubRunner(ctx context.Context, c relay.Command, vm *memnet.Client, gone func(*subRunner)) *subRunner {
	ctx, kill := context.WithCancel(ctx)
	p := &subRunner{kill: kill, term: make(chan struct{}), done: make(chan error, 1)}
	o := subrunner.Options{
		MaxBuilds: 1, WaitTimeout: time.Minute, Transport: vm.Transport(), Shell: subrunner.Virtual{}, Dir: c.Dir, Terminate: p.term,
	}
	for i, arg := range c.Args {
		switch arg {
		case "--config":
			o.ConfigFile = c.Args[i+1]
		case "--runner":
			o.RunnerName = c.Args[i+1]
		}
	}
	go func() {
		defer kill()
		defer gone(p)
		p.done <- subrunner.RunSingle(ctx, o)
	}()
	return p
}

// Signal implements relay.Process.
func (p *subRunner) Signal(s os.Signal) error {
	if s == os.Kill {
		p.kill()
		return nil
	}
	p.once.Do(func() { close(p.term) })
	return nil
}

// Wait implements relay.Process.
func (p *subRunner) Wait() error {
	if err := <-p.done; err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
