// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	selfID  = strings.Repeat("a", 64)
	otherID = strings.Repeat("b", 64)
	deadID  = strings.Repeat("c", 64)
	jobID   = strings.Repeat("d", 64)
)

// fakeEngine is a Docker engine that knows containers and networks.
type fakeEngine struct {
	mu         sync.Mutex
	containers map[string]*fakeContainer
	networks   map[string]map[string]any // by id
	calls      []string
	fail       map[string]int // "METHOD /path" -> status
	err        error          // instead of any answer
}

type fakeContainer struct {
	running  bool
	labels   map[string]string
	networks map[string]string // name -> address
}

func newFakeEngine() *fakeEngine {
	return &fakeEngine{
		containers: map[string]*fakeContainer{selfID: {running: true, networks: map[string]string{"bridge": "172.17.0.2"}}},
		networks: map[string]map[string]any{"bridge": {
			"Id": "bridge", "Name": "bridge", "Options": map[string]string{mtuOption: "1450"},
		}},
		fail: map[string]int{},
	}
}

// RoundTrip makes the engine its own transport.
func (e *fakeEngine) RoundTrip(r *http.Request) (*http.Response, error) {
	if e.err != nil {
		return nil, e.err
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w.Result(), nil
}

func (e *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	path, versioned := strings.CutPrefix(r.URL.Path, "/v1.41")
	call := r.Method + " " + path
	e.calls = append(e.calls, call)
	if status := e.fail[call]; status != 0 {
		w.WriteHeader(status)
		fmt.Fprint(w, `{"message":"engine says no"}`)
		return
	}
	if path == "/_ping" {
		w.Header().Set("Api-Version", "1.41")
		return
	}
	if !versioned {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var body map[string]any
	if r.Body != nil {
		json.NewDecoder(r.Body).Decode(&body)
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case parts[0] == "containers":
		e.container(w, r, parts[1])
	case path == "/networks" && r.Method == "GET":
		var out []map[string]any
		for _, id := range slices.Sorted(maps.Keys(e.networks)) {
			labels, _ := e.networks[id]["Labels"].(map[string]any)
			if _, ours := labels[ownLabel]; ours {
				out = append(out, map[string]any{"Id": id, "Name": e.networks[id]["Name"], "Labels": labels})
			}
		}
		json.NewEncoder(w).Encode(out)
	case path == "/networks/create":
		id := "net-" + body["Name"].(string)
		body["Id"] = id
		e.networks[id] = body
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(map[string]string{"Id": id})
	default:
		e.network(w, r, parts, body)
	}
}

func (e *fakeEngine) container(w http.ResponseWriter, r *http.Request, id string) {
	c := e.containers[id]
	if c == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if r.Method == "DELETE" {
		delete(e.containers, id)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	networks := map[string]any{}
	for name, ip := range c.networks {
		networks[name] = map[string]string{"IPAddress": ip}
	}
	json.NewEncoder(w).Encode(map[string]any{
		"Id": id, "State": map[string]bool{"Running": c.running}, "Config": map[string]any{"Labels": c.labels},
		"NetworkSettings": map[string]any{"Networks": networks},
	})
}

func (e *fakeEngine) network(w http.ResponseWriter, r *http.Request, parts []string, body map[string]any) {
	n := e.networks[parts[1]]
	if n == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	name := n["Name"].(string)
	attached := map[string]any{}
	for id, c := range e.containers {
		if _, on := c.networks[name]; on {
			attached[id] = map[string]string{}
		}
	}
	switch {
	case len(parts) == 3 && parts[2] == "connect":
		e.containers[body["Container"].(string)].networks[name] = "172.18.0.2"
	case len(parts) == 3 && parts[2] == "disconnect":
		delete(e.containers[body["Container"].(string)].networks, name)
	case r.Method == "DELETE" && len(attached) > 0:
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"message":"network has active endpoints"}`)
	case r.Method == "DELETE":
		delete(e.networks, parts[1])
		w.WriteHeader(http.StatusNoContent)
	default:
		out := maps.Clone(n)
		out["Containers"] = attached
		json.NewEncoder(w).Encode(out)
	}
}

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
		end := e.calls[len(e.calls)-2:]
		if diff := cmp.Diff([]string{"POST /networks/net-" + jobNet + "/disconnect", "DELETE /networks/net-" + jobNet}, end); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTheNetworksNameSortsLast(t *testing.T) {
	t.Parallel()
	for _, other := range []string{"bridge", "jobnet", "zzznet", "zz-paas-relay-zz", "zzzzzzzzzzzz"} {
		var me container
		me.NetworkSettings.Networks = map[string]struct {
			IPAddress string `json:"IPAddress"`
		}{"bridge": {}, other: {}}
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
		e.containers[jobID] = &fakeContainer{running: true, labels: map[string]string{managedLabel: "true"}, networks: map[string]string{"zz-of-a-dead-one": "x"}}
		e.containers[selfID].networks["zz-of-our-last-life"] = "x"
		w.sub = simple
		if out, err := w.run(t.Context()); err != nil || out.State != "success" {
			t.Fatal(out, err)
		}
		want := []string{"bridge", "foreign", "zz-of-a-living-one", "zz-of-nobody"}
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(e.networks))); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{selfID, otherID, deadID}, slices.Sorted(maps.Keys(e.containers))); diff != "" {
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
		"no permission": {func(e *fakeEngine) { e.err = &net.OpError{Op: "dial", Net: "unix", Err: fs.ErrPermission} },
			"cannot open the Docker socket /var/run/docker.sock: this container may not use it"},
		"no socket":    {func(e *fakeEngine) { e.err = fs.ErrNotExist }, "cannot open the Docker socket /var/run/docker.sock: file does not exist"},
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
