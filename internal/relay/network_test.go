// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"encoding/json"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func (w *world) useDocker(e *fakeEngine) {
	mounts := filepath.Join(w.dir, "mountinfo")
	text := "1030 1020 254:1 /var/lib/docker/containers/" + selfID + "/hostname /etc/hostname rw - ext4 /dev/vda1 rw\n"
	if err := os.WriteFile(mounts, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.docker = Docker{Transport: e, MountInfo: mounts}
	w.runnerTOML = strings.Replace(w.runnerTOML, `"shell"`, `"docker"`, 1) + "  [runners.docker]\n    network_mode = \"paas-relay-network-placeholder\"\n"
}

const jobNet = "zz-paas-relay-hpd-job-abcdefghij-100001"

func TestTheJobHasANetworkOfItsOwn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		e := newFakeEngine()
		w.useDocker(e)
		w.settings["docker"] = map[string]string{"subnet": "10.99.0.0/24"}
		w.sub = func(s *subRunner) error {
			if got := key(s.config, "network_mode"); got != jobNet {
				t.Errorf("network_mode %q", got)
			}
			if !strings.HasPrefix(s.url, "http://172.18.0.2:") {
				t.Errorf("url %q: want our address on the job's network", s.url)
			}
			want := map[string]any{
				"Id": "net-" + jobNet, "Name": jobNet, "Driver": "bridge", "CheckDuplicate": true,
				"Labels":  map[string]any{ownLabel: selfID, keyLabel: "hpd-job-abcdefghij-100001"},
				"Options": map[string]any{mtuOption: "1450"},
				"IPAM":    map[string]any{"Driver": "default", "Config": []any{map[string]any{"Subnet": "10.99.0.0/24"}}},
			}
			if diff := cmp.Diff(want, e.networks["net-"+jobNet]); diff != "" {
				t.Error(diff)
			}
			if _, err := w.net.dial(s.ctx, siblingIP, net.JoinHostPort("0.0.0.0", "8080")); err == nil {
				t.Error("something listens on every address")
			}
			return simple(s)
		}
		out, err := w.run(t.Context())
		if err != nil || out.State != "success" {
			t.Fatal(out, err)
		}
		if diff := cmp.Diff([]string{"bridge"}, slices.Collect(maps.Keys(e.networks))); diff != "" {
			t.Error("networks left:", diff)
		}
		if diff := cmp.Diff(map[string]string{"bridge": "172.17.0.2"}, e.containers[selfID].networks); diff != "" {
			t.Error(diff)
		}
		end := e.calls[len(e.calls)-4:]
		if diff := cmp.Diff([]string{"GET /networks/" + jobNet, "GET /containers/json", "POST /networks/net-" + jobNet + "/disconnect", "DELETE /networks/net-" + jobNet}, end); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTheNetworksNameSortsLast(t *testing.T) {
	t.Parallel()
	for _, other := range []string{"bridge", "jobnet", "zzznet", "zz-paas-relay-zz", "zzzzzzzzzzzz"} {
		var me container
		if err := json.Unmarshal([]byte(`{"NetworkSettings":{"Networks":{"bridge":{},"`+other+`":{}}}}`), &me); err != nil {
			t.Fatal(err)
		}
		name := networkName(me, "hpd-job-abcdefghij-1")
		if name <= other || name <= "bridge" || !strings.Contains(name, "hpd-job-abcdefghij-1") {
			t.Errorf("beside %s: %s", other, name)
		}
	}
}

// What a killed relay left goes; what belongs to a living one, or to nobody known, stays.
func TestLeftoversAreSwept(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		e := newFakeEngine()
		w.useDocker(e)
		add := func(name, owner string) {
			e.networks[name] = map[string]any{"Id": name, "Name": name, "Labels": map[string]any{ownLabel: owner}}
		}
		add("zz-of-a-living-one", otherID)
		add("zz-of-a-dead-one", deadID)
		add("zz-of-a-removed-one", strings.Repeat("e", 64))
		add("zz-of-our-last-life", selfID)
		add("zz-of-nobody", "")
		e.networks["foreign"] = map[string]any{"Id": "foreign", "Name": "foreign", "Labels": map[string]any{}}
		e.containers[otherID] = &fakeContainer{running: true, networks: map[string]string{"zz-of-a-living-one": "x"}}
		e.containers[deadID] = &fakeContainer{running: false, networks: map[string]string{}}
		managed := map[string]string{managedLabel: "true"}
		e.containers[jobID] = &fakeContainer{
			running: true, labels: managed, networks: map[string]string{"zz-of-a-dead-one": "x"}, mode: "zz-of-a-dead-one", volumes: []string{"builds", "users"},
		}
		e.containers[strings.Repeat("1", 64)] = &fakeContainer{labels: managed, mode: "zz-of-a-dead-one", volumes: []string{"builds", "cache"}} // has ended
		e.containers[strings.Repeat("2", 64)] = &fakeContainer{labels: managed, mode: "zz-of-a-living-one", volumes: []string{"in use"}}
		e.containers[strings.Repeat("3", 64)] = &fakeContainer{labels: managed, mode: "bridge"}
		for _, name := range []string{"builds", "cache", "in use"} {
			e.volumes[name] = managed
		}
		e.volumes["users"] = nil
		e.containers[selfID].networks["zz-of-our-last-life"] = "x"
		w.sub = simple
		if out, err := w.run(t.Context()); err != nil || out.State != "success" {
			t.Fatal(out, err)
		}
		want := []string{"bridge", "foreign", "zz-of-a-living-one", "zz-of-nobody"}
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(e.networks))); diff != "" {
			t.Error(diff)
		}
		want = []string{strings.Repeat("2", 64), strings.Repeat("3", 64), selfID, otherID, deadID}
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(e.containers))); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"in use", "users"}, slices.Sorted(maps.Keys(e.volumes))); diff != "" {
			t.Error(diff)
		}
	})
}

// A container of somebody else on a leftover network is never removed.
func TestSweepingSparesForeignContainers(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		e := newFakeEngine()
		w.useDocker(e)
		e.networks["zz-left"] = map[string]any{"Id": "zz-left", "Name": "zz-left", "Labels": map[string]any{ownLabel: deadID}}
		e.containers[otherID] = &fakeContainer{running: true, networks: map[string]string{"zz-left": "x"}}
		w.sub = simple
		if out, err := w.run(t.Context()); err != nil || out.State != "success" {
			t.Fatal(out, err)
		}
		if e.containers[otherID] == nil || e.networks["zz-left"] == nil {
			t.Error("removed what is not ours")
		}
	})
}

func TestWithoutANetworkTheUserReadsWhy(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(e *fakeEngine)
		says  string
	}{
		"no engine": {func(e *fakeEngine) { e.err = &net.OpError{Op: "dial", Net: "unix", Err: syscall.ECONNREFUSED} },
			"cannot open the Docker socket /var/run/docker.sock: no Docker Engine answers on it"},
		"no answer": {func(e *fakeEngine) { e.hang = true },
			"cannot open the Docker socket /var/run/docker.sock: the Docker Engine does not answer"},
		"another engine's socket": {func(e *fakeEngine) { delete(e.containers, selfID) },
			"the Docker Engine behind the socket does not run it"},
		"its answer is lost": {func(e *fakeEngine) { e.lose = "POST /networks/create" }, "make the job's network: unexpected EOF"},
		"no permission": {func(e *fakeEngine) { e.err = &net.OpError{Op: "dial", Net: "unix", Err: fs.ErrPermission} },
			"cannot open the Docker socket /var/run/docker.sock: this container may not use it"},
		"no socket":    {func(e *fakeEngine) { e.err = fs.ErrNotExist }, "cannot open the Docker socket /var/run/docker.sock: it is not there"},
		"host network": {func(e *fakeEngine) { e.containers[selfID].networks = map[string]string{"host": ""} }, "start it on a bridge"},
		"no subnet left": {func(e *fakeEngine) { e.fail["POST /networks/create"] = 403 },
			"make the job's network: docker POST /networks/create: 403: engine says no"},
		"cannot join": {func(e *fakeEngine) { e.fail["POST /networks/net-"+jobNet+"/connect"] = 500 }, "join the job's network"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				e := newFakeEngine()
				w.useDocker(e)
				c.spoil(e)
				w.sub = func(*subRunner) error { t.Error("the sub-runner was started"); return nil }
				out, err := w.run(t.Context())
				if err != nil || out.State != "failed" || out.HandedOut {
					t.Fatal(out, err)
				}
				if got := string(w.coordinator.trace); !strings.Contains(got, "The instance could not be made ready: ") || !strings.Contains(got, c.says) {
					t.Errorf("trace %q, want %q in it", got, c.says)
				}
				if len(e.networks) != 1 {
					t.Errorf("networks left: %v", e.networks)
				}
			})
		})
	}
}
