// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What tests are promised: an engine apart from everything, that runs images made of
// files, and whose containers reach a server of the test.
func TestContainersReachTheTest(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"plain": {MTU: 1450}, "user namespaces": {Remap: true}, "closed": {Closed: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := Start(t, o)
			e.Import(t, "box:1", Busybox(t), `CMD ["true"]`)
			l := e.Listen(t)
			heard := make(chan string, 1)
			go func() {
				conn, err := l.Accept()
				if err != nil {
					heard <- err.Error()
					return
				}
				defer conn.Close()
				line, _ := bufio.NewReader(conn).ReadString('\n')
				heard <- strings.TrimSpace(line)
			}()
			host, port, _ := net.SplitHostPort(l.Addr().String())
			id := e.Run(t, "one", map[string]any{
				"Image": "box:1", "Cmd": []string{"sh", "-c", "cat /proc/self/uid_map /sys/class/net/eth0/mtu; echo hello | nc " + host + " " + port},
			})
			if code := e.Wait(t, id); code != 0 {
				t.Fatalf("exit code %d: %s", code, e.Output(t, id))
			}
			if got := <-heard; got != "hello" {
				t.Errorf("heard %q", got)
			}
			out := strings.Fields(e.Output(t, id))
			mtu, root := "1500", "0"
			if o.MTU != 0 {
				mtu = "1450"
			}
			if o.Remap {
				root = "100000"
			}
			if len(out) != 4 || out[1] != root || out[3] != mtu {
				t.Errorf("uid_map and MTU %q, want root %s, MTU %s", out, root, mtu)
			}
		})
	}
}

func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a Docker Engine")
	}
	e, err := start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	e.Import(t, "box", Busybox(t))
	id := e.Run(t, "", map[string]any{"Image": "box", "Cmd": []string{"sleep", "1000"}})
	if out, code := e.Exec(t, id, "sh", "-c", "echo here; exit 3"); strings.TrimSpace(out) != "here" || code != 3 {
		t.Errorf("exec: %q, %d", out, code)
	}
	e.Remove(t, id)
	if err := e.Call(t.Context(), http.MethodGet, "/containers/"+id+"/json", nil, nil); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
	e.Run(t, "", map[string]any{"Image": "box", "Cmd": []string{"sleep", "1000"}})
	e.Kill() // before Stop, so that it finds what an engine leaves that has crashed
	e.Stop()
	e.Stop() // once is enough, twice does no harm
	if _, err := os.Stat(e.dir); !os.IsNotExist(err) {
		t.Errorf("%s: %v", e.dir, err)
	}
	for _, pattern := range []string{"/sys/fs/cgroup/*" + e.cgroup, "/sys/fs/cgroup" + e.cgroup} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	if err := e.Call(context.Background(), http.MethodGet, "/_ping", nil, nil); err == nil {
		t.Error("it still answers")
	}
}

func TestContainersOutliveAStunnedEngine(t *testing.T) {
	t.Parallel()
	e := Start(t, Options{})
	e.Import(t, "box", Busybox(t))
	l := e.Listen(t)
	host, port, _ := net.SplitHostPort(l.Addr().String())
	e.Run(t, "", map[string]any{"Image": "box", "Cmd": []string{"nc", host, port, "-e", "cat"}})
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	echo := bufio.NewReader(conn)
	for _, line := range []string{"before\n", "after\n"} {
		if line == "after\n" {
			e.Stun(t)
		}
		if _, err := conn.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
		if back, err := echo.ReadString('\n'); back != line {
			t.Fatalf("%q came back as %q, %v", line, back, err)
		}
	}
}

// An engine that was stunned answers again, with what it had; what lived on has ended.
func TestRevivedEngine(t *testing.T) {
	t.Parallel()
	e := Start(t, Options{})
	e.Import(t, "box", Busybox(t))
	id := e.Run(t, "one", map[string]any{"Image": "box", "Cmd": []string{"sleep", "1000"}})
	for range 2 {
		e.Stun(t)
		e.Revive(t)
	}
	var c struct{ State struct{ Running bool } }
	e.Must(t, http.MethodGet, "/containers/"+id+"/json", nil, &c)
	if c.State.Running {
		t.Error("the container still runs")
	}
	e.Must(t, http.MethodPost, "/containers/"+id+"/start", nil, nil)
}

// A program in the engine's network finds the engine's host, and the test finds it there.
func TestProgramInside(t *testing.T) {
	t.Parallel()
	e := Start(t, Options{})
	l := e.ListenOn(t, "127.0.0.1:0")
	host, port, _ := net.SplitHostPort(l.Addr().String())
	cmd := exec.Command("busybox", "nc", host, port)
	if err := e.Inside(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestSharedEngine(t *testing.T) {
	t.Parallel()
	var s Shared
	s.Stop() // not started: nothing to do
	defer s.Stop()
	if first := s.Get(t); first != s.Get(t) {
		t.Error("two engines")
	}
}
