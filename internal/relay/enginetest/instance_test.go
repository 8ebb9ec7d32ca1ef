// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"heptapod-paas-runner/internal/engine"
	"heptapod-paas-runner/internal/hostfile"
	"heptapod-paas-runner/internal/secret"
	"heptapod-paas-runner/internal/sim/gitlab"
)

// managerLine is what the manager wrote to the log before the start.
const managerLine = "Made an instance for the job.\n"

// wish is what differs between the instances of the tests.
type wish struct {
	forward  map[string]any // laid over the [[runners]] section
	docker   map[string]any // laid over its [runners.docker]
	subnet   string
	config   map[string]any // laid over the container
	host     map[string]any // laid over its HostConfig
	noSocket bool
	url      string // of the coordinator, if not the place's
}

// instance is a container with relay and sub-runner, and the job that it is for.
type instance struct {
	*place
	id    string // of the container
	job   int64
	token string
	key   string
}

// acquire queues a job and takes it, as the manager does.
func (w *place) acquire(t *testing.T, spec gitlab.Spec) (id int64, payload []byte) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	id, err := w.gitlab.Queue(spec)
	if err != nil {
		t.Fatal(err)
	}
	status, payload := w.ask(http.MethodPost, "/api/v4/jobs/request", nil, `{"token":"`+gitlab.RunnerToken+`","info":{"features":{"refspecs":true,"cancel_gracefully":true}}}`)
	if status != http.StatusCreated {
		t.Fatalf("asking for job %d was answered %d: %s", id, status, payload)
	}
	return id, payload
}

// ask calls the coordinator from here.
func (w *place) ask(method, path string, header http.Header, body string) (int, []byte) {
	r := httptest.NewRequest(method, w.url+path, strings.NewReader(body))
	maps.Copy(r.Header, header)
	answer := httptest.NewRecorder()
	w.gitlab.ServeHTTP(answer, r)
	return answer.Code, answer.Body.Bytes()
}

// boot starts an instance for a job.
func (w *place) boot(t *testing.T, spec gitlab.Spec, o wish) *instance {
	t.Helper()
	i := w.prepare(t, spec, o)
	w.Must(t, http.MethodPost, "/containers/"+i.id+"/start", nil, nil)
	return i
}

// prepare makes an instance for a job, which is not started yet.
func (w *place) prepare(t *testing.T, spec gitlab.Spec, o wish) *instance {
	t.Helper()
	id, payload := w.acquire(t, spec)
	var job struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(payload, &job); err != nil {
		t.Fatal(err)
	}
	i := &instance{place: w, job: id, token: job.Token, key: fmt.Sprintf("hpd-job-abcdefgh23-%d", id)}
	header := http.Header{"Job-Token": {job.Token}, "Content-Range": {fmt.Sprintf("0-%d", len(managerLine)-1)}}
	if status, text := w.ask(http.MethodPatch, fmt.Sprintf("/api/v4/jobs/%d/trace", id), header, managerLine); status != http.StatusAccepted {
		t.Fatalf("the trace took the manager's line with %d: %s", status, text)
	}
	host := map[string]any{}
	if !o.noSocket {
		host["Binds"] = []string{w.Socket + ":/var/run/docker.sock"}
	}
	maps.Copy(host, o.host)
	config := map[string]any{"Image": "runner:1", "HostConfig": host}
	maps.Copy(config, o.config)
	i.id = w.Create(t, "", config)
	w.Put(t, i.id, i.files(t, payload, o)...)
	return i
}

// files are what the manager pushes for it.
func (i *instance) files(t *testing.T, payload []byte, o wish) []engine.File {
	t.Helper()
	docker := map[string]any{"image": "job:1", "helper_image": "helper:1", "pull_policy": "never"}
	maps.Copy(docker, o.docker)
	forward := map[string]any{"docker": docker}
	maps.Copy(forward, o.forward)
	nonce := secret.New(i.key)
	files, err := hostfile.Render(hostfile.Host{
		Mode: hostfile.ModeRelay, MainImage: "runner:1", RelayImage: "relay:1", RunnerName: "the runner", Forward: forward,
		Coordinator: cmp.Or(o.url, i.url), CoordinatorURL: i.url, Payload: payload, JobID: i.job, Key: i.key,
		StandIn:     hostfile.StandIn(secret.New(gitlab.RunnerToken), nonce),
		PrefixBytes: int64(len(managerLine)), PrefixCRC32: crc32.ChecksumIEEE([]byte(managerLine)),
		AcquiredAt: time.Now(), Timeout: time.Hour, RelaySubnet: o.subnet,
		KeepImages: true, // there is no Dependency Proxy here
	})
	if err != nil {
		t.Fatal(err)
	}
	var out []engine.File
	for _, f := range files {
		out = append(out, engine.File{Path: hostfile.Folder + f.Path, Data: string(f.Data), Mode: 0o600})
	}
	return out
}

// now is how the job stands.
func (i *instance) now() gitlab.Job {
	j, _ := i.gitlab.Job(i.job)
	return j
}

// end waits until the relay has ended and gives the job.
func (i *instance) end(t *testing.T) gitlab.Job {
	t.Helper()
	code := i.Wait(t, i.id)
	j := i.now()
	if code != 0 || t.Failed() {
		t.Errorf("the relay ended with %d:\n%s\ntrace:\n%s", code, i.Output(t, i.id), j.Trace)
	}
	return j
}

// succeed waits for the end, which must be a good one, with everything gone.
func (i *instance) succeed(t *testing.T) gitlab.Job {
	t.Helper()
	j := i.end(t)
	if j.Status != "success" {
		t.Fatalf("the job ended %s (%s):\n%s\ninstance:\n%s", j.Status, reason(j), j.Trace, i.Output(t, i.id))
	}
	if !strings.HasPrefix(j.Trace, managerLine+"Instance booted") {
		t.Errorf("the trace does not begin with the manager's line and the relay's:\n%s", j.Trace)
	}
	i.nothingLeft(t)
	return j
}

func reason(j gitlab.Job) string {
	if j.FailureReason == nil {
		return ""
	}
	return *j.FailureReason
}

// Labels by which things of a job are found.
const (
	keyLabel = "heptapod.paas-relay.key"
	ownLabel = "heptapod.paas-relay.container"
	jobLabel = "com.gitlab.gitlab-runner.job.id"
)

// left gives the names of what there is of the job on the engine.
func (i *instance) left(t *testing.T) []string {
	t.Helper()
	var out []string
	ofJob, ofKey := labelled(jobLabel, fmt.Sprint(i.job)), labelled(keyLabel, i.key)
	for path, label := range map[string]url.Values{"/containers/json?all=true&": ofJob, "/networks?": ofJob, "/networks?own&": ofKey} {
		var found []struct {
			ID    string `json:"Id"`
			Name  string
			Names []string
		}
		i.Must(t, http.MethodGet, path+label.Encode(), nil, &found)
		for _, f := range found {
			out = append(out, cmp.Or(strings.Join(f.Names, " "), f.Name))
		}
	}
	var volumes struct{ Volumes []struct{ Name string } }
	i.Must(t, http.MethodGet, "/volumes?"+ofJob.Encode(), nil, &volumes)
	for _, v := range volumes.Volumes {
		out = append(out, v.Name)
	}
	slices.Sort(out)
	return out
}

func (i *instance) nothingLeft(t *testing.T) {
	t.Helper()
	if left := i.left(t); len(left) > 0 {
		t.Errorf("left behind: %q\ninstance:\n%s", left, i.Output(t, i.id))
	}
}

func labelled(name, value string) url.Values {
	text, err := json.Marshal(map[string][]string{"label": {name + "=" + value}})
	if err != nil {
		panic(err) // strings
	}
	return url.Values{"filters": {string(text)}}
}

// network is the job's network, while there is one.
type network struct {
	ID         string `json:"Id"`
	Name       string
	Labels     map[string]string
	Options    map[string]string
	IPAM       struct{ Config []struct{ Subnet string } }
	Containers map[string]struct{ Name, IPv4Address string }
}

func (i *instance) network(t *testing.T) network {
	t.Helper()
	var found []network
	i.Must(t, http.MethodGet, "/networks?"+labelled(keyLabel, i.key).Encode(), nil, &found)
	if len(found) != 1 {
		t.Fatalf("%d networks of the job, want 1", len(found))
	}
	i.Must(t, http.MethodGet, "/networks/"+found[0].ID, nil, &found[0])
	return found[0]
}

// address is where the relay listens.
func (i *instance) address(t *testing.T) string {
	t.Helper()
	text, code := i.Exec(t, i.id, "sed", "-n", `s/^ *url = "http:..\(.*\)"/\1/p`, "/etc/heptapod-runner/runner-relay.toml")
	if text = strings.TrimSpace(text); code != 0 || text == "" {
		t.Fatalf("the sub-runner's url: %q, exit code %d", text, code)
	}
	return text
}

// container finds the job's container of a kind: build, helper or service.
func (i *instance) container(t *testing.T, kind string) string {
	t.Helper()
	var found []struct {
		ID string `json:"Id"`
	}
	filter := fmt.Sprintf(`{"label":["%s=%d","com.gitlab.gitlab-runner.type=%s"]}`, jobLabel, i.job, kind)
	eventually(t, func() bool {
		i.Must(t, http.MethodGet, "/containers/json?"+url.Values{"filters": {filter}}.Encode(), nil, &found)
		return len(found) > 0 // it may run before the engine says so
	}, func() string { return "the job has no running " + kind + " container" })
	return found[0].ID
}

// eventually waits for what another process does, for a while.
func eventually(t *testing.T, done func() bool, why func() string) {
	t.Helper()
	look, limit := time.NewTicker(50*time.Millisecond), time.After(2*time.Minute)
	defer look.Stop()
	for !done() {
		select {
		case <-look.C:
		case <-limit:
			t.Fatal(why())
		}
	}
}

// gone tells whether the engine has no such thing.
func (w *place) gone(t *testing.T, path string) bool {
	t.Helper()
	err := w.Call(t.Context(), http.MethodGet, path, nil, nil)
	if err != nil && !errors.Is(err, engine.ErrGone) {
		t.Fatal(err)
	}
	return err != nil
}

// artifact is what an artifact of the job holds, as the coordinator has it.
func (i *instance) artifact(t *testing.T) []byte {
	t.Helper()
	status, text := i.ask(http.MethodGet, fmt.Sprintf("/api/v4/jobs/%d/artifacts", i.job), http.Header{"Job-Token": {i.token}}, "")
	if status != http.StatusOK {
		t.Fatalf("the artifacts of %d: %d: %s", i.job, status, text)
	}
	return bytes.TrimSpace(text)
}
