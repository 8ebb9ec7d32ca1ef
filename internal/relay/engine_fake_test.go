// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
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
	version    string // of its API, at most
	oldest     string // and at least
	used       string // the version that was asked for last
	containers map[string]*fakeContainer
	networks   map[string]map[string]any    // by id
	volumes    map[string]map[string]string // name -> labels
	calls      []string
	fail       map[string]int // "METHOD /path" -> status
	lose       string         // the call that is performed and not answered
	err        error          // instead of any answer
	hang       bool           // no answer at all
}

type fakeContainer struct {
	running  bool
	labels   map[string]string
	networks map[string]string // name -> address
	mode     string            // the network that it was made for
	volumes  []string
}

func newFakeEngine() *fakeEngine {
	return &fakeEngine{
		version: "1.41", oldest: "1.12", volumes: map[string]map[string]string{},
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
	if e.hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	w := httptest.NewRecorder()
	if e.ServeHTTP(w, r); e.lose == e.calls[len(e.calls)-1] {
		return nil, io.ErrUnexpectedEOF
	}
	return w.Result(), nil
}

func (e *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	version, path, versioned := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v"), "/")
	if path = "/" + path; !strings.HasPrefix(r.URL.Path, "/v1.") {
		path, versioned = r.URL.Path, false
	}
	call := r.Method + " " + path
	e.calls = append(e.calls, call)
	if status := e.fail[call]; status != 0 {
		w.WriteHeader(status)
		fmt.Fprint(w, `{"message":"engine says no"}`)
		return
	}
	switch path {
	case "/_ping":
		w.Header().Set("Api-Version", e.version)
		return
	case "/version":
		fmt.Fprintf(w, `{"ApiVersion":%q,"MinAPIVersion":%q}`, e.version, e.oldest)
		return
	}
	if e.used = version; !versioned || newerVersion(version, e.version) || newerVersion(e.oldest, version) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var body map[string]any
	if r.Body != nil {
		json.NewDecoder(r.Body).Decode(&body)
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case path == "/containers/json":
		e.list(w)
	case parts[0] == "containers":
		e.container(w, r, parts[1])
	case parts[0] == "volumes":
		e.volume(w, r, parts[1])
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

// list lists the containers of gitlab-runner.
func (e *fakeEngine) list(w http.ResponseWriter) {
	out := []map[string]any{}
	for _, id := range slices.Sorted(maps.Keys(e.containers)) {
		c := e.containers[id]
		if c.labels[managedLabel] != "true" {
			continue
		}
		networks, mounts := map[string]any{}, []map[string]string{}
		for name := range c.networks {
			networks[name] = map[string]string{"NetworkID": name}
		}
		for _, v := range c.volumes {
			mounts = append(mounts, map[string]string{"Type": "volume", "Name": v})
		}
		out = append(out, map[string]any{
			"Id": id, "HostConfig": map[string]string{"NetworkMode": c.mode},
			"NetworkSettings": map[string]any{"Networks": networks}, "Mounts": mounts,
		})
	}
	json.NewEncoder(w).Encode(out)
}

func (e *fakeEngine) volume(w http.ResponseWriter, r *http.Request, name string) {
	labels, ok := e.volumes[name]
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == "DELETE":
		delete(e.volumes, name)
		w.WriteHeader(http.StatusNoContent)
	default:
		json.NewEncoder(w).Encode(map[string]any{"Name": name, "Labels": labels})
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
	for _, other := range e.networks {
		if other["Name"] == parts[1] { // asked for by name
			n = other
		}
	}
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
		c := e.containers[body["Container"].(string)]
		if c == nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		delete(c.networks, name)
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
