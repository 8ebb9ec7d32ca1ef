// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"time"
)

// startWithin is how long an engine may take to answer; it takes half a second.
const startWithin = time.Minute

// RemappedRoot is who the root of a container is on the host, with Options.Remap.
const RemappedRoot = 100000

// script is the engine's first process: it makes the namespaces fit to live in, starts
// dockerd and ends with it, and everything in the namespaces with them. The computer's
// own configuration of Docker is covered, and so is its list of subordinate ids, which
// userns-remap reads. At SIGUSR1 it kills dockerd and lets the containers live; at SIGUSR2
// it starts dockerd again.
const script = `set -e
dir=$1; shift
mount --make-rprivate /
mount -t proc proc /proc
mkdir -p /etc/docker
mount -t tmpfs tmpfs /etc/docker
mount -t tmpfs tmpfs /run
for file in subuid subgid; do
	[ -e "/etc/$file" ] || continue
	mount --bind "$dir/subid" "/etc/$file"
done
ip link set lo up
sleep infinity &
idle=$!
state=up
trap 'state=down; kill -KILL "$daemon"' USR1
trap 'state=up' USR2
while :; do
	dockerd "$@" &
	daemon=$!
	wait "$daemon" && code=0 || code=$? # a signal ends it, too
	[ "$state" = up ] && exit "$code"
	wait "$daemon" || :
	while [ "$state" = down ]; do wait "$idle" || :; done
done
`

func start(o Options) (*Engine, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("this needs root")
	}
	for _, program := range []string{"dockerd", "iptables", "ip", "mount"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("%w: install docker.io, iptables and iproute2 (make test does)", err)
		}
	}
	dir, err := os.MkdirTemp("", "engine") // short: a socket's path may have 107 bytes
	if err != nil {
		return nil, err
	}
	e := &Engine{
		Socket: filepath.Join(dir, "docker.sock"), dir: dir, cgroup: "/" + filepath.Base(dir), ended: make(chan struct{}),
	}
	e.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", e.Socket)
		},
		DisableKeepAlives: true,
	}}
	if err := e.launch(o); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return e, nil
}

func (e *Engine) launch(o Options) error {
	// 0711: with user namespaces the containers' root must get to its files
	if err := os.Chmod(e.dir, 0o711); err != nil {
		return err
	}
	flags, err := e.flags(o)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(e.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	//nolint:noctx // it outlives the context of the test that happens to need it first
	e.cmd = exec.Command("sh", append([]string{"-c", script, "engine", e.dir}, flags...)...)
	e.cmd.Stdout, e.cmd.Stderr = log, log
	if e.cmd.SysProcAttr, err = apart(); err != nil {
		return err
	}
	if err := e.cmd.Start(); err != nil {
		return err
	}
	go func() { defer close(e.ended); _ = e.cmd.Wait() }()
	return e.await()
}

func (e *Engine) flags(o Options) ([]string, error) {
	flags := []string{
		"--host", "unix://" + e.Socket, "--pidfile", filepath.Join(e.dir, "pid"),
		"--data-root", filepath.Join(e.dir, "data"), "--exec-root", filepath.Join(e.dir, "exec"),
		"--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", e.cgroup,
	}
	if o.MTU != 0 {
		flags = append(flags, "--mtu", strconv.Itoa(o.MTU))
	}
	owner, err := remapped()
	if err != nil {
		return nil, err
	}
	if o.Remap {
		flags = append(flags, "--userns-remap", owner.user+":"+owner.group)
	}
	// the same file serves as both lists of subordinate ids
	ids := fmt.Sprintf("%s:%d:65536\n%s:%[2]d:65536\n", owner.user, RemappedRoot, owner.group)
	if err := os.WriteFile(filepath.Join(e.dir, "subid"), []byte(ids), 0o644); err != nil {
		return nil, err
	}
	if o.Closed {
		flags = append(flags, "--icc=false", "--userland-proxy=false")
	}
	return append(flags, o.Flags...), nil
}

// names are a user and its group.
type names struct{ user, group string }

// remapped is who gives its name to the subordinate ids: a user that every system has.
func remapped() (names, error) {
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return names{}, err
	}
	group, err := user.LookupGroupId(nobody.Gid)
	if err != nil {
		return names{}, err
	}
	return names{user: nobody.Username, group: group.Name}, nil
}

// await waits until the engine answers.
func (e *Engine) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		if e.Call(ctx, http.MethodGet, "/_ping", nil, nil) == nil {
			return nil
		}
		select {
		case <-e.ended:
			return fmt.Errorf("it ended at once: %s", e.Log())
		case <-ctx.Done():
			e.Kill()
			return fmt.Errorf("it does not answer after %s: %s", startWithin, e.Log())
		case <-look.C:
		}
	}
}
