// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// How Docker tells a container its id: the mounts of three files, a control group of
// either version, under either driver, and the hostname.
func TestOwnIDs(t *testing.T) {
	t.Parallel()
	mount := func(root, point string) string {
		return "1030 1020 254:1 " + root + " " + point + " rw,relatime - ext4 /dev/vda1 rw\n"
	}
	folder := "/var/lib/docker/containers/" + selfID
	for name, c := range map[string]struct {
		mounts, groups, hostname string
		want                     []string
	}{
		"as usual":            {mount(folder+"/hostname", "/etc/hostname") + mount(folder+"/hosts", "/etc/hosts"), "0::/\n", selfID[:12], []string{selfID, selfID[:12]}},
		"user namespaces":     {mount("/var/lib/docker/100000.100000/containers/"+selfID+"/resolv.conf", "/etc/resolv.conf"), "0::/\n", "web-1", []string{selfID}},
		"groups of version 1": {"", "12:pids:/docker/" + selfID + "\n11:memory:/docker/" + selfID + "\n0::/\n", "web-1", []string{selfID}},
		"groups of systemd":   {"", "0::/system.slice/docker-" + selfID + ".scope\n", "web-1", []string{selfID}},
		"hostname only":       {"", "0::/\n", selfID[:12], []string{selfID[:12]}},
		"somebody else's files, mounted as data": {
			mount("/var/lib/docker/containers/"+otherID+"/hostname", "/data/hostname") + mount("/var/lib/docker/containers", "/logs"), "", "web-1", nil,
		},
		"no container":  {mount("/", "/") + mount("/etc/hostname", "/etc/hostname"), "0::/user.slice/session-1.scope\n", "laptop", nil},
		"broken tables": {"1 2 3\n\n/containers/" + selfID + "/hostname\n", ":::\n" + strings.Repeat("a", 65) + "\n", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			d := Docker{
				MountInfo: filepath.Join(dir, "mountinfo"), CGroup: filepath.Join(dir, "cgroup"),
				Hostname: func() (string, error) { return c.hostname, nil },
			}
			for path, text := range map[string]string{d.MountInfo: c.mounts, d.CGroup: c.groups} {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(c.want, ownIDs(d)); diff != "" {
				t.Error(diff)
			}
			d.MountInfo, d.CGroup = filepath.Join(dir, "no"), filepath.Join(dir, "no")
			d.Hostname = func() (string, error) { return "", errors.New("no hostname") }
			if got := ownIDs(d); got != nil {
				t.Errorf("from nothing: %v", got)
			}
		})
	}
}

// The engine's word counts: an id that it does not know, or that does not run, is not ours.
func TestOwnContainerIsOneThatTheEngineRuns(t *testing.T) {
	t.Parallel()
	e := newFakeEngine()
	e.containers[otherID] = &fakeContainer{running: false}
	groups := filepath.Join(t.TempDir(), "cgroup")
	text := "3:a:/docker/" + deadID + "\n2:b:/docker/" + otherID + "\n1:c:/docker/" + selfID + "\n"
	if err := os.WriteFile(groups, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := Docker{Transport: e, MountInfo: "/dev/null", CGroup: groups}
	client := newEngine(d)
	if err := client.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c, err := client.ownContainer(t.Context(), d); err != nil || c.ID != selfID {
		t.Errorf("%q, %v", c.ID, err)
	}
	e.fail["GET /containers/"+deadID+"/json"] = 500
	if _, err := client.ownContainer(t.Context(), d); err == nil {
		t.Error("an engine in trouble was not told apart from one that knows nothing")
	}
	clear(e.fail)
	e.containers[selfID].running = false
	if _, err := client.ownContainer(t.Context(), d); err == nil || !strings.Contains(err.Error(), "does not run it") {
		t.Error(err)
	}
}

// Engines get their own version when it is old, else the one that the relay was tried
// with, unless they have given that up.
func TestVersionOfTheEnginesAPI(t *testing.T) {
	t.Parallel()
	for engine, want := range map[[2]string]string{
		{"1.40", "1.12"}: "v1.40", {"1.41", "1.12"}: "v1.41", {"1.43", "1.12"}: "v1.43", {"1.44", "1.24"}: "v1.44", {"1.51", "1.24"}: "v1.44",
		{"1.52", "1.44"}: "v1.44", {"1.60", "1.50"}: "v1.50", {"2.0", "1.44"}: "v1.44",
	} {
		e := newFakeEngine()
		e.version, e.oldest = engine[0], engine[1]
		client := newEngine(Docker{Transport: e})
		if err := client.open(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := client.networks(t.Context(), ownLabel); err != nil || "v"+e.used != want {
			t.Errorf("an engine of %v was asked in v%s (%v), want %s", engine, e.used, err, want)
		}
	}
	e := newFakeEngine()
	e.fail["GET /version"], e.version = 500, "1.51"
	if err := newEngine(Docker{Transport: e}).open(t.Context()); err == nil {
		t.Error("an engine that does not tell its version was taken as it is")
	}
}

// A sub-runner that was killed leaves containers on the job's network: they go before it.
func TestLeavingTakesTheJobsContainersAlong(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		e := newFakeEngine()
		w.useDocker(e)
		w.sub = func(s *subRunner) error {
			e.containers[jobID] = &fakeContainer{
				running: true, labels: map[string]string{managedLabel: "true"}, networks: map[string]string{jobNet: "x"}, mode: jobNet, volumes: []string{"builds"},
			}
			e.volumes["builds"] = map[string]string{managedLabel: "true"}
			return errors.New("killed")
		}
		out, err := w.run(t.Context())
		if err != nil || out.State != "failed" {
			t.Fatal(out, err)
		}
		if len(e.containers) != 1 || len(e.networks) != 1 || len(e.volumes) != 0 {
			t.Errorf("left: %v %v %v", maps.Collect(maps.All(e.containers)), e.networks, e.volumes)
		}
	})
}

// A network of our name that is not ours is left alone.
func TestOnlyOwnNetworksAreDeleted(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		e := newFakeEngine()
		w.useDocker(e)
		e.networks["x"] = map[string]any{"Id": "x", "Name": jobNet, "Labels": map[string]any{}}
		e.fail["POST /networks/create"] = 409
		if out, err := w.run(t.Context()); err != nil || out.State != "failed" {
			t.Fatal(out, err)
		}
		if e.networks["x"] == nil {
			t.Error("it was deleted")
		}
	})
}
