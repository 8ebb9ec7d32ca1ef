// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Options say what kind of engine. The zero value is Docker's defaults.
type Options struct {
	MTU    int      // of the default bridge
	Remap  bool     // root in a container is nobody on the host (userns-remap)
	Closed bool     // containers on the default bridge don't see each other (icc=false), and no proxy serves published ports
	Flags  []string // more of dockerd's own
}

// Engine is a running Docker Engine.
type Engine struct {
	Socket string // where it listens; may be mounted into containers
	dir    string
	cgroup string
	cmd    *exec.Cmd
	ended  chan struct{}
	http   *http.Client
	stop   sync.Once
}

// Start starts an engine and stops it when the test ends. With -short the test is
// skipped; otherwise an engine that can't be started fails it.
func Start(t testing.TB, o Options) *Engine {
	t.Helper()
	needed(t)
	e, err := start(o)
	if err != nil {
		t.Fatalf("start a Docker Engine: %v", err)
	}
	t.Cleanup(e.Stop)
	return e
}

// needed skips a test that is to be quick.
func needed(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a Docker Engine")
	}
}

// Shared is one engine for all tests of a package: started when it is first asked
// for, stopped by TestMain.
type Shared struct {
	Options Options

	once   sync.Once
	engine *Engine
	err    error
}

// Get gives the engine, and starts it if need be.
func (s *Shared) Get(t testing.TB) *Engine {
	t.Helper()
	needed(t)
	s.once.Do(func() { s.engine, s.err = start(s.Options) })
	if s.err != nil {
		t.Fatalf("start a Docker Engine: %v", s.err)
	}
	return s.engine
}

// Stop stops the engine, if it was started.
func (s *Shared) Stop() {
	if s.engine != nil {
		s.engine.Stop()
	}
}

// Stop removes all containers and ends the engine.
func (e *Engine) Stop() {
	e.stop.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		e.clear(ctx)
		e.Kill()
		_ = os.RemoveAll(e.dir) // in the folder for what is temporary
		removeCgroups(e.cgroup)
	})
}

// clear removes the containers, so that their control groups go. An engine that
// does not answer any more is killed all the same.
func (e *Engine) clear(ctx context.Context) {
	var found []struct {
		ID string `json:"Id"`
	}
	if e.Call(ctx, http.MethodGet, "/containers/json?all=true", nil, &found) != nil {
		return
	}
	var all sync.WaitGroup
	for _, c := range found {
		all.Go(func() { _ = e.Call(ctx, http.MethodDelete, "/containers/"+c.ID+"?force=true&v=true", nil, nil) })
	}
	all.Wait()
}

// Kill ends the engine at once, as if the power went: its processes, containers and
// networks are gone when it returns.
func (e *Engine) Kill() {
	_ = e.cmd.Process.Kill() // the one error is that it has ended
	<-e.ended
}

// Stun ends dockerd alone, as when it crashes: containers live on, but nobody answers
// for them.
func (e *Engine) Stun(t testing.TB) {
	t.Helper()
	if err := e.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatalf("stop dockerd: %v", err)
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for e.Call(context.Background(), http.MethodGet, "/_ping", nil, nil) == nil {
		<-look.C
	}
}

// Revive starts dockerd again after Stun. As it is set up here, that ends the containers
// that have lived on.
func (e *Engine) Revive(t testing.TB) {
	t.Helper()
	if err := e.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatalf("start dockerd again: %v", err)
	}
	if err := e.await(); err != nil {
		t.Fatalf("start dockerd again: %v", err)
	}
}

// Log is what the engine wrote last.
func (e *Engine) Log() string {
	text, err := os.ReadFile(filepath.Join(e.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-8000):])
}

// removeCgroups removes what containers of a killed engine have left of control
// groups: their processes are gone, the folders are not. Best effort, since an empty
// group harms nobody.
func removeCgroups(parent string) {
	for _, pattern := range []string{"/sys/fs/cgroup" + parent, "/sys/fs/cgroup/*" + parent} {
		groups, err := filepath.Glob(pattern)
		if err != nil || parent == "" || parent == "/" {
			return
		}
		for _, group := range groups {
			removeCgroup(group)
		}
	}
}

// removeCgroup removes a group and those below it; its files go with it.
func removeCgroup(group string) {
	entries, err := os.ReadDir(group)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if entry.IsDir() {
			removeCgroup(filepath.Join(group, entry.Name()))
		}
	}
	_ = os.Remove(group)
}
